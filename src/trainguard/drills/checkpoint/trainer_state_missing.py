"""Row 16: a checkpoint without trainer_state.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._fallback import fell_back
from trainguard.drills.checkpoint._real_run import NEWEST, real_run
from trainguard.drills.guard import Guard


class TrainerStateMissing(Drill):
    number = 16
    area = "checkpoint"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The newest checkpoint of a real run loses its state."""
        output = real_run(scratch)
        broken = output / NEWEST
        (broken / "trainer_state.json").unlink()
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT003", says=[NEWEST, "trainer_state.json"])
        yield from surplus(outcome, "CKPT003")
        yield from fell_back(outcome)
