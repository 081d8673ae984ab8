"""The hash of a file's content, by which custody names it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

BLOCK_BYTES = 1 << 20
# Read-only for all: who has no handle from before cannot write any more.
_READING, _OWNER = 0o444, 0o400

OnProgress = Callable[[], None]


def nothing() -> None:
    """Where nobody wants to hear of the progress."""


def hash_file(path: Path, *, sync: bool = True, tick: OnProgress = nothing) -> tuple[str, int]:
    """SHA-256 and size of a file, which is made read-only, and synced unless `sync` leaves that to the caller. Raises
    OSError, also for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):  # another user's file: the check before training sees a change
            os.fchmod(descriptor, read_only(os.fstat(descriptor).st_mode))
        digest, size = hash_open(descriptor, tick=tick)
        if sync:
            os.fsync(descriptor)
        return digest, size
    finally:
        os.close(descriptor)


def read_only(mode: int) -> int:
    """The mode of a file in custody: nobody may read it who could not before, but for its owner."""
    return (mode & _READING) | _OWNER


def hash_open(descriptor: int, *, tick: OnProgress = nothing) -> tuple[str, int]:
    """SHA-256 and size of what an open file holds."""
    digest, size = hashlib.sha256(), 0
    while block := os.pread(descriptor, BLOCK_BYTES, size):
        digest.update(block)
        size += len(block)
        tick()
    return digest.hexdigest(), size
