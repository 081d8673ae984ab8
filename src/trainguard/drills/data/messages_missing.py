"""Row 5: rows without `messages`, or any other layout that a trainer takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.guard import Guard


class MessagesMissing(Drill):
    number = 5
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        rows: list[object] = list(numbered(10))
        rows[2] = {"id": 3, "source": "export"}
        rows[6] = {}
        return Outcome(findings=guard.data(write_lines(scratch / "train.jsonl", rows)))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA003", says=["messages"], line=3, evidence={"count": 2})
        yield from surplus(outcome, "DATA003")
