"""Opens and follows files that another process writes: only regular ones, none that a link leads to from outside."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from trainguard.errors import UsageError

BLOCK_BYTES = 1 << 18
# More names than this in one folder are not looked through.
_MOST_NAMES = 100_000


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, links followed, still lies in the folder `root`."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def open_regular(path: Path) -> int:
    """A descriptor for reading. A FIFO or a device is not waited for. Raises OSError, also for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def read_small(path: Path, *, most_bytes: int) -> bytes | None:
    """All of a small file; None where it is not there, no regular file, or larger."""
    try:
        descriptor = open_regular(path)
    except (OSError, ValueError):
        return None
    try:
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(file.fileno()).st_size > most_bytes:
                return None
            content = file.read(most_bytes + 1)
    except OSError:
        return None
    return content if len(content) <= most_bytes else None


def names_in(folder: Path) -> list[str]:
    """The names in a folder, in order; [] where it cannot be listed."""
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) >= _MOST_NAMES:
                    break
    except OSError:
        return []
    return sorted(found)


class Tail:
    """A file that grows: `blocks` gives what was appended since the last time.

    It begins anew where the file was cut to less than was read, and goes on with the next file where another one was
    put in its place (log rotation): the rest of the old one is read first. `again` counts both. `changed` is the
    modification time of what was last read, in unix seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.again = 0
        self.changed: float | None = None
        self._descriptor: int | None = None
        self._at = 0
        self._ends = b""  # the last bytes read, by which a file that was rewritten in place is known

    def blocks(self) -> Iterator[bytes]:
        """What is new, in blocks. Raises UsageError for a file that is there and cannot be read."""
        if self._descriptor is None and not self._open():
            return
        yield from self._new()
        if self._replaced():
            self.close()
            if self._open():
                self.again += 1
                yield from self._new()

    def _new(self) -> Iterator[bytes]:
        descriptor = self._descriptor
        if descriptor is None:
            return
        try:
            about = os.fstat(descriptor)
            if about.st_size < self._at or self._rewritten(descriptor):
                self._at, self._ends = 0, b""
                self.again += 1
            self.changed = about.st_mtime
            while block := os.pread(descriptor, BLOCK_BYTES, self._at):
                self._at += len(block)
                self._ends = (self._ends + block)[-_REMEMBERED:]
                yield block
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror or error}") from None

    def _rewritten(self, descriptor: int) -> bool:
        """Whether the bytes before here are others than were read: cut to nothing, then written past this place."""
        start = self._at - len(self._ends)
        return os.pread(descriptor, len(self._ends), start) != self._ends

    def _replaced(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            now, then = os.stat(self.path), os.fstat(self._descriptor)
        except OSError:  # gone: what was open is still read
            return False
        return (now.st_dev, now.st_ino) != (then.st_dev, then.st_ino)

    def _open(self) -> bool:
        try:
            self._descriptor = open_regular(self.path)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{self.path}: cannot be read: {reason}") from None
        self._at, self._ends = 0, b""
        return True

    def close(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


_REMEMBERED = 64  # bytes
