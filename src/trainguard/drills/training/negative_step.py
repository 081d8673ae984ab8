"""Row 62: the newest checkpoint says that it is at a step below 0."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._fallback import fell_back
from trainguard.drills.checkpoint._real_run import NEWEST, real_run
from trainguard.drills.guard import Guard


class NegativeStep(Drill):
    number = 62
    area = "training"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The state of the newest checkpoint of a real run counts from below."""
        output = real_run(scratch)
        path = output / NEWEST / "trainer_state.json"
        state = json.loads(path.read_bytes())
        path.write_text(json.dumps(state | {"global_step": -6}), encoding="utf-8")
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT008", says=[NEWEST, "-6"])
        yield from surplus(outcome, "CKPT008")
        yield from fell_back(outcome)
