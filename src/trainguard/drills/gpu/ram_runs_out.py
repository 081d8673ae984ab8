"""Row 24: the machine has no memory left. The kernel's kill is whoever looks from outside's to tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.gpu._kept import kept, said_in_phase
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import names, own_code, train, write_run

# torch's own allocator, under a limit that such a piece is beyond on every machine.
_GREEDY = """import resource

import torch


def go(batch):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 38, 1 << 38))
    return torch.empty(1 << 40)
"""


class RamRunsOut(Drill):
    number = 24
    area = "gpu"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A tensor in the fifth step that the machine has no memory for."""
        write_run(scratch)
        ran = train(guard, scratch, fault=own_code(scratch, _GREEDY, at=5))
        values = {"code": ran.code, "names": names(scratch), "latest": guard.latest_checkpoint(scratch / "out")}
        return Outcome(findings=ran.findings, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN011", says=["system memory while training", "can't allocate memory"])
        yield from said_in_phase(outcome, "RUN011", "train")
        yield from kept(outcome, "RUN011", "checkpoint-4")
