"""Row 61: not one training step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard


class ZeroSteps(Drill):
    number = 61
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A Trainer that is asked for no epoch: alone it reports success."""
        ran = guard.run(train_nothing, scratch)
        return Outcome(findings=ran.findings, values=ran.value)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN015", says=["no training step is planned", "num_train_epochs"])
        if not outcome.values["refused"] or outcome.values["exit_code"] != 1:
            yield f"the run reports success after {outcome.values['steps']} steps"


def train_nothing(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    from trainguard.drills.training import _tiny

    return _tiny.train(guarded=guarded, max_steps=-1, num_train_epochs=0)
