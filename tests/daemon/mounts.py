"""File systems that die, for real: one that never answers, and a mount that is taken away and comes back."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_BIND, _DETACH = 0x1000, 2  # MS_BIND, MNT_DETACH (mount(2), umount(2))


def mount(source: str | Path, at: Path, kind: str, flags: int = 0, options: str = "") -> None:
    if _LIBC.mount(os.fsencode(source), os.fsencode(at), kind.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(at))


def bind(source: Path, at: Path) -> None:
    mount(source, at, "none", _BIND)


def detach(at: Path) -> None:
    """At once, though somebody has files open there: as a share that is gone."""
    if _LIBC.umount2(os.fsencode(at), _DETACH):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(at))


def can_mount(folder: Path) -> bool:
    folder.mkdir()
    try:
        with dead(folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def dead(at: Path) -> Iterator[None]:
    """A file system at this path whose server takes questions and never answers (fuse(4)): each call on it hangs.

    At the end its connection is cut, so that whoever hangs gets ENOTCONN, and what was there before is seen again.
    """
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        mount("dead", at, "fuse", 0, f"fd={server},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}")
        try:
            yield
        finally:
            detach(at)
    finally:
        os.close(server)
