"""Row 34: max_length is beyond the positions of the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.guard import Guard


class MaxLengthTooLarge(Drill):
    number = 34
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = write_run(scratch, max_length=4096)
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG008", says=["max_length", "4,096", "128"])
        yield from surplus(outcome, "CFG008")
