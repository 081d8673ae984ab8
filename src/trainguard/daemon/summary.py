"""The summary of a day, told once: what was trained, what was survived, what waits for a person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainguard.daemon.outbox import SUMMARY
from trainguard.daemon.reporting import Readable, figure_of
from trainguard.queue.records import Event, QueuedFile, State
from trainguard.report.visible import masked, visible

# States in which a file goes on only if a person says so.
FOR_A_PERSON: tuple[State, ...] = ("held", "failed", "quarantined")
_MOST_NAMES = 5
_PAGE = 5000
_KINDS = ("accepted", "transition", "attempt-end", "recovered")


class Summarised(Readable, Protocol):
    """The part of a queue that is used here."""

    @property
    def paused(self) -> str | None: ...
    def alert(
        self, key: str, severity: str, title: str, body: str, file_id: int | None = None, after_seconds: float = 0
    ) -> object: ...


@dataclass(slots=True, kw_only=True)
class Day:
    """What happened since a moment, and what there is now."""

    accepted: int = 0
    trained: int = 0
    set_aside: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    recovered: int = 0
    steps: int = 0
    lost_steps: int = 0
    waiting: int = 0
    working: int = 0
    paused: str | None = None
    asking: tuple[QueuedFile, ...] = ()
    asking_count: int = 0


class Summary:
    """Puts the summary of a day into the outbox once `hour` (local time) has come; the key is the day's date.

    A daemon that starts in the evening says it then; a clock that goes back says nothing twice. `key` tells the days of
    two daemons apart that share nothing but the service.
    """

    def __init__(self, hour: int = 8) -> None:
        self._hour = hour
        self._told: str | None = None

    def tick(self, queue: Summarised, now: float) -> bool:
        """Whether the day's summary was put into the outbox just now. Raises what the database raises."""
        local = time.localtime(now)
        day = time.strftime("%Y-%m-%d", local)
        if local.tm_hour < self._hour or day == self._told:
            return False
        since = now - 86400.0
        first = queue.events(limit=1)
        if not first or first[0].time > _hour_of(local, self._hour):
            self._told = day  # there was no yesterday, so that there is nothing to say of it
            return False
        title, body = summary_text(day_since(queue, since))
        queue.alert(f"{SUMMARY}{day}", "info", title, body)
        self._told = day
        return True


def _hour_of(local: time.struct_time, hour: int) -> float:
    """That hour of a day in unix seconds; the machine's zone says whether it is summer there (mktime(3))."""
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, hour, 0, 0, 0, 0, -1))


def day_since(queue: Summarised, since: float) -> Day:
    """What happened since a moment (unix seconds), read from the newest event backwards as far as that."""
    counts = queue.counts()
    asking = queue.list(states=FOR_A_PERSON, limit=_MOST_NAMES, newest_first=True)
    day = Day(
        waiting=sum(counts.get(state, 0) for state in ("accepted", "checking", "waiting")),
        working=sum(counts.get(state, 0) for state in ("training", "verifying")),
        paused=queue.paused,
        asking=tuple(asking),
        asking_count=sum(counts.get(state, 0) for state in FOR_A_PERSON),
    )
    for event in queue.events(kinds=_KINDS, newest_first=True, limit=_PAGE):
        if event.time >= since:
            _count(day, event)
    return day


def _count(day: Day, event: Event) -> None:
    match event.kind:
        case "accepted":
            day.accepted += 1
        case "recovered":
            day.recovered += 1
            day.lost_steps += max(int(figure_of(event.data, "lost_steps") or 0), 0)
        case "attempt-end":
            day.steps += max(int(figure_of(event.data, "steps") or 0), 0)
            failure = event.data.get("failure")
            if isinstance(failure, dict) and failure.get("kind") != "stopped":
                kind = str(failure.get("kind", "unknown"))
                day.faults[kind] = day.faults.get(kind, 0) + 1
        case "transition" if event.to_state == "done":
            day.trained += 1
        case "transition" if event.to_state in ("failed", "quarantined"):
            day.set_aside += 1


def summary_text(day: Day) -> tuple[str, str]:
    """The title and the body of the message."""
    title = f"{_files(day.trained)} trained in a day" if day.trained else "nothing was trained in a day"
    if day.asking_count:
        title += f", {_files(day.asking_count)} for a person to look at"
    lines = [
        f"accepted: {_files(day.accepted)}; trained: {day.trained:,}; set aside: {day.set_aside:,}",
        f"steps made: {day.steps:,}, of which {day.lost_steps:,} were made again",
    ]
    if day.faults:
        kinds = ", ".join(
            f"{number:,} {kind}" for kind, number in sorted(day.faults.items(), key=lambda each: -each[1])
        )
        lines.append(f"faults: {kinds}; survived: {day.recovered:,}")
    else:
        lines.append("faults: none")
    lines.append(f"waiting: {_files(day.waiting)}; in work: {day.working:,}")
    if day.paused is not None:
        lines.append(
            f"the queue is paused: {_safe(day.paused)}; `trainguard queue list` and `trainguard status` show more"
        )
    if day.asking_count:
        lines.append(f"for a person: {_named(day.asking, day.asking_count)}; `trainguard log FILE` says why")
    return title, "\n".join(lines)


def _named(files: Sequence[QueuedFile], total: int) -> str:
    shown = ", ".join(f"{each.id} {_safe(each.name)} ({each.state})" for each in files)
    return shown + (f" and {total - len(files):,} more" if total > len(files) else "")


def _files(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"


def _safe(text: str) -> str:
    shown = masked(visible(text))
    return shown if len(shown) <= 120 else shown[:119] + "…"
