"""What goes on in a queue now, in one record: for `trainguard status` and whoever else asks. Reads only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainguard.daemon.lock import holder
from trainguard.daemon.reporting import Progress, Readable, alive, own_steps, progress, seconds_left
from trainguard.queue.records import Event, QueuedFile, State, Worker

_NEXT, _FAULTS, _FINDINGS, _ASKING = 3, 5, 5, 3
_LOOKED_AT = 200  # the newest events of a kind, among which the last faults are


class Seen(Readable, Protocol):
    """The part of a queue that is read here."""

    @property
    def paused(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of late. `seconds` until the first new step, None where there was none yet."""

    time: float
    file_id: int | None
    kind: str
    code: str | None
    why: str
    act: str | None
    step: int | None = None
    seconds: float | None = None
    lost_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything that is on the screen. Times are unix seconds; `workers` are those seen of late, `gone` the last one
    where there are none."""

    at: float
    output_dir: str
    lineage: str | None
    workers: Sequence[Worker]
    gone: Worker | None
    current: Sequence[QueuedFile]
    progress: Progress
    made: int | None
    left_seconds: float | None
    counts: Mapping[State, int]
    paused: str | None
    next: Sequence[QueuedFile]
    asking: Sequence[QueuedFile]
    faults: Sequence[Fault]
    findings: Sequence[Event]
    disk_free_bytes: int | None


def overview(queue: Seen, output_dir: Path, now: float, *, lock_folder: Path | None = None) -> Overview:
    """Reads it all. Raises what the database raises, and nothing for what the run has written.

    `lock_folder` is where the lock of the only daemon lies: whether it lives is then asked of the kernel, and else told
    from when it was seen last.
    """
    workers = queue.workers()
    living = alive(workers, now) if lock_folder is None else _holding(workers, lock_folder, now)
    current = queue.list(states=("training", "verifying", "checking"), limit=5)
    training = next((each for each in current if each.state in ("training", "verifying")), None)
    run = progress(output_dir, now) if training is not None else Progress()
    return Overview(
        at=now,
        output_dir=str(output_dir),
        lineage=workers[0].lineage if workers else None,
        workers=living,
        gone=max(workers, key=lambda each: each.seen) if workers and not living else None,
        current=current,
        progress=run,
        made=own_steps(training, run) if training is not None else None,
        left_seconds=seconds_left(training, run) if training is not None else None,
        counts=queue.counts(),
        paused=queue.paused,
        next=queue.list(states=("waiting", "accepted"), limit=_NEXT),
        asking=queue.list(states=("held", "quarantined", "failed"), limit=_ASKING, newest_first=True),
        faults=last_faults(queue, _FAULTS),
        findings=queue.events(kinds=("finding",), limit=_FINDINGS, newest_first=True),
        disk_free_bytes=free_bytes(output_dir),
    )


def _holding(workers: Sequence[Worker], lock_folder: Path, now: float) -> list[Worker]:
    """The daemon that holds the lock; one that has not announced itself yet is starting."""
    held = holder(lock_folder)
    if held is None:
        return []
    known = [each for each in workers if each.pid == held.pid] or [
        Worker(
            owner="",
            lineage="",
            host=held.host or "this machine",
            pid=held.pid or 0,
            started=held.started or now,
            seen=now,
            doing="starting",
        )
    ]
    return [max(known, key=lambda each: each.seen)]


def last_faults(queue: Readable, most: int) -> list[Fault]:
    """The newest faults, the newest first, each with how it was survived."""
    events = queue.events(kinds=("attempt-end", "recovered"), limit=_LOOKED_AT, newest_first=True)
    back: dict[int | None, Mapping[str, Any]] = {}
    faults: list[Fault] = []
    for event in events:
        failure = event.data.get("failure")
        if event.kind == "recovered":
            back[event.file_id] = event.data
        elif isinstance(failure, Mapping) and failure.get("kind") != "stopped" and len(faults) < most:
            faults.append(fault_of(event, failure, back.pop(event.file_id, {})))
    return faults


def fault_of(event: Event, failure: Mapping[str, Any], back: Mapping[str, Any]) -> Fault:
    """One fault, from the event of an attempt's end and that of the recovery after it."""
    decision = event.data.get("decision")
    act = decision.get("act") if isinstance(decision, Mapping) else None
    seconds, lost, step = back.get("seconds"), back.get("lost_steps"), failure.get("step")
    return Fault(
        time=event.time,
        file_id=event.file_id,
        kind=str(failure.get("kind", "unknown")),
        code=str(failure["code"]) if failure.get("code") else None,
        why=str(failure.get("why", "")),
        act=str(act) if act is not None else None,
        step=step if isinstance(step, int) else None,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        lost_steps=lost if isinstance(lost, int) else None,
    )


def free_bytes(folder: Path) -> int | None:
    """What is free where the run writes; None where that cannot be told."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
