"""Row 11: the folder of the base model is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.model._folders import write_model


class BaseModelMissing(Drill):
    number = 11
    area = "model"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A path with a letter too few, beside the folder that is meant."""
        write_model(scratch / "models" / "llama-small")
        return Outcome(findings=guard.model(scratch / "models" / "lama-small"))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "MODEL001", says=["llama-small"])
