"""Row 6: rows whose `messages` is an empty list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.guard import Guard


class MessagesEmpty(Drill):
    number = 6
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        rows: list[object] = list(numbered(10))
        rows[4] = {"messages": []}
        rows[9] = {"messages": []}
        return Outcome(findings=guard.data(write_lines(scratch / "train.jsonl", rows)))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA004", line=5, evidence={"count": 2})
        yield from surplus(outcome, "DATA004")
