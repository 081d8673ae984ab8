"""The newest lines of a file of JSON lines that grows for weeks: read from where the last look ended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

# More than a minute's heartbeats by far. What is older than this when somebody looks is left out.
_MOST_BYTES = 1 << 20


class NewLines:
    """Reads what is appended to a file. `from_end` leaves out what stands there now.

    The same file that was emptied, and another one under its name, are read from their beginning. Never raises.
    """

    def __init__(self, path: Path, *, from_end: bool = True, most_bytes: int = _MOST_BYTES) -> None:
        self.path = path
        self._most = most_bytes
        self._rest = b""
        self._place: tuple[int, int] | None = None  # device and inode
        self._offset = 0
        if from_end:
            try:
                status = os.stat(path)
            except OSError:
                return
            self._place, self._offset = (status.st_dev, status.st_ino), status.st_size

    def bytes(self) -> bytes:
        """What is new, at most the last `most_bytes` of it."""
        try:
            # Not blocking: nobody waits for the other end where the name has become that of a pipe.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            status = os.fstat(descriptor)
            place = (status.st_dev, status.st_ino)
            if place != self._place or status.st_size < self._offset:
                self._place, self._offset, self._rest = place, 0, b""
            if status.st_size - self._offset > self._most:
                self._offset, self._rest = status.st_size - self._most, b""
            content = os.pread(descriptor, status.st_size - self._offset, self._offset)
        except OSError:
            return b""
        finally:
            os.close(descriptor)
        self._offset += len(content)
        return content

    def lines(self) -> list[dict[str, Any]]:
        """The new lines that are whole and JSON objects, oldest first."""
        *whole, self._rest = (self._rest + self.bytes()).split(b"\n")
        self._rest = self._rest[-self._most :]
        found = []
        for line in whole:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found.append(value)
        return found


def last_bytes(path: Path, most_bytes: int) -> bytes:
    """The end of a file; b"" where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, most_bytes, max(size - most_bytes, 0))
    except OSError:
        return b""
    finally:
        os.close(descriptor)
