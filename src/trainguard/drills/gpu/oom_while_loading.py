"""Row 21: the weights do not fit into the GPU's memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.gpu._kept import said_in_phase
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import train, write_run


class OomWhileLoading(Drill):
    number = 21
    area = "gpu"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A run whose GPU has no memory left when the weights are to go there."""
        write_run(scratch)
        ran = train(guard, scratch, fault={"what": "full-while-loading"}, gpu=True)
        return Outcome(findings=ran.findings, values={"code": ran.code})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN010", says=["GPU memory", "weights"])
        yield from said_in_phase(outcome, "RUN010", "load")
