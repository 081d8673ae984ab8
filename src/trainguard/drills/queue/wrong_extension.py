"""Row 56: files in the inbox that are no training data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk


class WrongExtension(Drill):
    """They are left where they are, and said once, however often the inbox is looked at."""

    number = 56
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        desk.put("a.jsonl", "rows\n")
        desk.put("notes.md", "no rows\n")
        desk.put("half.jsonl.part", "half a row")
        desk.train_all()
        left = sorted(path.name for path in desk.box.iterdir())
        again = 0
        if guard.guarding:
            desk.inbox.look()
            again = len(desk.inbox.look().findings)
        return desk.outcome(left=left, again=again)

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["trained"] != ["rows\n"]:
            yield f"trained were {outcome.values['trained']}, expected the one training file"
        if outcome.values["left"] != ["half.jsonl.part", "notes.md"]:
            yield f"in the inbox are {outcome.values['left']} now"
        if outcome.values["again"]:
            yield "it is said again at every look"
        yield from missing(outcome, "QUEUE006", severity="warn", says=("notes.md", ".md", ".jsonl"))
        if len(outcome.of("QUEUE006")) > 1:
            yield "a file that is still being written was said too"
        yield from surplus(outcome)
