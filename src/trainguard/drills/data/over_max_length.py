"""Row 3: sequences over max_length, of which some lose their whole answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import chat, numbered, write_lines, write_tokenizer
from trainguard.drills.guard import Guard


class OverMaxLength(Drill):
    number = 3
    area = "data"
    needs = frozenset({"data"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Of seven rows two are longer than 40 words, and one of these has 60 words before its answer."""
        long_answer = chat("Count.", "one two " * 30)
        long_question = chat("Why? " * 60, "Because.")
        path = write_lines(scratch / "train.jsonl", [*numbered(5), long_answer, long_question])
        before = path.read_bytes()
        findings = guard.data(path, max_length=40, tokenizer=write_tokenizer(scratch / "tokenizer"))
        return Outcome(findings=findings, values={"untouched": path.read_bytes() == before})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA008", severity="warn", says=["2 of 7", "40"], line=6, evidence={"count": 2})
        yield from surplus(outcome)
        if not any(finding.evidence.get("lost_answers") == 1 for finding in outcome.of("DATA008")):
            yield "DATA008 does not say that one row loses its whole answer"
        if not outcome.values["untouched"]:
            yield "the data was changed"
