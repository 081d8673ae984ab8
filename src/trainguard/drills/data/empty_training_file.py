"""Row 1: a training file without a byte, and one of blank lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard


class EmptyTrainingFile(Drill):
    number = 1
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        empty, blank = scratch / "train.jsonl", scratch / "blank.jsonl"
        empty.write_bytes(b"")
        blank.write_bytes(b"\n \n\n")
        return Outcome(findings=guard.data(empty), values={"blank": Outcome(findings=guard.data(blank))})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA001", says=["train.jsonl"])
        yield from missing(outcome.values["blank"], "DATA001")
