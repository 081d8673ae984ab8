"""Row 51: a file is deleted after it was seen and before it is taken."""

from __future__ import annotations

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
        for name in ("a", "b", "c"):
            desk.put(f"{name}.jsonl", f'{{"text": "{name}"}}\n')
        desk.train_all(seen=(desk.box / "b.jsonl").unlink)
        return desk.outcome()

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["failed"] is not None:
            yield f"the queue ended: {outcome.values['failed']}"
        if outcome.values["trained"] != ['{"text": "a"}\n', '{"text": "c"}\n']:
            yield f"trained were {outcome.values['trained']}, expected a and c"
        yield from missing(outcome, "QUEUE001", severity="info", says=("b.jsonl", "before it was accepted"))
        yield from surplus(outcome)
