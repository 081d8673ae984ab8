"""Files and names that outlive a power cut: written beside, synced, renamed, and the folder synced after it."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

# What a sync says where bytes or names were really lost (fsync(2)). Everything else is a file system that cannot sync
# a folder: EINVAL and EBADF, which PostgreSQL lets be too (fd.c, `fsync_fname_ext`), ENOSYS of FUSE and others.
_LOST = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE})
_LONGEST_PREFIX = 100  # of 255 bytes that a name may have (limits.h, NAME_MAX)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power cut. A file system that refuses to sync a folder is let be.

    Raises OSError where there is no such folder, and where the disk says that it could not write.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder that may be written and not read: the names stand, and nobody here can sync them
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _LOST:
            raise
    finally:
        os.close(descriptor)


def write_atomically(
    path: Path, content: bytes, *, mode: int = 0o644, sync: bool = True, sync_content: bool = True
) -> None:
    """Replaces `path` in one step: whoever reads it sees the old content or the new one, whole, after a power cut too.

    A killed process may leave a file that begins with `temporary_prefix(path)`, which nobody reads. Raises OSError
    where it cannot be written; then the old content stands. `sync` False leaves the sync of the folder to the caller,
    who does it once for many files, and `sync_content` False that of the file: a power cut before may leave neither.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=temporary_prefix(path), dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if sync_content:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if sync:
        sync_folder(path.parent)


def temporary_prefix(path: Path) -> str:
    """How the names of the temporary files for `path` begin."""
    name = os.fsencode(path.name)[:_LONGEST_PREFIX].decode("utf-8", "ignore")
    return f".tmp-{name}-"


def make_folder(folder: Path) -> None:
    """Makes a folder, with those above it, so that its name survives a power cut. Raises OSError."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)  # below a link that leads nowhere it cannot be made at all
    sync_folder(folder.parent)


def make_folder_below(root: Path, folder: Path) -> None:
    """As `make_folder`, but neither `root` itself nor what is above it: where a mount is gone, its mount point is left
    as it is. Raises FileNotFoundError then, and OSError."""
    if folder == root or root not in folder.parents:
        os.stat(root)
        return
    try:
        folder.mkdir()
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder_below(root, folder.parent)
        folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
