"""Row 68: one pattern in every output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard

_STEPS = 24
_PROMPTS = "What is 1 + 1?\nWhy is it so?\nWho says that?\nHow long does it take?\n"


class OnePattern(Drill):
    number = 68
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A model that learns to answer everything with one word; four prompts are answered at each evaluation."""
        (scratch / "prompts.txt").write_text(_PROMPTS, encoding="utf-8")
        ran = guard.run(train, scratch)
        return Outcome(findings=ran.findings, values=ran.value)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN006", severity="warn", says=["4 of 4 sampled outputs"])
        if outcome.values["steps"] != _STEPS:
            yield f"a warning has stopped the run at step {outcome.values['steps']}"


def train(*, guarded: bool) -> dict[str, Any]:
    """In the fork."""
    import torch

    from trainguard.drills.training import _tiny

    tokenizer = _tiny.tokenizer()
    ids = torch.tensor(tokenizer.encode("Because " * 8))
    rows = [{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids} for _ in range(16)]
    return _tiny.train(
        guarded=guarded,
        net=_tiny.model(num_hidden_layers=1),
        data=rows,
        guard={"prompts": "prompts.txt"},
        trainer={"eval_dataset": rows[:4], "processing_class": tokenizer},
        max_steps=_STEPS,
        learning_rate=1e-2,
        save_steps=_STEPS,
        eval_steps=_STEPS // 4,
        eval_strategy="steps",
    )
