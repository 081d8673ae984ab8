"""Processes of this machine, told apart for certain: by number, start and boot, never by the number alone.

The standard library's small parts only, since the nanny of an attempt loads this and must start in no time and stay
small. Everything is read from /proc (proc_pid_stat(5), proc_pid_environ(5)); where there is none, nothing is found.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

# Whoever belongs to an attempt carries its folder, and the daemon that began it, in its environment.
MARK = "TRAINGUARD_ATTEMPT"
DAEMON_MARK = "TRAINGUARD_DAEMON"

# include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_DEAD = frozenset("ZXx")
STOPPED = frozenset("Tt")  # proc_pid_stat(5): stopped on a signal, stopped by a tracer


class Process(NamedTuple):
    """A process as /proc/PID/stat describes it. `started` counts clock ticks since the boot."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    started: int

    @property
    def is_dead(self) -> bool:
        return self.state in _DEAD


class Identity(NamedTuple):
    """What no second process has: number, start, boot, and the name space in which the number counts."""

    pid: int
    started: int
    boot: str
    namespace: str

    def text(self) -> str:
        return ":".join(str(part) for part in self)

    @classmethod
    def parse(cls, text: str) -> Identity | None:
        parts = text.split(":", 3)
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts[:2]):
            return None
        return cls(int(parts[0]), int(parts[1]), parts[2], parts[3])


def boot_id() -> str:
    """Changes with every boot of the machine; "" where it cannot be told (random(4))."""
    return _text("/proc/sys/kernel/random/boot_id").strip()


def namespace_id() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").replace(":", "")
    except OSError:
        return ""


def process(pid: int) -> Process | None:
    """The process of that number as it is now, None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            content = file.read()
    except OSError:
        return None
    # 4242 (a name) S 1 ...: the name may hold blanks and brackets, so the last bracket counts.
    head, _, tail = content.rpartition(b")")
    fields = tail.split()
    if len(fields) < 20:
        return None
    name = head.partition(b"(")[2].decode("utf-8", "backslashreplace")
    return Process(pid, name, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def processes() -> list[Process]:
    """All that can be seen, zombies among them."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return [found for name in names if name.isdigit() and (found := process(int(name))) is not None]


def descendants(roots: Iterable[int], among: Iterable[Process] | None = None) -> list[Process]:
    """The children of `roots`, their children and so on, zombies among them; not the roots."""
    children: dict[int, list[Process]] = {}
    for each in processes() if among is None else among:
        children.setdefault(each.parent, []).append(each)
    found: list[Process] = []
    waiting = list(roots)
    while waiting:
        for child in children.pop(waiting.pop(), ()):
            found.append(child)
            waiting.append(child.pid)
    return found


def ancestors(pid: int) -> Iterator[int]:
    """`pid`, its parent, and so on."""
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        seen.add(pid)
        yield pid
        found = process(pid)
        pid = found.parent if found is not None else 0


def identity(pid: int) -> Identity | None:
    """None where there is no such process, or no way to tell it from the next one of its number."""
    found = process(pid)
    boot = boot_id()
    return Identity(pid, found.started, boot, namespace_id()) if found is not None and boot else None


def is_alive(whom: Identity) -> bool:
    """Whether this very process lives: a zombie and another one of the same number do not count."""
    if whom.boot != boot_id() or whom.namespace != namespace_id():
        return False
    found = process(whom.pid)
    return found is not None and found.started == whom.started and not found.is_dead


def marks(pid: int) -> dict[str, str]:
    """The marks in the environment with which a process was started; {} where it may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            content = file.read()
    except OSError:
        return {}
    found = {}
    for name in (MARK, DAEMON_MARK):
        start = f"{name}=".encode()
        for entry in content.split(b"\0"):
            if entry.startswith(start):
                found[name] = os.fsdecode(entry[len(start) :])
                break
    return found


def send(whom: Identity | Process, number: int) -> bool:
    """Sends a signal to this very process and no other; whether it was there.

    Through a descriptor of the process where the kernel has them (pidfd_open(2), Linux 5.3), so that the number cannot
    go to another process between the look and the signal.
    """
    opened = getattr(os, "pidfd_open", None)
    if opened is None:
        return _is_same(whom) and _kill(whom.pid, number)
    try:
        descriptor = opened(whom.pid)
    except OSError:
        return _is_same(whom) and _kill(whom.pid, number) if process(whom.pid) is not None else False
    try:
        if not _is_same(whom):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def end_all(find: Iterator[list[Process]], *, deadline_seconds: float) -> tuple[list[Process], list[Process]]:
    """Kills what `find` gives until it gives nothing that lives. Those that were killed, and those that would not die.

    Whoever waits in the kernel for a device cannot be killed until that answers, hence the deadline.
    """
    killed: dict[tuple[int, int], Process] = {}
    until = time.monotonic() + deadline_seconds
    pause = 0.001
    for found in find:
        living = [each for each in found if not each.is_dead]
        if not living:
            return list(killed.values()), []
        if time.monotonic() > until:
            return list(killed.values()), living
        for each in living:
            if (each.pid, each.started) not in killed and send(each, signal.SIGKILL):
                killed[each.pid, each.started] = each
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return list(killed.values()), []


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal (SigCgt in proc_pid_status(5)), which would end it otherwise."""
    for line in _text(f"/proc/{pid}/status").splitlines():
        if line.startswith("SigCgt:"):
            with suppress(ValueError):
                return bool(int(line[7:].strip(), 16) >> (number - 1) & 1)
    return False


def become_subreaper() -> bool:
    """From now on orphans among this process's descendants become its children, and can be reaped (prctl(2))."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """The kernel kills this process when the thread that forked it ends; the caller checks getppid() afterwards."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    function = ctypes.CDLL(None, use_errno=True).prctl
    function.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return int(function(option, value, 0, 0, 0)) == 0


def _is_same(whom: Identity | Process) -> bool:
    if isinstance(whom, Identity):
        return is_alive(whom)
    found = process(whom.pid)
    return found is not None and found.started == whom.started


def _kill(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def join_group(group: bytes, pid: int) -> bool:
    """Moves a process into a control group, with what it starts from then on; whether it is there."""
    return _tell(os.path.join(group, b"cgroup.procs"), str(pid))


def kill_group(group: bytes) -> bool:
    """SIGKILL to all in a control group, also to what is being forked (cgroup v2, Linux 5.14); whether it was sent."""
    return _tell(os.path.join(group, b"cgroup.kill"), "1")


def _tell(path: bytes, text: str) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.write(descriptor, text.encode()) > 0
    except OSError:
        return False
    finally:
        os.close(descriptor)
