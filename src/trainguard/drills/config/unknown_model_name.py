"""Row 39: the name of the base model is misspelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.guard import Guard


class UnknownModelName(Drill):
    number = 39
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = write_run(scratch, base_model="./modle")
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG005", says=["modle", "did you mean model"], line=2)
        yield from surplus(outcome, "CFG005")
