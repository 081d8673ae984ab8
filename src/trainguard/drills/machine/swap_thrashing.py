"""Row 30: the machine is short of memory and swaps all the time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside

_TOTAL_BYTES, _USED_BYTES = 8 * 10**9, 7 * 10**9
_BYTES_PER_SECOND = 40e6
_STALLED_SHARE = 0.42


class SwapThrashing(Drill):
    number = 30
    area = "machine"
    needs = frozenset({"mount"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The kernel's own counters, in files over /proc that only this process sees: a machine that really thrashes
        may not answer any more, and whoever runs a drill wants it back. Once with swap that is used and left alone."""
        swap = {"what": "swapping", "at": str(scratch / "proc"), "total": _TOTAL_BYTES, "used": _USED_BYTES}
        thrashes = {**swap, "bytes_per_second": _BYTES_PER_SECOND, "share": _STALLED_SHARE}
        still = {**swap, "bytes_per_second": 0, "share": 0.0}
        return Outcome(
            findings=ask_inside(guard, [thrashes]), values={"still": Outcome(findings=ask_inside(guard, [still]))}
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        says = ["/s come back from swap", "42%", "7.0 GB of 8.0 GB"]
        yield from missing(outcome, "SYS005", severity="warn", says=says, evidence={"stalled_share": _STALLED_SHARE})
        for finding in outcome.of("SYS005"):
            rate = finding.evidence["swap_in_bytes_per_second"]
            if not 0.5 * _BYTES_PER_SECOND <= rate <= 2 * _BYTES_PER_SECOND:
                yield f"the rate is said to be {rate:,.0f} bytes a second, and is {_BYTES_PER_SECOND:,.0f}"
        if outcome.values["still"].of("SYS005"):
            yield "SYS005 was raised though nothing comes back from swap"
