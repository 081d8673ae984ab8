"""Row 57: somebody asks for a retry, and nothing has failed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trainguard.daemon.retrying import retry
from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk
from trainguard.drills.queue._naive import STATE


class NothingToRetry(Drill):
    """It is said, with what there is instead, and nothing is trained a second time.

    Without trainguard a retry is to forget what is done.
    """

    number = 57
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        desk.put("a.jsonl", "rows\n")
        desk.train_all()
        if guard.guarding:
            with desk.queue() as queue:
                desk.findings += retry(queue, desk.home).findings
                desk.findings += retry(queue, desk.home, queue.find("a.jsonl")).findings
        else:
            (desk.naive.home / STATE).unlink()
        desk.train_all()
        return desk.outcome()

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["trained"] != ["rows\n"]:
            yield f"trained were {outcome.values['trained']}, expected the one file, once"
        yield from missing(outcome, "QUEUE007", severity="info", says=("nothing to retry", "1 done", "a.jsonl"))
        yield from surplus(outcome)
