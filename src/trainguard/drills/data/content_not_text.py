"""Row 8: content that is neither a text nor a list of parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.guard import Guard


class ContentNotText(Drill):
    number = 8
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A number and an object as content; in a second file the parts of a multimodal chat, which are sound."""
        rows = numbered(8)
        rows[1]["messages"][0]["content"] = 42
        rows[5]["messages"][1]["content"] = {"text": "four"}
        parts = numbered(4)
        for row in parts:
            for message in row["messages"]:
                message["content"] = [{"type": "text", "text": message["content"]}]
        sound = guard.data(write_lines(scratch / "parts.jsonl", parts))
        findings = guard.data(write_lines(scratch / "train.jsonl", rows))
        return Outcome(findings=findings, values={"parts": Outcome(findings=sound)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA006", line=2, evidence={"count": 2})
        yield from surplus(outcome, "DATA006")
        yield from surplus(outcome.values["parts"])
