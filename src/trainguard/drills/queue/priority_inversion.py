"""Row 59: urgent files keep coming, and one of low priority waits behind them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.queue._naive import NaiveQueue
from trainguard.findings import Finding
from trainguard.queue.records import Priority, QueuedFile
from trainguard.queue.store import Queue, open_queue

# A day made short: after this the low file is due.
_MAX_WAIT_SECONDS = 0.4
# For how long urgent files keep coming: until the low one has its turn, or so long.
_RUSH_SECONDS = 10.0
_RUSH_WITHOUT_GUARD_SECONDS = 1.5
_TRAINING_SECONDS = 0.05


class PriorityInversion(Drill):
    """While an urgent file waits at every moment, the low one is trained once its longest wait is over; QUEUE009."""

    number = 59
    area = "queue"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        if not guard.guarding:
            return Outcome(values={"waited": _strictly(scratch), "overtaken_by": []})
        with open_queue(
            scratch / "output" / "queue", lineage="drill", owner="drill", max_wait_hours=_MAX_WAIT_SECONDS / 3600
        ) as queue:
            waited, overtaken_by = _aging(queue)
            said = [Finding.from_dict(event.data["finding"]) for event in queue.events(kinds=["finding"])]
        findings = tuple(finding for finding in said if finding.code not in guard.ignored)
        return Outcome(findings=findings, values={"waited": waited, "overtaken_by": overtaken_by})

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["waited"] is None:
            yield "the low file was not trained for as long as urgent ones came"
        if outcome.values["overtaken_by"]:
            yield f"the low file was due, and {', '.join(outcome.values['overtaken_by'])} came in later and went first"
        yield from missing(outcome, "QUEUE009", severity="info", says=("low priority", "max_wait_hours"))


def _aging(queue: Queue) -> tuple[float | None, list[str]]:
    """How long the low file waited for its turn, seconds (None: it did not come), and who overtook it though it was
    due."""
    low = _accept(queue, "low", "low")
    _accept(queue, "urgent-0", "high")
    begun = time.monotonic()
    late: list[str] = []
    number = 0
    while time.monotonic() - begun < _RUSH_SECONDS:
        number += 1
        _accept(queue, f"urgent-{number}", "high")
        lease = queue.take()
        if lease is None:
            break
        if lease.file.id == low.id:
            return time.monotonic() - begun, late
        if lease.file.accepted_at > low.due_at:
            late.append(lease.file.name)
        time.sleep(_TRAINING_SECONDS)
        queue.move_to(lease, "verifying", cause=None)
        queue.move_to(lease, "done", cause=None)
    return None, late


def _accept(queue: Queue, name: str, priority: Priority) -> QueuedFile:
    content = name.encode().hex().ljust(64, "0")[:64]
    file, _ = queue.accept(name, content, len(name), name, priority)
    lease = queue.take(("accepted",), "checking")
    if lease is not None:
        queue.move_to(lease, "waiting", cause=None)
    return file


def _strictly(scratch: Path) -> float | None:
    """Without ageing: folders by priority, and always the first name of the highest one."""
    box = scratch / "inbox"
    for folder in ("1-high", "3-low"):
        (box / folder).mkdir(parents=True)
    (box / "3-low" / "low").write_text("low")
    queue = NaiveQueue(box, scratch / "naive")
    begun = time.monotonic()
    number = 0
    while time.monotonic() - begun < _RUSH_WITHOUT_GUARD_SECONDS:
        number += 1
        for part in "ab":
            (box / "1-high" / f"urgent-{number:04}{part}").write_text("urgent")
        path = next(queue.waiting())
        if path.name == "low":
            return time.monotonic() - begun
        time.sleep(_TRAINING_SECONDS)
        queue.finish(path.name)
    return None
