"""Row 14: an output folder without a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard


class NoCheckpoints(Drill):
    number = 14
    area = "checkpoint"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A folder with a log and a folder whose name only resembles a checkpoint's."""
        output = scratch / "out"
        (output / "runs").mkdir(parents=True)
        (output / "checkpoint-last").mkdir()
        (output / "train.log").write_text("loss 2.5\n")
        return Outcome(findings=guard.checkpoint(output), values={"latest": guard.latest_checkpoint(output)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT001", severity="info")
        yield from surplus(outcome)
        if outcome.values["latest"] is not None:
            yield f"{outcome.values['latest']} was chosen"
