"""Row 32: a configuration that is no JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.config._runs import write_run
from trainguard.drills.guard import Guard


class InvalidJson(Drill):
    number = 32
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = write_run(scratch)
        lines = path.read_text().split("\n")
        lines[3] = lines[3].rstrip(",")  # the comma between the third value and the fourth
        path.write_text("\n".join(lines))
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG002", line=5)
        yield from surplus(outcome, "CFG002")
