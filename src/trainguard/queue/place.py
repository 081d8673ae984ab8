"""Is the queue's folder the one that it was? Where a mount is gone, an empty folder stands at the same path.

Each folder gets a mark, once: a file with a random number in it. Whoever has seen the mark and does not find it again
makes no folder, takes no queue for empty and trains nothing: it waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from trainguard.durable import sync_folder, write_atomically

MARK = "place"
_FORM = re.compile(rb"[0-9a-f]{32}\s*", re.ASCII)
# What a path says that has no such file, or no such folder, any more (open(2)).
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class Place:
    """The folder `home`. `number` is that of its mark, once it is known."""

    def __init__(self, home: Path, number: str | None = None) -> None:
        self.home = home
        self.number = number

    @property
    def mark(self) -> Path:
        return self.home / MARK

    def read(self) -> str | None:
        """The number that stands there; None where there is no mark, or one that was damaged. Raises OSError."""
        try:
            with open(self.mark, "rb") as file:
                content = file.read(64)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise
        return content.decode().strip() if _FORM.fullmatch(content) else None

    def claim(self) -> str:
        """Remembers the number of the folder, which is given one where it has none. Raises OSError."""
        self.number = self.read() or self._give()
        return self.number

    def away(self) -> str | None:
        """Why the folder is not there now; None where it is, or where its number was never known."""
        if self.number is None:
            return None
        try:
            found = self.read()
        except OSError as error:
            return f"{self.home}: {error.strerror or error}"
        return None if found == self.number else other_place(self.home, found, self.number)

    def _give(self) -> str:
        """Several daemons may share the folder: the mark that comes first is everybody's."""
        number = secrets.token_hex(16)
        temporary = self.mark.with_name(f".new-{MARK}-{number[:12]}")
        write_atomically(temporary, f"{number}\n".encode(), sync=False)
        try:
            with contextlib.suppress(FileExistsError):
                _link(temporary, self.mark)
            found = self.read()
            if found is None:  # damaged: that is nobody's number
                os.replace(temporary, self.mark)
                found = number
            sync_folder(self.home)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return found


def other_place(home: Path, found: str | None, number: str) -> str:
    """Why `home` is not the folder with this number, and what to do."""
    if found is not None:
        return f"{home} is the folder of another queue now: its file {MARK} says {found[:8]}…, not {number[:8]}…"
    return (
        f"{home} is not the queue's folder now, its file {MARK} is missing: the mount is gone, or the folder; mount it "
        f"again, or where it was removed on purpose: mkdir -p {home} && echo {number} > {home / MARK}"
    )


def _link(source: Path, target: Path) -> None:
    """As link(2); where a file system has none, made with O_EXCL."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, source.read_bytes())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
