"""Row 67: the validation loss rises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard

_STEPS, _EVERY = 60, 10


class ValidationLossRises(Drill):
    number = 67
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Sixteen rows without a rule, learnt by heart; others for evaluation. One checkpoint is to be kept."""
        ran = guard.run(train, scratch)
        return Outcome(findings=ran.findings, values={**ran.value, "latest": guard.latest_checkpoint(scratch / "out")})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN005", severity="warn", says=["eval_loss has risen", "by heart"])
        if outcome.values["steps"] != _STEPS:
            yield f"a warning has stopped the run at step {outcome.values['steps']}"
        best = outcome.values["best"]
        if best not in outcome.values["checkpoints"]:
            yield f"the best checkpoint, {best}, is gone"


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    import json

    from trainguard.drills.training import _tiny

    seen = _tiny.train(
        guarded=guarded,
        data=_tiny.rows(16, random=True),
        trainer={"eval_dataset": _tiny.rows(16, seed=9, random=True)},
        max_steps=_STEPS,
        learning_rate=5e-3,
        save_steps=_EVERY,
        eval_steps=_EVERY,
        eval_strategy="steps",
        load_best_model_at_end=True,
        save_total_limit=1,
    )
    newest = Path("out", list(seen["checkpoints"])[-1], "trainer_state.json")
    best = json.loads(newest.read_bytes())["best_model_checkpoint"]
    return {**seen, "best": Path(best).name}
