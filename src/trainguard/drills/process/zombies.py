"""Row 49: a run leaves processes behind, in sessions of their own, when it ends and when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.findings import Finding

_MARK = "TRAINGUARD_DRILL"
# A worker in a session of its own, one that has lost its parent besides, and one that is dead and not waited for.
_WORKERS = "setsid sleep 300 & (setsid setsid sleep 300 &) ; sleep 0 & "
_ENDS = {"exit": "exit 0", "kill": "exec sleep 300"}
_DEADLINE_SECONDS = 30.0
_TREE = 2


class Zombies(Drill):
    number = 49
    area = "process"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Two runs with workers of all kinds: one ends by itself, the other is killed."""
        findings: list[Finding] = []
        left: dict[str, int] = {}
        zombies: list[int] = []
        for name, end in _ENDS.items():
            mark = str(scratch / name)
            command = ["/bin/sh", "-c", f"{_WORKERS} sleep 0.2; {end}"]
            try:
                if guard.guarding:
                    finding, pids = _guarded(command, scratch / name, killed=name == "kill")
                    findings += [finding] if finding is not None and finding.code not in guard.ignored else []
                    zombies += [pid for pid in pids if Path(f"/proc/{pid}").exists()]
                else:
                    _plainly(command, {**os.environ, _MARK: mark}, mark, killed=name == "kill")
                left[name] = len(_marked(mark))
            finally:
                for pid in _marked(mark):
                    os.kill(pid, signal.SIGKILL)
        return Outcome(findings=tuple(findings), values={"left": left, "zombies": zombies})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "SYS014", severity="warn", says=["2 processes", "(sleep)"])
        for name, count in outcome.values["left"].items():
            if count:
                yield f"{count} processes of the run live on ({name})"
        for pid in outcome.values["zombies"]:
            yield f"process {pid} was not reaped"


def _guarded(command: list[str], folder: Path, *, killed: bool) -> tuple[Finding | None, tuple[int, ...]]:
    """What is said of the run's end, and the processes that were reaped."""
    from trainguard.daemon.child import Child
    from trainguard.daemon.remains import remains_finding

    child = Child.start(command, folder=folder / "attempt", environment={**os.environ, _MARK: str(folder)})
    if killed:
        _until_there(str(folder))
        child.kill()
    ended = child.wait(_DEADLINE_SECONDS)
    if ended is None:
        raise TimeoutError("the run did not end")
    return remains_finding(ended), ended.pids


def _plainly(command: list[str], environment: dict[str, str], mark: str, *, killed: bool) -> None:
    """As one starts a trainer from a loop."""
    with subprocess.Popen(command, env=environment) as run:
        if killed:
            _until_there(mark)
            run.kill()


def _until_there(mark: str) -> None:
    until = time.monotonic() + _DEADLINE_SECONDS
    while len(_marked(mark)) <= _TREE:
        if time.monotonic() > until:
            raise TimeoutError("the workers did not start")
        time.sleep(0.01)


def _marked(mark: str) -> list[int]:
    """The living processes with the mark in their environment; a zombie has none."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and f"{_MARK}={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
    return found
