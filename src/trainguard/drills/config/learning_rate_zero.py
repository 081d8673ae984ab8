"""Row 37: learning_rate is 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.guard import Guard


class LearningRateZero(Drill):
    number = 37
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = write_run(scratch, learning_rate=0)
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG004", says=["learning_rate", "got 0"], line=7)
        yield from surplus(outcome, "CFG004")
