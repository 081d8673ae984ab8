"""Hangs, seen from outside: a run that has given no sign of life for longer than it ever needed.

Signs of life are the heartbeats that the run's loop writes, so it does not matter what the process is caught in: the
interpreter's lock, a collective, a file system, a stop signal. Their times are not believed; what counts is for how
long the watcher, on its own monotonic clock, has seen no new one. That clock stands still while the machine sleeps
(clock_gettime(2), CLOCK_MONOTONIC), and time in which the watcher itself did not look is not held against the run.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import get_args

import msgspec

from trainguard.daemon.beats import NewLines
from trainguard.daemon.processes import STOPPED, Process, catches, identity, process, send
from trainguard.recovery.records import Phase
from trainguard.train.events import FOLDER
from trainguard.train.heartbeat import HEARTBEAT, Beat

# Seconds of silence that are nothing yet. A false end costs a night, so they are long: torch lets a collective wait for
# 10 minutes with NCCL and 30 with gloo (torch 2.13, distributed/constants.py), and a hang that torch ends itself comes
# with its reason. 140 GB of weights at 100 MB/s take 23 minutes; tokenising depends on the data only.
FLOORS: Mapping[Phase, float] = {
    "load": 1800.0,
    "tokenize": 7200.0,
    "train": 600.0,
    "evaluate": 1800.0,
    "save": 1800.0,
    "idle": 1800.0,
    "unknown": 1800.0,
}
# Before the second sign of life of a training loop: compilation and autotuning (torch.compile takes minutes).
_FIRST_STEP = 1800.0
# Silences of healthy runs vary by less than 4 from their slowest (measured for RUN008, `slowest_factor`); evaluations
# and saves vary with the load of the network.
_FACTOR = 5.0
_MEASURED_STEPS = 3
_FIRST_FACTOR = 2.0
# While a run loads or tokenises it gives no sign; a download and a read are told from a hang by the bytes they move.
_MOVING_PHASES = frozenset({"load", "tokenize", "save", "idle", "unknown"})
_MOVING_BYTES_PER_SECOND = 64 * 1024
# Even so it ends: a loop that reads the same file for ever moves bytes too.
_MOVING_TIMES = 6.0
# Longer than this between two looks the watcher was not there, or stopped along with the run.
_LONGEST_LOOK = 60.0


class Hang(msgspec.Struct, frozen=True, kw_only=True):
    """No sign of life for `silent_seconds`, where `budget_seconds` were given. `stopped` says that somebody has stopped
    the process (SIGSTOP, a debugger): it hears nothing before a SIGCONT. `pid` is the process of the last heartbeat."""

    phase: Phase
    step: int | None
    silent_seconds: float
    budget_seconds: float
    slowest_seconds: float | None
    pid: int | None
    stopped: bool = False

    @property
    def why(self) -> str:
        at = f" at step {self.step:,}" if self.step is not None else ""
        doing = "before its first sign of life" if self.phase == "unknown" else f"in phase {self.phase}{at}"
        longest = f"; its longest silence there so far was {self.slowest_seconds:.1f} s" if self.slowest_seconds else ""
        stopped = (
            f"; process {self.pid} is stopped (SIGSTOP), `kill -CONT {self.pid}` lets it go on" if self.stopped else ""
        )
        return (
            f"no sign of life for {self.silent_seconds:.0f} s {doing}, where {self.budget_seconds:.0f} s are given"
            f"{longest}{stopped}"
        )


class HangWatch:
    """Watches the heartbeats of one attempt from its start on. Ask `look` every second or so.

    `hang_seconds` (`guard.hang_seconds`) takes the place of what is given to a step of training; with `every_phase` it
    does so for all phases. `tree` gives the processes of the attempt, for what only they show.
    """

    def __init__(
        self,
        output_dir: Path,
        *,
        hang_seconds: float | None = None,
        every_phase: bool = False,
        tree: Callable[[], Iterable[Process]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lines = NewLines(output_dir / FOLDER / HEARTBEAT)
        self._hang_seconds = hang_seconds
        self._every_phase = every_phase
        self._tree = tree
        self._clock = clock
        self._looked = clock()
        self._silent = 0.0
        self._moving = 0.0
        self._moved: int | None = None
        self._gaps: dict[Phase, tuple[float, ...]] = {}
        self._first_step: float | None = None
        self._train_beats = 0
        self.last: Beat | None = None

    @property
    def phase(self) -> Phase:
        return self.last.phase if self.last is not None else "unknown"

    @property
    def silent_seconds(self) -> float:
        """How long no sign of life has been seen, as of the last look."""
        return self._silent + self._moving

    @property
    def budget_seconds(self) -> float:
        """How long the phase may be silent."""
        phase = self.phase
        if self._hang_seconds is not None and (phase == "train" or self._every_phase):
            return self._hang_seconds
        floor = FLOORS[phase]
        if phase == "train" and self._train_beats < 2:
            floor = max(floor, _FIRST_STEP)
        return max(floor, _FACTOR * (self._slowest(phase) or 0.0), self._first_budget(phase))

    def _slowest(self, phase: Phase) -> float | None:
        """The longest silence of the phase; of many steps the third longest: one may have been stopped by hand."""
        gaps = self._gaps.get(phase)
        return gaps[-1] if gaps else None

    def _first_budget(self, phase: Phase) -> float:
        """The first step compiles, and is no measure for the others but while there are no others."""
        few = len(self._gaps.get("train", ())) < _MEASURED_STEPS
        return _FIRST_FACTOR * self._first_step if phase == "train" and few and self._first_step is not None else 0.0

    def look(self) -> Hang | None:
        """The hang, where there is one now. Never raises."""
        now = self._clock()
        passed = min(max(now - self._looked, 0.0), _LONGEST_LOOK)
        self._looked = now
        beats = [beat for line in self._lines.lines() if (beat := _beat(line)) is not None]
        if beats:
            self._learn(beats)
            self._silent = self._moving = 0.0
            self._moved = None
            return None
        if self._is_moving(passed):
            self._moving += passed
        else:
            self._silent += passed
        budget = self.budget_seconds
        if self._silent < budget and self._silent + self._moving < _MOVING_TIMES * budget:
            return None
        pid = self.last.pid if self.last is not None else None
        return Hang(
            phase=self.phase,
            step=self.last.step if self.last is not None else None,
            silent_seconds=self._silent + self._moving,
            budget_seconds=budget,
            slowest_seconds=self._slowest(self.phase),
            pid=pid,
            stopped=_is_stopped(pid),
        )

    def _learn(self, beats: list[Beat]) -> None:
        """The silences that this run has come through, by the phase in which they were."""
        for beat in beats:
            before, self.last = self.last, beat
            same = before is not None and before.pid == beat.pid
            if beat.phase == "train":
                self._train_beats = self._train_beats + 1 if same else 1
            if before is None or not same:
                continue
            # Both of one process, and so by one clock that does not go back.
            gap = max(beat.t - before.t, 0.0)
            if before.phase == "train" and self._train_beats == 2 and beat.phase == "train":
                self._first_step = gap
                continue
            most = _MEASURED_STEPS if before.phase == "train" else 1
            self._gaps[before.phase] = tuple(sorted((*self._gaps.get(before.phase, ()), gap), reverse=True)[:most])

    def _is_moving(self, passed: float) -> bool:
        """Whether the attempt reads or writes, in a phase in which it gives no other sign."""
        if self._tree is None or self._every_phase or self.phase not in _MOVING_PHASES:
            return False
        moved = sum(_moved_bytes(each.pid) for each in self._tree())
        before, self._moved = self._moved, moved
        return before is not None and moved - before >= _MOVING_BYTES_PER_SECOND * max(passed, 0.1)


def ask_for_stacks(pid: int, *, stacks: Path, deadline_seconds: float = 5.0) -> bool:
    """SIGUSR1 to a process that writes its stacks down on it, and waits until they grew; whether they did.

    faulthandler's handler needs no lock of the interpreter. A process without a handler is left alone: the signal would
    end it and tell nothing. One that is stopped hears nothing.
    """
    whom = identity(pid)
    if whom is None or _is_stopped(pid) or not catches(pid, signal.SIGUSR1):
        return False
    before = _size(stacks)
    if not send(whom, signal.SIGUSR1):
        return False
    until = time.monotonic() + deadline_seconds
    grew = False
    while time.monotonic() < until:
        size = _size(stacks)
        if grew and size == before:  # written to its end
            return True
        grew, before = grew or size > before, size
        time.sleep(0.05)
    return grew


def _beat(line: Mapping[str, object]) -> Beat | None:
    try:
        beat = msgspec.convert(line, type=Beat)
    except msgspec.ValidationError:
        return None
    known = beat.phase in get_args(Phase) and beat.pid > 0 and math.isfinite(beat.t)
    return beat if known else None


def _is_stopped(pid: int | None) -> bool:
    found = process(pid) if pid is not None else None
    return found is not None and found.state in STOPPED


def _moved_bytes(pid: int) -> int:
    """What a process has read and written so far, through the page cache or not (proc_pid_io(5))."""
    wanted = (b"rchar:", b"wchar:", b"read_bytes:")
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(wanted))
    except (OSError, ValueError, IndexError):
        return 0


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
