"""Row 15: a checkpoint folder without a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._fallback import fell_back
from trainguard.drills.checkpoint._real_run import NEWEST, real_run
from trainguard.drills.guard import Guard


class EmptyCheckpointFolder(Drill):
    number = 15
    area = "checkpoint"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The newest checkpoint of a real run loses all of its files."""
        output = real_run(scratch)
        broken = output / NEWEST
        for file in broken.iterdir():
            file.unlink()
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT002", says=[NEWEST])
        yield from surplus(outcome, "CKPT002")
        yield from fell_back(outcome)
