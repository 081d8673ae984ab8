"""Row 64: the loss is NaN, and the Trainer logs 0.0 in its place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.training import _not_finite


class LossNan(Drill):
    number = 64
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """One loss of NaN in a run of the stock Trainer, with `logging_nan_inf_filter` as it is by default."""
        ran = guard.run(train, scratch)
        return Outcome(findings=ran.findings, values={**ran.value, "latest": guard.latest_checkpoint(scratch / "out")})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN001", says=["nothing is saved", "last verified checkpoint"])
        yield from _not_finite.nothing_lost(outcome)
        if any(loss != "0.0" and not math.isfinite(float(loss)) for loss in outcome.values["losses"]):
            yield "the Trainer has shown the NaN by itself, so that nothing was hidden"


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    return _not_finite.train(math.nan, guarded=guarded)
