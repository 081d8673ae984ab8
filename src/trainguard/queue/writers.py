"""Who has a file open for writing, as far as the kernel tells this user."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from dataclasses import dataclass

_WRITING = (os.O_WRONLY, os.O_RDWR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writers:
    """`writing` is None where nobody can tell: another machine's writer, a file system without leases."""

    writing: bool | None = None
    pid: int | None = None
    command: str | None = None

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command or '?'})" if self.pid is not None else "a process"


def writers_of(descriptor: int, name: str, *, leases: bool = True) -> Writers:
    """Whether a file that is open as `descriptor` (for reading) is also open for writing, by anybody. Never raises.

    A read lease is refused while anybody on this machine, in whatever container, can still write through a handle or a
    mapping (fcntl(2), F_SETLEASE); it is given back at once. Where the file system or the owner of the file do not
    allow it, the processes of this user are looked through. `leases` False is for network mounts: NFS 4 and CIFS
    refuse a lease with the same error where they merely have no delegation (Linux 6.x, fs/nfs/nfs4proc.c,
    nfs4_add_lease).
    """
    leased = _lease_refused(descriptor) if leases else None
    if leased is False:
        return Writers(writing=False)
    holder = _holder(descriptor, name)
    if holder is not None:
        return holder
    return Writers(writing=leased)


def _lease_refused(descriptor: int) -> bool | None:
    """True: open for writing; False: not; None: leases do not work here."""
    try:
        import fcntl

        take, give_back = fcntl.F_RDLCK, fcntl.F_UNLCK
        # Who opens the file within these microseconds for writing makes the kernel send a signal, by default SIGIO,
        # which would end this process; SIGURG is ignored unless somebody asks for it (signal(7)).
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, take)
    except (ImportError, AttributeError):
        return None
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, give_back)
    return False


def _holder(descriptor: int, name: str) -> Writers | None:
    """A process of this user that has the file open for writing; None where there is none that can be seen."""
    found = os.fstat(descriptor)
    wanted = os.path.basename(name)
    own = os.getpid()
    for process in _numbers("/proc"):
        folder = f"/proc/{process}/fd"
        for number in _numbers(folder):
            try:
                # A stat of the link could hang on somebody's dead mount: only where the name is the same one.
                if os.path.basename(os.readlink(f"{folder}/{number}")) != wanted:
                    continue
                if process == own and number == descriptor:
                    continue
                held = os.stat(f"{folder}/{number}")
                if (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino) and _writes(process, number):
                    return Writers(writing=True, pid=process, command=_command(process))
            except (OSError, ValueError):
                continue
    return None


def _writes(process: int, number: int) -> bool:
    """proc_pid_fdinfo(5): the line `flags:` holds the open flags in octal."""
    with open(f"/proc/{process}/fdinfo/{number}", "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8) & os.O_ACCMODE in _WRITING
    return False


def _command(process: int) -> str | None:
    try:
        with open(f"/proc/{process}/comm", "rb") as file:
            return file.read(64).decode("utf-8", "backslashreplace").strip()
    except OSError:
        return None


def _numbers(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []
