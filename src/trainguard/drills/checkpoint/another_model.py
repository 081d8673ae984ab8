"""Row 18: checkpoints that were saved from another model than the one to be trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.checkpoint._real_run import real_run
from trainguard.drills.guard import Guard
from trainguard.rules._example_files import tensors, write_files


class AnotherModel(Drill):
    number = 18
    area = "checkpoint"
    needs = frozenset({"train"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The checkpoints of a real run beside a base model that is twice as wide."""
        output = real_run(scratch)
        config = json.loads((output / "base" / "config.json").read_text())
        wider = config | {"hidden_size": 32}
        weights = tensors({"model.embed_tokens.weight": ("F32", (64, 32)), "model.norm.weight": ("F32", (32,))})
        write_files({"config.json": json.dumps(wider), "model.safetensors": weights}, _made(scratch / "wider"))
        same = guard.checkpoint(output, base=output / "base")
        return Outcome(
            findings=guard.checkpoint(output, base=scratch / "wider"), values={"same": Outcome(findings=same)}
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT006")
        yield from surplus(outcome, "CKPT006")
        yield from surplus(outcome.values["same"])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
