"""Row 38: the learning rate is too high."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard

_SCRIPT = """from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data = load_dataset("json", data_files="train.jsonl", split="train")
arguments = SFTConfig("out", learning_rate=2e-2)
SFTTrainer("Qwen/Qwen3-0.6B", args=arguments, train_dataset=data).train()
"""


class LearningRateTooHigh(Drill):
    number = 38
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A script before it runs, and a run of 60 steps that diverges."""
        path = scratch / "train.py"
        path.write_text(_SCRIPT, encoding="utf-8")
        before = guard.script(path)
        ran = guard.run(diverge, scratch / "run")
        return Outcome(findings=(*before, *ran.findings), values=ran.value)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "API010", severity="warn", says=["learning_rate=0.02", "2e-5"], line=5)
        yield from missing(outcome, "RUN003", says=["diverged", "lower learning_rate"])
        if not 0 < outcome.values["steps"] < 30:
            yield f"the run went on to step {outcome.values['steps']} of 60"


def diverge(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    from trainguard.drills.training import _tiny

    return _tiny.train(
        guarded=guarded,
        data=_tiny.rows(64),
        max_steps=60,
        save_steps=30,
        learning_rate=3.0,
        lr_scheduler_type="constant",
    )
