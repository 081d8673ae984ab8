"""Row 58: the file that knows what is done and what waits is damaged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk
from trainguard.drills.queue._naive import STATE
from trainguard.queue.engine import QueueCorruptError
from trainguard.queue.rebuild import recover_queue
from trainguard.queue.store import Queue

_DATABASE = "queue.sqlite"


class StateCorrupted(Drill):
    """It is rebuilt from the folders: what is done stays done, what waits is trained; the damaged file is kept."""

    number = 58
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        desk.put("a.jsonl", "first\n")
        desk.train_all()
        desk.put("b.jsonl", "second\n")
        if guard.guarding:
            self._accept(desk)
            path = desk.home / _DATABASE
        else:
            path = desk.naive.home / STATE
        # What a disk makes of a file: the first half is something else.
        content = path.read_bytes()
        path.write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
        kept = True
        queue: Queue | None = None
        if guard.guarding:
            try:
                queue = desk.queue()
            except QueueCorruptError:
                queue, rebuilt = recover_queue(desk.home, lineage="drill", owner="drill")
                desk.findings.append(rebuilt.finding)
                kept = rebuilt.kept is not None and rebuilt.kept.exists()
            desk.custody.reconcile(queue)
        desk.train_all(queue=queue)
        states = {file.name: file.state for file in queue.list()} if queue is not None else {}
        if queue is not None:
            queue.close()
        return desk.outcome(kept=kept, states=states)

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["failed"] is not None:
            yield f"the queue ended: {outcome.values['failed']}"
        if outcome.values["trained"] != ["first\n", "second\n"]:
            yield f"trained were {outcome.values['trained']}, expected each file once"
        if outcome.values["states"] != {"a.jsonl": "done", "b.jsonl": "done"}:
            yield f"the queue says {outcome.values['states']}"
        if not outcome.values["kept"]:
            yield "the damaged file was not kept"
        yield from missing(outcome, "QUEUE008")

    def _accept(self, desk: Desk) -> None:
        from trainguard.queue.accepting import accept_ready

        with desk.queue() as queue:
            accept_ready(desk.inbox, desk.custody, queue)
