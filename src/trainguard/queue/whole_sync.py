"""One sync for a whole file system in place of three for each file of a crowd.

syncfs(2) waits until everything that was written is on the disk, contents and names. That holds for file systems of
this machine's disks; FUSE answers at once unless its server has asked for it (Linux 6.1, fs/fuse/inode.c,
fuse_sync_fs), and network file systems answer for this machine only. There each file is synced by itself.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path

from trainguard.facts.machine.mounts import mount_of, read_mounts

# From here on it is a crowd: one sync waits for what others have written too, which fewer files are not worth.
LEAST_FILES = 16
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})
# Before, syncfs did not say that something could not be written (syncfs(2), VERSIONS).
_LEAST_KERNEL = (5, 8)


class WholeSync:
    """To be opened before the first file is written: it tells of what could not be written since then."""

    def __init__(self, descriptor: int, call: Callable[[int], int]) -> None:
        self._descriptor = descriptor
        self._call = call

    @classmethod
    def opened(cls, folders: list[Path]) -> WholeSync | None:
        """For what will be written under `folders`, the first of which is there; None where it cannot be used."""
        call = _syncfs()
        if call is None or not _is_local(folders):
            return None
        try:
            return cls(os.open(folders[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), call)
        except OSError:
            return None

    def sync(self) -> None:
        """Raises OSError where the disk says that it could not write."""
        if self._call(self._descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _is_local(folders: list[Path]) -> bool:
    """Whether all of them lie on one file system, of a kind that is known."""
    mounts = read_mounts()
    mount = mount_of(os.path.realpath(folders[0]), mounts) if mounts is not None else None
    if mount is None or mount.filesystem not in _LOCAL:
        return False
    try:
        return len({os.stat(each).st_dev for each in folders if os.path.lexists(each)}) == 1
    except OSError:
        return False


def _syncfs() -> Callable[[int], int] | None:
    system = os.uname()
    release = re.match(r"(\d+)\.(\d+)", system.release)
    if system.sysname != "Linux" or release is None or (int(release[1]), int(release[2])) < _LEAST_KERNEL:
        return None
    try:
        call: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    return call
