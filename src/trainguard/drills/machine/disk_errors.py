"""Row 44, before the run: the disk takes data and fails to keep it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside


class DiskErrors(Drill):
    number = 44
    area = "machine"
    needs = frozenset({"seccomp"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Every fsync fails with EIO, which is how the kernel reports a write that the disk refused."""
        out = scratch / "out"
        out.mkdir()
        broken = [{"what": "failing-calls", "calls": ["fsync", "fdatasync"], "errno": errno.EIO}]
        findings = ask_inside(guard, broken, folder=out)
        return Outcome(findings=findings, values={"left": [path.name for path in out.iterdir()]})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        says = ["EIO", "out", "synced"]
        yield from missing(outcome, "SYS003", says=says, evidence={"errno": "EIO", "step": "sync"})
        yield from surplus(outcome, "SYS003")
        if outcome.values["left"]:
            yield f"the test left files behind: {', '.join(outcome.values['left'])}"
