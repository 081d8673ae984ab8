"""Row 45, before the run: the output folder lies on a network mount whose server is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside

_DEADLINE_SECONDS = 2.0
# Beyond the deadline: the start of Python and the reading of everything else, on a busy machine.
_PATIENCE_SECONDS = 30.0


class NetworkGone(Drill):
    number = 45
    area = "machine"
    needs = frozenset({"fuse"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A mount that keeps everybody waiting who asks it anything."""
        mount = scratch / "mnt"
        mount.mkdir()
        gone = [{"what": "silent-mount", "path": str(mount), "source": "store:/export"}]
        started = time.monotonic()
        findings = ask_inside(guard, gone, folder=mount / "out", deadline_seconds=_DEADLINE_SECONDS)
        return Outcome(findings=findings, values={"seconds": time.monotonic() - started})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        says = ["did not answer within 2 s", "fuse.sshfs from store:/export"]
        yield from missing(outcome, "SYS012", says=says)
        yield from surplus(outcome, "SYS012")
        if outcome.values["seconds"] > _DEADLINE_SECONDS + _PATIENCE_SECONDS:
            yield f"the check took {outcome.values['seconds']:.0f} s, the deadline is {_DEADLINE_SECONDS:.0f} s"
