"""The hash of a file's content, by which custody names it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

BLOCK_BYTES = 1 << 20
# Read-only for everybody: who has no handle from before cannot write any more.
READ_ONLY = 0o444

OnProgress = Callable[[], None]


def nothing() -> None:
    """Where nobody wants to hear of the progress."""


def hash_file(path: Path, *, tick: OnProgress = nothing) -> tuple[str, int]:
    """SHA-256 and size of a file, which is synced and made read-only. Raises OSError, also for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(PermissionError):  # another user's file: the check before training sees a change
            os.fchmod(descriptor, READ_ONLY)
        digest, size = hash_open(descriptor, tick=tick)
        os.fsync(descriptor)
        return digest, size
    finally:
        os.close(descriptor)


def hash_open(descriptor: int, *, tick: OnProgress = nothing) -> tuple[str, int]:
    """SHA-256 and size of what an open file holds."""
    digest, size = hashlib.sha256(), 0
    while block := os.pread(descriptor, BLOCK_BYTES, size):
        digest.update(block)
        size += len(block)
        tick()
    return digest.hexdigest(), size
