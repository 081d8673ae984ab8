"""Row 25, before the run: the disk has no room for the next checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.inside import ask_inside

_DISK_BYTES = 1 << 20
_CHECKPOINT_BYTES = 3 << 20


class DiskFull(Drill):
    number = 25
    area = "machine"
    needs = frozenset({"mount"})
    guards = ("SYS001",)

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A disk of 1 MiB: once with a checkpoint of 3 MiB to come, once too small for anything at all."""
        disk = scratch / "out"
        disk.mkdir()
        small = [{"what": "tmpfs", "path": str(disk), "options": f"size={_DISK_BYTES}"}]
        tiny = [{"what": "tmpfs", "path": str(disk), "options": "size=4k"}]
        roomy = ask_inside(guard, small, folder=disk, needed_bytes=_DISK_BYTES // 4)
        return Outcome(
            findings=ask_inside(guard, small, folder=disk, needed_bytes=_CHECKPOINT_BYTES),
            values={"full": Outcome(findings=ask_inside(guard, tiny, folder=disk)), "roomy": Outcome(findings=roomy)},
        )

    def expect(self, outcome: Outcome) -> Iterator[str]:
        numbers = {"free_bytes": _DISK_BYTES, "needed_bytes": _CHECKPOINT_BYTES}
        yield from missing(outcome, "SYS001", says=["1.0 MB free", "takes 3.1 MB"], evidence=numbers)
        yield from surplus(outcome, "SYS001")
        yield from missing(outcome.values["full"], "SYS001", says=["is full", "ENOSPC"])
        if outcome.values["roomy"].of("SYS001"):
            yield "SYS001 was raised though the checkpoint fits"
