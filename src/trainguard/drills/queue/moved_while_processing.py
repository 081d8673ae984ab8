"""Row 52: somebody moves a file away while it is taken, and once more while it is trained; another file gets a new
version while it is taken."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk

_ROWS, _OLD, _NEW = (f'{{"text": "{name}"}}\n' for name in ("a", "old", "new"))


class MovedWhileProcessing(Drill):
    """The run goes on: what it reads is held by trainguard and not by the inbox. A new version is another file."""

    number = 52
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        path = desk.put("a.jsonl", _ROWS)
        # A second name, as a data set has that is linked into the inbox: such a file is copied, which takes its time.
        os.link(path, scratch / "elsewhere.jsonl")
        replaced, fresh = desk.put("b.jsonl", _OLD), scratch / "fresh.jsonl"
        os.link(replaced, scratch / "elsewhere-too.jsonl")
        fresh.write_text(_NEW)

        def move_away() -> None:
            if path.exists():
                path.rename(scratch / "moved.jsonl")

        def two_epochs(data: Path) -> None:
            desk.read(data)
            move_away()
            desk.read(data)

        def meddle() -> None:
            """At the first block of each file."""
            if not path.exists() and fresh.exists():
                fresh.replace(replaced)
            move_away()

        desk.train_all(two_epochs, tick=meddle)
        desk.train_all()
        return desk.outcome(moved=(scratch / "moved.jsonl").exists())

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if not outcome.values["moved"]:
            yield "the file was not moved, so nothing was tried"
        if outcome.values["failed"] is not None:
            yield f"the run ended: {outcome.values['failed']}"
        if outcome.values["trained"] != [_ROWS, _ROWS, _OLD, _OLD, _NEW]:
            yield f"two epochs of two files and one of the new version read {outcome.values['trained']}"
        yield from missing(
            outcome, "QUEUE002", severity="info", says=("a.jsonl", "b.jsonl", "the copy that was accepted is whole")
        )
        yield from surplus(outcome)
