"""Row 2: three examples for batches of eight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.guard import Guard


class FewerThanOneBatch(Drill):
    number = 2
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        small = write_lines(scratch / "train.jsonl", numbered(3))
        enough = write_lines(scratch / "enough.jsonl", numbered(8))
        fits = guard.data(enough, batch_size=8)
        return Outcome(findings=guard.data(small, batch_size=8), values={"enough": Outcome(findings=fits)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        numbers = {"rows": 3, "batch_size": 8}
        yield from missing(outcome, "DATA009", severity="warn", says=["8", "step"], evidence=numbers)
        yield from surplus(outcome)
        if outcome.values["enough"].of("DATA009"):
            yield "DATA009 was raised about a file that fills a batch"
