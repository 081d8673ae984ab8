"""Row 17: a checkpoint whose trainer_state.json is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._fallback import fell_back
from trainguard.drills.checkpoint._real_run import NEWEST, real_run
from trainguard.drills.guard import Guard


class TrainerStateCorrupted(Drill):
    number = 17
    area = "checkpoint"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The newest checkpoint of a real run has half of its state."""
        output = real_run(scratch)
        broken = output / NEWEST
        state = broken / "trainer_state.json"
        os.truncate(state, state.stat().st_size // 2)
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT004", says=[NEWEST, "trainer_state.json"])
        yield from surplus(outcome, "CKPT004")
        yield from fell_back(outcome)
