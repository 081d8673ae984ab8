"""Row 51: a file is deleted after it was seen and before it is taken, and one while it waits for its turn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk


class DeletedWhileQueued(Drill):
    """It is noted, and the next file is trained."""

    number = 51
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        for name in ("a", "b", "c", "d"):
            desk.put(f"{name}.jsonl", _rows(name))

        def delete_accepted() -> None:
            content = hashlib.sha256(_rows("d").encode()).hexdigest()
            desk.custody.path_of(content, "d.jsonl").unlink()

        desk.train_all(seen=(desk.box / "b.jsonl").unlink, waiting=delete_accepted)
        return desk.outcome()

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["failed"] is not None:
            yield f"the queue ended: {outcome.values['failed']}"
        if outcome.values["trained"] != [_rows("a"), _rows("c")]:
            yield f"trained were {outcome.values['trained']}, expected a and c"
        yield from missing(outcome, "QUEUE001", severity="info", says=("b.jsonl", "before it was accepted"))
        yield from missing(
            outcome, "QUEUE001", severity="error", says=("d.jsonl is not in custody any more", "into the inbox again")
        )
        yield from surplus(outcome, "QUEUE001")


def _rows(name: str) -> str:
    return f'{{"text": "{name}"}}\n'
