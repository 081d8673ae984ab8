"""Signs of life of a run: a line with the phase and the step, every second at most, for whoever looks from outside.

The lines say that the loop goes on, not only that the process is there: they come from the hooks of the loop, never
from a thread of their own, so that a loop that hangs falls silent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from trainguard.signals.samples import Phase
from trainguard.train.events import LineFile, read_lines

HEARTBEAT = "heartbeat.jsonl"
# A line is about 110 bytes and 30 microseconds: one a second is 9 MB a day and 0.003 % of the time.
_EVERY_SECONDS = 1.0


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One sign of life. `t` is monotonic seconds of the machine, `time` unix seconds, `pid` the process."""

    t: float
    time: float
    pid: int
    phase: Phase
    step: int | None = None


class Heartbeat:
    """Writes the heartbeats of one process. A change of phase is written at once, all else at most once a second."""

    def __init__(
        self, path: Path, *, every_seconds: float = _EVERY_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = LineFile(path)
        self._every = every_seconds
        self._clock = clock
        self._next = -float("inf")
        self.phase: Phase = "idle"

    @property
    def path(self) -> Path:
        return self._file.path

    def beat(self, phase: Phase | None = None, *, step: int | None = None) -> bool:
        """Says that the run is alive, in `phase` or still in the last one. Whether a line was written."""
        now = self._clock()
        if now < self._next and (phase is None or phase == self.phase):
            return False
        self.phase = phase or self.phase
        self._next = now + self._every
        self._file.append(
            {
                "t": round(now, 3),
                "time": round(time.time(), 3),
                "pid": os.getpid(),
                "phase": self.phase,
                "step": step,
            }
        )
        return True

    def close(self) -> None:
        self._file.close()


def read_heartbeats(path: str | Path) -> list[Beat]:
    """The heartbeats in a file, oldest first. A last line that is being written, and lines of another kind, are left
    out; [] where there is no file."""
    beats = []
    for line in read_lines(path):
        try:
            beats.append(msgspec.convert(line, type=Beat))
        except msgspec.ValidationError:
            continue
    return beats
