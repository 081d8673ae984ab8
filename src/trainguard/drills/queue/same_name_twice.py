"""Row 53: a file of a name that was there before, with another content; and the same content under another name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk


class SameNameTwice(Drill):
    """Another content is trained too, kept apart; the same content waits for a person."""

    number = 53
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        for name, content in (("a.jsonl", "one\n"), ("a.jsonl", "two\n"), ("copy-of-a.jsonl", "one\n")):
            desk.put(name, content)
            desk.train_all()
        return desk.outcome()

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["trained"] != ["one\n", "two\n"]:
            yield f"trained were {outcome.values['trained']}, expected each content once"
        yield from missing(outcome, "QUEUE003", severity="warn", says=("copy-of-a.jsonl", "trainguard queue release"))
        yield from missing(outcome, "QUEUE003", severity="info", says=("another content",))
        yield from surplus(outcome)
