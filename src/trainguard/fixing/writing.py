"""Replaces a file at once: a reader sees the old content or the new, whatever happens in between."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from trainguard.durable import sync_folder
from trainguard.fixing.changes import CannotFixError, WriteError


def replace_file(path: Path, before: bytes, after: bytes) -> None:
    """Writes `after` to the file that holds `before`; mode, owner and a link to it stay.

    Raises CannotFixError where it holds something else by now, and WriteError where it cannot be written: then
    it is as it was.
    """
    target = Path(os.path.realpath(path))
    try:
        status = target.stat()
        # A file that nobody may write is meant to stay; the folder alone would let it be replaced.
        if not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(target, os.W_OK):
            raise WriteError(f"{path}: cannot be written: it is read-only")
        _replace(target, before, after, status)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}; it is as it was") from None


def _replace(target: Path, before: bytes, after: bytes, status: os.stat_result) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            file.write(after)
            file.flush()
            with suppress(OSError):  # not ours to give away: the file is the writer's then, as an editor leaves it
                os.fchown(handle, status.st_uid, status.st_gid)
            os.fchmod(handle, stat.S_IMODE(status.st_mode))
            os.fsync(handle)
        if target.read_bytes() != before:
            raise CannotFixError("it changed since it was checked")
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    with suppress(OSError):  # the content is safe by now
        sync_folder(target.parent)
