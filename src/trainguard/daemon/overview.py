"""What goes on in a queue now, in one record: for `trainguard status` and whoever else asks. Reads only."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainguard.daemon.lock import holder
from trainguard.daemon.reporting import Progress, Readable, alive, own_steps, progress, seconds_left
from trainguard.queue.records import Event, QueuedFile, State, Worker

_NEXT, _FAULTS, _FINDINGS, _ASKING = 3, 5, 5, 3
_MOST_COUNTED = 5000  # files: some 20 ms
_LOOKED_AT = 200  # the newest events of a kind, among which the last faults are; the newest files for a person
# What was found earlier is in `trainguard log`, and no news.
_NEWS_SECONDS = 86400.0
_DUPLICATE = "QUEUE003"  # how the cause of a file begins that is held for its content (queue/codes.py)
_QUARANTINE = "quarantine"  # where the run sets checkpoints aside (checkpoints.py, which is not for who only looks)
FOR_A_PERSON: tuple[State, ...] = ("held", "quarantined", "failed")


class Seen(Readable, Protocol):
    """The part of a queue that is read here."""

    @property
    def paused(self) -> str | None: ...
    def stuck_alerts(self) -> tuple[int, float | None]: ...


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
class Noted:
    """A finding of late: the newest of its code, and how many there were."""

    event: Event
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything that is on the screen. Times are unix seconds; `workers` are those seen of late, `gone` the last one
    where there are none.

    `asking` are the newest files for a person to look at, `duplicates` those of them that are held for nothing but
    their content, which came before: a folder that is dropped a second time must not hide what failed. `duplicates`
    are counted among the newest 200 only. `stuck_alerts` were tried and not delivered, the oldest of `stuck_since`.
    """

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
    duplicates: Sequence[QueuedFile]
    faults: Sequence[Fault]
    findings: Sequence[Noted]
    stuck_alerts: int
    stuck_since: float | None
    disk_free_bytes: int | None
    quarantine_bytes: int


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
    told = queue.list(states=FOR_A_PERSON, limit=_LOOKED_AT, newest_first=True)
    stuck_alerts, stuck_since = queue.stuck_alerts()
    faults = last_faults(queue, _FAULTS)
    return Overview(
        stuck_alerts=stuck_alerts,
        stuck_since=stuck_since,
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
        asking=[each for each in told if not is_duplicate(each)][:_ASKING],
        duplicates=[each for each in told if is_duplicate(each)],
        faults=faults,
        findings=last_findings(queue, now, told={each.id for each in told}, faults=faults),
        disk_free_bytes=free_bytes(output_dir),
        quarantine_bytes=bytes_below(output_dir / _QUARANTINE),
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


def is_duplicate(file: QueuedFile) -> bool:
    """Whether it is held because its content came before, and for no other reason."""
    return file.state == "held" and file.same_as is not None and (file.cause or "").startswith(_DUPLICATE)


def last_findings(
    queue: Readable, now: float, *, told: Collection[int] = (), faults: Collection[Fault] = ()
) -> list[Noted]:
    """The findings of the last day that ask for something, the newest of each code, the newest first.

    Left out are those of the files `told`, which are shown with their cause, those that are `faults`, what is merely
    good to know, and the duplicates, of which no more is to be said once they are released.
    """
    known_faults = {(each.file_id, each.code) for each in faults}
    found: dict[str, Noted] = {}
    for event in queue.events(kinds=("finding",), limit=_LOOKED_AT, newest_first=True):
        values = finding_of(event)
        code = str(values.get("code") or event.id)
        if values.get("severity") == "info" or code == _DUPLICATE or (event.file_id, code) in known_faults:
            continue
        if event.file_id in told or now - event.time > _NEWS_SECONDS:
            continue
        known = found.get(code)
        found[code] = Noted(event=known.event, times=known.times + 1) if known is not None else Noted(event=event)
    return list(found.values())[:_FINDINGS]


def finding_of(event: Event) -> Mapping[str, Any]:
    """What the event of a finding says, whatever its form."""
    found = event.data.get("finding")
    return found if isinstance(found, Mapping) else event.data


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


def bytes_below(folder: Path, most: int = _MOST_COUNTED) -> int:
    """What the files below a folder take, as far as `most` of them; links are not followed."""
    total = seen = 0
    for place, _, names in os.walk(folder):
        for name in names:
            seen += 1
            if seen > most:
                return total
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
