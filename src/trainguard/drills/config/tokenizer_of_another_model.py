"""Row 40: a tokenizer with more tokens than the model has rows for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.data._rows import write_tokenizer
from trainguard.drills.guard import Guard


class TokenizerOfAnotherModel(Drill):
    number = 40
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A model of 16 rows: with a tokenizer of 40 words in its own folder, and with one named beside it."""
        path = write_run(scratch, tokenizer="tokenizer")
        _enlarge(write_tokenizer(scratch / "tokenizer"))
        named = guard.config(path)
        _enlarge(scratch / "model")
        return Outcome(findings=(*named, *guard.model(scratch / "model")))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG006", says=["16"])
        yield from missing(outcome, "MODEL005", says=["16"])
        yield from surplus(outcome, "CFG006", "MODEL005")


def _enlarge(folder: Path) -> None:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary |= {f"word{number}": number for number in range(len(vocabulary), 40)}
    path.write_text(json.dumps(document))
