"""One daemon serves a folder at a time: a lock of the kernel's, held for life. The number of its process is only told.

A lock that a file with a process number stands for outlives a power cut, and the number is another process's by then.
This one is a POSIX record lock (fcntl(2), F_SETLK), as that of a run: it dies with its process, whoever it has forked,
and over NFS it holds between machines. Closing any descriptor of the file gives it up, so nothing else opens it.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from trainguard.daemon.processes import boot_id
from trainguard.durable import write_atomically
from trainguard.errors import TrainguardError, UsageError
from trainguard.findings import Evidence, Finding, Fix

# `struct flock` of Linux on 64 bits (fcntl.h): type, whence, start, length, process.
_FLOCK = "hhqqi4x"

# Descriptors by real path: those of this process's own locks, which must not be opened a second time.
_HELD: dict[str, int] = {}


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock. `pid` is the kernel's word where it has one, else what the holder wrote about itself."""

    pid: int | None = None
    host: str | None = None
    started: float | None = None

    def __str__(self) -> str:
        parts = [f"process {self.pid}" if self.pid else ""]
        if self.host and self.host != platform.node():
            parts.append(f"on {self.host}")
        if self.started:
            parts.append(f"since {time.strftime('%Y-%m-%d %H:%M', time.localtime(self.started))}")
        return " ".join(filter(None, parts))


class AlreadyRunningError(TrainguardError):
    """Another daemon holds the folder. `finding` is SYS009. Exit code 1."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class DaemonLock:
    """The lock of a daemon's folder. `name` tells daemons apart that may share one (several machines, one database)."""

    def __init__(self, home: Path, *, name: str = "daemon") -> None:
        self.home = home
        self.path = home / f"{name}.lock"
        self.about = home / f"{name}.json"
        self._key: str | None = None

    def take(self) -> DaemonLock:
        """Takes it or says at once who has it.

        Raises AlreadyRunningError, and UsageError where the folder cannot be written or has no locks.
        """
        if self._key is not None:
            return self
        key = os.path.realpath(self.path)
        if key in _HELD:
            raise AlreadyRunningError(_finding(self.home, Holder(pid=os.getpid())))
        try:
            import fcntl

            self.home.mkdir(parents=True, exist_ok=True)
            descriptor = self._open(fcntl)
        except (ImportError, OSError) as error:
            words = getattr(error, "strerror", None) or error
            raise UsageError(
                f"{self.path} cannot be locked: {words}; the daemon needs a folder that it may write to, on a file "
                "system with locks: choose another output_dir"
            ) from None
        _HELD[key] = descriptor
        self._key = key
        self._tell()
        return self

    def _open(self, fcntl: Any) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = _written(self.about, lock_holder(descriptor)[1])
                os.close(descriptor)
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise AlreadyRunningError(_finding(self.home, holder)) from None
                raise
            # Somebody may have removed the file between the opening and the lock: then it locks nobody out.
            with suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    return descriptor
            os.close(descriptor)

    def _tell(self) -> None:
        said = {"pid": os.getpid(), "host": platform.node(), "started": round(time.time(), 3), "boot": boot_id()}
        # For people alone; a full disk is no reason not to start.
        with suppress(OSError):
            write_atomically(self.about, json.dumps(said).encode() + b"\n")

    def renew(self) -> None:
        """After its folder was away: takes the lock anew where another file, or none, stands at its path now.

        Raises what `take` raises.
        """
        key = self._key
        if key is not None:
            with suppress(OSError):
                if os.path.samestat(os.fstat(_HELD[key]), os.stat(self.path)):
                    return
            self._key = None
            os.close(_HELD.pop(key))
        self.take()

    def release(self) -> None:
        key, self._key = self._key, None
        if key is None:
            return
        with suppress(OSError):
            self.about.unlink()
        os.close(_HELD.pop(key))

    def __enter__(self) -> DaemonLock:
        return self.take()

    def __exit__(self, *_: object) -> None:
        self.release()


def holder(home: Path, *, name: str = "daemon") -> Holder | None:
    """Who holds the folder now, None where nobody does: asked of the kernel, whatever a file says.

    Raises UsageError where the lock may not be read.
    """
    path, about = home / f"{name}.lock", home / f"{name}.json"
    if os.path.realpath(path) in _HELD:
        return _written(about, os.getpid())
    try:
        # Only asked for, never taken: a daemon that starts at this moment must find it free. To ask, reading is enough.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise UsageError(f"whether a daemon runs cannot be told: {path}: {error.strerror}; ask as its user") from None
    except OSError:
        return None
    try:
        held, pid = lock_holder(descriptor)
    finally:
        os.close(descriptor)
    return _written(about, pid) if held else None


def lock_holder(descriptor: int) -> tuple[bool, int | None]:
    """Whether another process holds the lock, and which, where it is one of this machine and container."""
    if sys.platform != "linux":
        return False, None
    import fcntl

    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    except (OSError, struct.error):
        return False, None
    return kind != fcntl.F_UNLCK, pid if pid > 0 else None


def _written(about: Path, pid: int | None) -> Holder:
    """What the holder wrote about itself, unless the kernel names another one: then it has not written yet."""
    try:
        said = json.loads(about.read_bytes())
        told = msgspec.convert(said, type=Holder)
    except (OSError, ValueError, RecursionError, msgspec.ValidationError):
        told = Holder()
    return told if pid is None or told.pid == pid else Holder(pid=pid)


def _finding(home: Path, whom: Holder) -> Finding:
    words = str(whom) or "a process of another machine or container"
    return Finding(
        severity="error",
        message=f"a daemon already serves {home}: {words}; two would train each file twice, so this one ends at once",
        code="SYS009",
        name="already-running",
        fix=Fix("use that one (`trainguard daemon status CONFIG`), or end it first: `trainguard daemon stop CONFIG`"),
        evidence=Evidence({"pid": whom.pid, "host": whom.host, "folder": str(home)}),
        docs="docs/rules/SYS009.md",
    )
