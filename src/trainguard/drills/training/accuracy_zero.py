"""Row 69: the accuracy is 0 %."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard

_STEPS = 24


class AccuracyZero(Drill):
    number = 69
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A metric that holds each prediction against another numbering of the labels, so that none is right."""
        ran = guard.run(train, scratch)
        return Outcome(findings=ran.findings, values=ran.value)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN007", severity="warn", says=["eval_accuracy is exactly 0"])
        if outcome.values["steps"] != _STEPS:
            yield f"a warning has stopped the run at step {outcome.values['steps']}"


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    from trainguard.drills.training import _tiny

    def accuracy(given: Any) -> dict[str, float]:
        said = given.predictions.argmax(-1)[:, :-1]
        return {"accuracy": float((said == given.label_ids[:, 1:] + _tiny.VOCABULARY).mean())}

    return _tiny.train(
        guarded=guarded,
        trainer={"eval_dataset": _tiny.rows(8, seed=9), "compute_metrics": accuracy},
        max_steps=_STEPS,
        save_steps=_STEPS,
        eval_steps=_STEPS // 6,
        eval_strategy="steps",
    )
