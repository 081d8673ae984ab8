"""Row 54: links in the inbox that lead to themselves, back to the inbox, and out of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk


class CircularSymlinks(Drill):
    """None is followed; what is really there is trained once, and nothing from outside."""

    number = 54
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        desk.put("a.jsonl", "inside\n")
        secret = scratch / "elsewhere"
        secret.mkdir()
        (secret / "private.jsonl").write_text("outside\n")
        (desk.box / "loop.jsonl").symlink_to("loop.jsonl")
        (desk.box / "round").symlink_to(desk.box, target_is_directory=True)
        (desk.box / "out").symlink_to(secret, target_is_directory=True)
        desk.train_all()
        return desk.outcome()

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["failed"] is not None:
            yield f"the queue ended: {outcome.values['failed']}"
        if outcome.values["trained"] != ["inside\n"]:
            yield f"trained were {outcome.values['trained']}, expected what lies in the inbox, once"
        yield from missing(
            outcome, "QUEUE004", severity="warn", says=("leads back to itself", "leads out of the inbox")
        )
        if len(outcome.of("QUEUE004")) != 3:
            yield f"{len(outcome.of('QUEUE004'))} links were told, expected 3"
        yield from surplus(outcome)
