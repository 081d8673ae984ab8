"""Plain reads of files that may be anything: never mapped, never followed into a pipe, never longer than they say.

A file that is mapped and then cut short by somebody kills the reader with SIGBUS, without an exception. A plain read
of the same file returns fewer bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

# What a Git LFS pointer begins with; it has fewer than 1,024 bytes (git-lfs, docs/spec.md, "The Pointer").
_POINTER = b"version https://git-lfs.github.com/spec/v1"
POINTER_MAX_BYTES = 1024


class UnsoundError(Exception):
    """A file is not what it says; the text says why, in words for a finding."""


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[FileIO, int]]:
    """The file, opened unbuffered for reading, and its size in bytes. A pipe or a device does not block.

    Raises UnsoundError where it is no regular file, OSError where it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise UnsoundError("it is no regular file")
        yield file, about.st_size


def read_at(file: FileIO, offset: int, count: int) -> bytes:
    """Exactly `count` bytes at `offset`. Raises UnsoundError where the file ends before."""
    pieces: list[bytes] = []
    missing = count
    while missing > 0:
        piece = os.pread(file.fileno(), min(missing, 1 << 24), offset + count - missing)
        if not piece:
            raise UnsoundError(f"it was cut short while it was read: {missing:,} bytes are gone at {offset:,}")
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def is_pointer(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `head` is a Git LFS pointer."""
    return size < POINTER_MAX_BYTES and head.startswith(_POINTER)


def why_unreadable(error: OSError) -> str:
    """The reason of a failed open or read, without the path that the finding names anyway."""
    return f"it cannot be read ({error.strerror or type(error).__name__})"
