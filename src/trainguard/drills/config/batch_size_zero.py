"""Row 35: batch_size is 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.guard import Guard


class BatchSizeZero(Drill):
    number = 35
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = write_run(scratch, batch_size=0)
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG004", says=["batch_size", "got 0", "1"], line=8)
        yield from surplus(outcome, "CFG004")
