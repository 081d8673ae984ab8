"""Row 33: max_length is below the shortest example."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.guard import Guard


class MaxLengthTooSmall(Drill):
    number = 33
    area = "config"
    needs = frozenset({"data"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = write_run(scratch, max_length=4, tokenizer="model")
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG007", says=["max_length", "4"])
        yield from surplus(outcome, "CFG007")
