"""Row 31: there is no configuration at the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard


class ConfigMissing(Drill):
    number = 31
    area = "config"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = scratch / "config.json"
        return Outcome(findings=guard.config(path))

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CFG001", says=["config.json", "trainguard init"])
        yield from surplus(outcome, "CFG001")
