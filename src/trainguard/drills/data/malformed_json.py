"""Row 4: lines that are no JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import line, numbered, write_lines
from trainguard.drills.guard import Guard


class MalformedJson(Drill):
    number = 4
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Of ten lines one is cut off, one lacks a comma, one is two objects, and one is prose."""
        rows: list[object] = list(numbered(10))
        whole = [line(row) for row in rows]
        rows[3] = whole[3][: len(whole[3]) // 2]
        rows[5] = whole[5].replace(", ", " ", 1)
        rows[7] = whole[7] + whole[7]
        rows[8] = "Here is the data that you asked for:"
        return Outcome(findings=guard.data(write_lines(scratch / "train.jsonl", rows)))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA002", line=4, evidence={"count": 4})
        yield from surplus(outcome, "DATA002")
        if any(finding.where is None or finding.where.column is None for finding in outcome.of("DATA002")):
            yield "DATA002 has no column"
