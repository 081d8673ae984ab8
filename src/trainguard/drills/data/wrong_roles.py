"""Row 7: roles that chat templates do not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.guard import Guard


class WrongRoles(Drill):
    number = 7
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        rows = numbered(6)
        for row in rows[3:]:
            row["messages"][0]["role"] = "human"
            row["messages"][1]["role"] = "gpt"
        return Outcome(findings=guard.data(write_lines(scratch / "train.jsonl", rows)))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA005", says=["human", "gpt", "user", "assistant"], line=4)
        yield from surplus(outcome, "DATA005", "DATA010", "DATA011")  # without known roles there is no answer either
