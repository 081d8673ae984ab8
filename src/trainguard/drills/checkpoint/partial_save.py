"""Row 20: a checkpoint that was not written to its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._fallback import fell_back
from trainguard.drills.checkpoint._real_run import NEWEST, real_run
from trainguard.drills.guard import Guard


class PartialSave(Drill):
    number = 20
    area = "checkpoint"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The newest checkpoint of a real run lacks what is written last, and its optimizer is cut off."""
        output = real_run(scratch)
        broken = output / NEWEST
        for name in ("scheduler.pt", "trainer_state.json"):
            (broken / name).unlink()
        optimizer = broken / "optimizer.pt"
        os.truncate(optimizer, optimizer.stat().st_size - 100)
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT005", says=[NEWEST])
        yield from surplus(outcome, "CKPT005", "CKPT003")
        yield from fell_back(outcome)
