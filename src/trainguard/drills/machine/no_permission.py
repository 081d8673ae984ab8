"""Row 46, before the run: the output folder belongs to someone else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside

_NOBODY = 65534


class NoPermission(Drill):
    number = 46
    area = "machine"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A folder that may be read and entered and not written to, asked about by a user without root's rights."""
        out = scratch / "out"
        out.mkdir()
        if os.geteuid() == 0:
            os.chown(out, _NOBODY, _NOBODY)
        out.chmod(0o555)
        try:
            findings = ask_inside(guard, [{"what": "no-rights"}], folder=out / "run-1")
        finally:
            out.chmod(0o755)
        return Outcome(findings=findings)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "SYS003", says=["/out", "dr-xr-xr-x", "owner"], evidence={"errno": "EACCES"})
        yield from surplus(outcome, "SYS003")
