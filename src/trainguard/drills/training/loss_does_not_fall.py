"""Row 66: the loss does not fall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard

_STEPS = 40


class LossDoesNotFall(Drill):
    number = 66
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A model of 320 tokens on tokens that follow no rule, so that it stays at ln 320."""
        ran = guard.run(train, scratch)
        return Outcome(findings=ran.findings, values=ran.value)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN004", severity="warn", says=["ln 320", "learning_rate"])
        if outcome.values["steps"] != _STEPS:
            yield f"a warning has stopped the run at step {outcome.values['steps']}"


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    from trainguard.drills.training import _tiny

    return _tiny.train(guarded=guarded, data=_tiny.rows(4 * _STEPS, random=True), max_steps=_STEPS, save_steps=_STEPS)
