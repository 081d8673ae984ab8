"""Asks a command that somebody else has written to stop, so that the process that can save hears of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from trainguard.daemon.child import Child
from trainguard.daemon.processes import Process, catches, send

# A wrapper ends by itself when what it waited for has ended; one that goes on to its next command is asked too.
_WRAPPER_SECONDS = 1.0


class Stopping:
    """A stop that has begun with `number`, SIGTERM or SIGINT. Call `look` until the command has ended.

    SIGINT goes to the command's whole process group, as a terminal sends it. SIGTERM goes to the command; where that
    would die of it without a word to anybody (a shell, `accelerate launch` for one process), to those of its processes
    that catch the signal, and to the command itself once these have ended. At the deadline all is killed.
    """

    def __init__(self, child: Child, *, number: int, deadline_seconds: float) -> None:
        self._child = child
        now = time.monotonic()
        self._until = now + deadline_seconds
        self._told: list[Process] = []
        self._told_at = now
        self._gone_at: float | None = None
        self._killed = False
        tree = child.tree()
        if number == signal.SIGINT and child.pid is not None and any(each.pid == child.pid for each in tree):
            # The command leads a group of its own (daemon/nanny.py).
            with suppress(OSError):
                os.killpg(child.pid, signal.SIGINT)
        else:
            self._told = [] if child.pid is None else listeners(child.pid, tree, number)
            for each in self._told:
                send(each, number)
            if not self._told:
                child.signal(number)
        # One that is stopped hears nothing before it goes on.
        for each in tree:
            send(each, signal.SIGCONT)

    def look(self, *, hurry: bool = False) -> None:
        """Goes on with it. `hurry`: the user will not wait any longer."""
        now = time.monotonic()
        if hurry or now >= self._until:
            if not self._killed:
                self._killed = True
                self._child.kill()
            return
        if not self._told:
            return
        living = {(each.pid, each.started) for each in self._child.tree()}
        if any((each.pid, each.started) in living for each in self._told):
            return
        if self._gone_at is None:
            self._gone_at = now
        elif now - self._gone_at >= _WRAPPER_SECONDS:
            self._told = []
            self._child.signal(signal.SIGTERM)


def listeners(command: int, tree: Iterable[Process], number: int) -> list[Process]:
    """The processes of a command to which a signal has to be sent for the run to hear it; [] for the command itself.

    Whoever catches the signal looks after its own children: launchers do. Copies of a process, such as the workers of a
    DataLoader, are no runs.
    """
    children: dict[int, list[Process]] = {}
    for each in tree:
        children.setdefault(each.parent, []).append(each)
    found: list[Process] = []
    waiting = [] if catches(command, number) else [command]
    while waiting:
        above = waiting.pop()
        words = _words(above)
        for each in children.get(above, ()):
            if _words(each.pid) == words:
                continue
            if catches(each.pid, number):
                found.append(each)
            else:
                waiting.append(each.pid)
    return found


def _words(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""
