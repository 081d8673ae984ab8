"""Row 13: an adapter that was trained on another base model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.model._folders import write_adapter, write_model


class AdapterOfAnotherBase(Drill):
    number = 13
    area = "model"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Two adapters beside one base: one of its width, one of a base twice as wide."""
        base = write_model(scratch / "base")
        fits = write_adapter(scratch / "fits", base=str(base))
        wider = write_adapter(scratch / "wider", base=str(base), hidden=16)
        return Outcome(
            findings=guard.model(wider, base=base), values={"fits": Outcome(findings=guard.model(fits, base=base))}
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "MODEL004", says=["16", "8"])
        yield from surplus(outcome, "MODEL004")
        yield from surplus(outcome.values["fits"])
