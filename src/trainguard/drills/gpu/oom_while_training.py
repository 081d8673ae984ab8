"""Row 23: a micro-batch does not fit into the GPU's memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.gpu._kept import kept, said_in_phase
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import BATCH, STEPS, names, train, write_run

_HALVED = {"batch_size": BATCH // 2, "gradient_accumulation": 2}


class OomWhileTraining(Drill):
    number = 23
    area = "gpu"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """From the sixth step on four rows do not fit and three do; then the same run as the finding proposes."""
        path = write_run(scratch)
        before = path.read_bytes()
        ran = train(guard, scratch, fault={"what": "full-while-training", "at": 6, "rows": BATCH}, gpu=True)
        values = {
            "code": ran.code,
            "names": names(scratch),
            "latest": guard.latest_checkpoint(scratch / "out"),
            "untouched": path.read_bytes() == before,
        }
        again = train(
            guard, scratch, fault={"what": "full-while-training", "at": 2, "rows": BATCH}, settings=_HALVED, gpu=True
        )
        values |= {"again": again.code, "end": names(scratch)[-1], "state": self._state(scratch)}
        return Outcome(findings=ran.findings, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        half = [f"{key} = {value}" for key, value in _HALVED.items()]
        yield from missing(outcome, "RUN010", says=["GPU memory while training", *half])
        yield from said_in_phase(outcome, "RUN010", "train")
        yield from kept(outcome, "RUN010", "checkpoint-4")
        if not outcome.values["untouched"]:
            yield "the configuration was changed"
        if outcome.values["again"] != 0 or outcome.values["end"] != f"checkpoint-{STEPS}":
            yield (
                f"with half the micro-batch the run ended with exit code {outcome.values['again']} at "
                f"{outcome.values['end']}, expected 0 at checkpoint-{STEPS}"
            )
        if outcome.values["state"] != STEPS:
            yield f"it was to make {STEPS} steps as before, and its state says {outcome.values['state']}"

    def _state(self, scratch: Path) -> int:
        newest = scratch / "out" / names(scratch)[-1]
        steps: int = json.loads((newest / "trainer_state.json").read_bytes())["max_steps"]
        return steps
