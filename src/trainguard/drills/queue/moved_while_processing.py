"""Row 52: somebody moves a file away while it is taken, and once more while it is trained."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk

_ROWS = '{"text": "a"}\n'


class MovedWhileProcessing(Drill):
    """The run goes on: what it reads is held by trainguard and not by the inbox."""

    number = 52
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        path = desk.put("a.jsonl", _ROWS)
        # A second name, as a data set has that is linked into the inbox: such a file is copied, which takes its time.
        os.link(path, scratch / "elsewhere.jsonl")

        def move_away() -> None:
            if path.exists():
                path.rename(scratch / "moved.jsonl")

        def two_epochs(data: Path) -> None:
            desk.read(data)
            move_away()
            desk.read(data)

        desk.train_all(two_epochs, tick=move_away)
        return desk.outcome(moved=(scratch / "moved.jsonl").exists())

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if not outcome.values["moved"]:
            yield "the file was not moved, so nothing was tried"
        if outcome.values["failed"] is not None:
            yield f"the run ended: {outcome.values['failed']}"
        if outcome.values["trained"] != [_ROWS, _ROWS]:
            yield f"two epochs read {outcome.values['trained']}"
        yield from missing(
            outcome, "QUEUE002", severity="info", says=("a.jsonl", "the copy that was accepted is whole")
        )
        yield from surplus(outcome)
