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
        """One infinite loss, which the Trainer's filter keeps out of its log."""
        ran = guard.run(train, scratch)
        latest = guard.latest_checkpoint(scratch / "out")
        return Outcome(findings=ran.findings, values={**ran.value, "latest": latest})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN002", says=["inf", "lower learning_rate"])
        yield from _not_finite.nothing_lost(outcome)


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    return _not_finite.train(math.inf, guarded=guarded)
