"""A control group of its own for each attempt, where the system has left some to this process (cgroup v2).

With it the kernel's kills for memory and the peak of all processes together are those of the attempt, and nothing that
the attempt has started escapes its end. Without it, as on most machines without systemd, all is as before.

Groups are made only below a group that the service manager has delegated: it marks those (systemd 252,
src/core/cgroup.c, cgroup_xattr_apply: `trusted.delegate` and `user.delegate`), and everywhere else the tree is its own
(systemd, docs/CGROUP_DELEGATION.md). A group with controllers for its children has no processes of its own
(Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint"), so the daemon moves into one beside them.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from trainguard.daemon.processes import kill_group
from trainguard.facts.machine.mounts import read_mounts

_DAEMON = "daemon"
_MARKS = ("trusted.delegate", "user.delegate")
_PROCESSES, _EVENTS, _PEAK = "cgroup.procs", "memory.events", "memory.peak"
_CONTROL, _CONTROLLERS = "cgroup.subtree_control", "cgroup.controllers"


class _Place:
    """Where groups may be made; the same for the whole process, as its own group is."""

    base: Path | None = None


def prepare(root: Path = Path("/")) -> Path | None:
    """Finds where groups may be made, once for this process, before it starts any other; None where nowhere."""
    _Place.base = None
    with suppress(OSError):
        own = _own_group(root)
        if own is not None:
            base = own.parent if own.name == _DAEMON and _is_delegated(own.parent) else own
            if _is_delegated(base):
                _count_memory(base, own)
                _Place.base = base
    return _Place.base


def _own_group(root: Path) -> Path | None:
    lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    group = next((line.partition("::")[2] for line in lines if line.startswith("0::")), None)
    if group is None or ".." in Path(group).parts:
        return None
    for mount in read_mounts(root / "proc/self/mountinfo") or ():
        if mount.filesystem == "cgroup2":
            folder = root / mount.mount_point.lstrip("/") / group.lstrip("/")
            if folder.is_dir():
                return folder
    return None


def _is_delegated(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    for mark in _MARKS:
        with suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def _count_memory(base: Path, own: Path) -> None:
    """Has memory counted for each group below `base`. Where that cannot be, all stays as it was."""
    if "memory" in _words(base / _CONTROL) or "memory" not in _words(base / _CONTROLLERS):
        return
    beside = base / _DAEMON
    if own == base:
        beside.mkdir(exist_ok=True)
        _write(beside / _PROCESSES, str(os.getpid()))
    try:
        _write(base / _CONTROL, "+memory")
    except OSError:
        if own == base:
            # Where the daemon counts nothing, it must not leave the group that does.
            with suppress(OSError):
                _write(base / _PROCESSES, str(os.getpid()))
                beside.rmdir()


class Group:
    """The group of one attempt. None of its methods raises."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, folder: Path) -> Group | None:
        """For the attempt in `folder`; None where none can be had."""
        if _Place.base is None:
            return None
        name = f"{_prefix(folder.parent.parent)}{folder.parent.name}-{folder.name}"
        for each in (name, f"{name}-{os.getpid()}"):
            with suppress(OSError, ValueError):
                (_Place.base / each).mkdir()
                return cls(_Place.base / each)
        return None

    @property
    def processes(self) -> set[int]:
        """The numbers of all that is in it and in groups below it, as this process sees them."""
        found: set[int] = set()
        for place, _, _ in os.walk(self.path):
            found |= {int(each) for each in _words(Path(place) / _PROCESSES) if each.isdigit()}
        return found - {0, os.getpid()}  # 0: of another namespace

    @property
    def oom_kills(self) -> int | None:
        """The kernel's kills for memory in it and below; None where that is not counted."""
        for line in _text(self.path / _EVENTS).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.strip().isdigit():
                return int(value)
        return None

    @property
    def peak_bytes(self) -> int | None:
        """The most memory of all its processes together, with the pages of files (since Linux 5.19)."""
        value = _text(self.path / _PEAK).strip()
        return int(value) if value.isdigit() else None

    def kill(self) -> bool:
        """SIGKILL to all that is in it, also to what is being forked (since Linux 5.14); whether that could be asked
        for."""
        return kill_group(os.fsencode(self.path))

    def remove(self) -> None:
        """Gives it back, with what was made below it. One in which something lives stays."""
        for place, _, _ in os.walk(self.path, topdown=False):
            with suppress(OSError):
                os.rmdir(place)


def remove_old(attempts: Path) -> None:
    """Gives back the groups of attempts below the folder `attempts` in which nothing lives any more."""
    if _Place.base is None:
        return
    prefix = _prefix(attempts)
    with suppress(OSError):
        for each in list(_Place.base.iterdir()):
            if each.name.startswith(prefix) and each.is_dir() and not Group(each).processes:
                Group(each).remove()


def _prefix(attempts: Path) -> str:
    """Of two daemons in one delegated group each has names of its own."""
    place = hashlib.sha256(os.fsencode(os.path.realpath(attempts))).hexdigest()[:8]
    return f"attempt-{place}-"


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="ascii") as file:  # one write(2), as the kernel wants it
        file.write(text)
