"""Row 65: the loss is infinite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.training import _not_finite


class LossInf(Drill):
    number = 65
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """One infinite loss, with the Trainer's filter and, watched from its log alone, without it."""
        ran = guard.run(train, scratch)
        shown = guard.run(train_unfiltered, scratch / "shown")
        records = [{"step": step, "loss": loss} for step, loss in enumerate(shown.value["losses"], start=1)]
        return Outcome(
            findings=(*ran.findings, *guard.watch(records, declared={"max_steps": 8, "logging_steps": 1})),
            values={**ran.value, "latest": guard.latest_checkpoint(scratch / "out")},
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN002", says=["inf", "lower learning_rate"])
        yield from _not_finite.nothing_lost(outcome)


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    return _not_finite.train(math.inf, guarded=guarded)


def train_unfiltered(*, guarded: bool) -> dict[str, Any]:  # noqa: ARG001 - seen from its log alone
    """In the fork."""
    return _not_finite.train(math.inf, guarded=False, logging_nan_inf_filter=False)
