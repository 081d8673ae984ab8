"""What is told of a queue: a tally of its events, what goes on now, the story of each file. Reads only.

ETTR, the effective training time ratio, is the productive time of training over the wall time of the files in work
(Kokolis et al. 2024, "Revisiting Reliability in Large-Scale Machine Learning Research Clusters", arXiv:2410.21680,
section on ETTR: productive runtime / available wallclock time of a job run). Productive is the time from the first step
of an attempt to its end, less the share of its steps that were made again later. Wall time of a file runs from its
first attempt until it is done, put aside or held, pauses and back-off included, and no idle time of an empty queue.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trainguard.queue.records import Event, QueuedFile, State, Worker
from trainguard.train.events import EVENTS, FOLDER
from trainguard.train.heartbeat import HEARTBEAT

# Upper bounds of the classes of times to recover, seconds: from a start that takes seconds to a pause of a day.
RECOVERY_BOUNDS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
# The kinds of events that a tally counts.
TALLIED = ("attempt-start", "attempt-end", "first-step", "recovered", "transition", "accepted")
# Of what a run appends to, so much is read from its end: a heartbeat is 110 bytes, a line of metrics under 1 kB.
_TAIL_BYTES = 256 * 1024
_PAGE = 5000  # events a query
_TURN = 2000  # events that are counted at once: some 50 ms
_FOR_PACE = 20  # metrics lines that tell how fast a run is of late
# A worker that has not been seen for so long is taken for dead: three times the lease of 30 s.
ALIVE_SECONDS = 90.0
_CUSTODY = re.compile(r"\S*/queue/files/[0-9a-f]{64}/")
STOPPED = "stopped"  # what a daemon announces last


class Readable(Protocol):
    """The part of a queue that is read here."""

    def list(
        self, states: Collection[State] | None = None, limit: int | None = None, newest_first: bool = False
    ) -> Sequence[QueuedFile]: ...
    def events(
        self,
        file_id: int | None = None,
        after: int = 0,
        limit: int | None = None,
        *,
        kinds: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> Sequence[Event]: ...
    def counts(self) -> dict[State, int]: ...
    def workers(self) -> Sequence[Worker]: ...


@dataclass(slots=True)
class Tally:
    """Counts over the events of a queue, told one after the other. Times are seconds.

    `last_id` is the event that was counted last, so that later ones can be added. `recoveries` counts by the kind of
    the failure that was survived; `recovery_counts` are those of RECOVERY_BOUNDS and of longer ones.
    """

    last_id: int = 0
    accepted: int = 0
    ended: dict[str, int] = field(default_factory=dict)  # files by the state in which they ended
    attempts: dict[str, int] = field(default_factory=dict)  # by outcome: "completed", or the failure's kind
    recoveries: dict[str, int] = field(default_factory=dict)
    recovery_counts: list[int] = field(default_factory=lambda: [0] * (len(RECOVERY_BOUNDS) + 1))
    recovery_seconds: float = 0.0
    lost_steps: int = 0
    steps: int = 0
    productive_seconds: float = 0.0
    wall_seconds: float = 0.0
    first_start: float | None = None
    waiting: dict[int, float] = field(default_factory=dict)  # files that wait: since when
    _begun: dict[int, float] = field(default_factory=dict)  # files in work: since when
    _running: dict[int, float] = field(default_factory=dict)  # attempts in progress: when the first step was made
    _started: dict[int, float] = field(default_factory=dict)  # attempts in progress: when they were started
    _failed: dict[int, str] = field(default_factory=dict)  # files in work: what the last attempt failed of
    _pace: dict[int, float] = field(default_factory=dict)  # files in work: seconds a step of the last attempt

    def add(self, events: Iterable[Event]) -> Tally:
        """Counts these events, in the order in which they happened; those that were counted are left out."""
        for event in events:
            if event.id > self.last_id:
                self.last_id = event.id
                self._add(event)
        return self

    def ettr(self, now: float) -> float | None:
        """The effective training time ratio up to `now` (unix seconds), None before the first attempt."""
        wall = self.wall_seconds + sum(max(now - each, 0.0) for each in self._begun.values())
        productive = self.productive_seconds + sum(max(now - each, 0.0) for each in self._running.values())
        return min(max(productive / wall, 0.0), 1.0) if wall > 0 else None

    @property
    def median_recovery_seconds(self) -> float | None:
        """The bound of the class in which the median lies; None without recoveries, infinity in the last class."""
        total, seen = sum(self.recovery_counts), 0
        for count, bound in zip(self.recovery_counts, (*RECOVERY_BOUNDS, math.inf), strict=True):
            seen += count
            if total and seen * 2 >= total:
                return bound
        return None

    def _add(self, event: Event) -> None:
        number = event.file_id
        if number is not None and event.to_state is not None:
            if event.to_state in ("accepted", "checking", "waiting"):
                self.waiting.setdefault(number, event.time)
            else:
                self.waiting.pop(number, None)
        match event.kind:
            case "accepted":
                self.accepted += 1
            case "attempt-start" if number is not None:
                self._begun.setdefault(number, event.time)
                self._started[number] = event.time
                # Of an attempt whose end nobody saw it is not known how long it trained: none of it counts.
                self._running.pop(number, None)
                self.first_start = event.time if self.first_start is None else min(self.first_start, event.time)
            case "first-step" if number is not None:
                self._running[number] = event.time
            case "attempt-end" if number is not None:
                self._end_attempt(number, event)
            case "recovered":
                self._recover(event)
            case "transition" if number is not None and event.to_state not in ("waiting", "training", "verifying"):
                self._close(number, event.time)
                if event.to_state in ("done", "failed", "quarantined"):
                    self.ended[event.to_state] = self.ended.get(event.to_state, 0) + 1

    def _end_attempt(self, number: int, event: Event) -> None:
        failure = event.data.get("failure")
        kind = str(failure.get("kind", "unknown")) if isinstance(failure, Mapping) else None
        self.attempts[kind or "completed"] = self.attempts.get(kind or "completed", 0) + 1
        if kind is not None:
            self._failed[number] = kind
        steps = max(int(figure_of(event.data, "steps") or 0), 0)
        self.steps += steps
        first = self._running.pop(number, None)
        started = self._started.pop(number, None)
        if first is not None:
            seconds = max(event.time - first, 0.0)
        elif started is not None and steps:
            seconds = figure_of(event.data, "training_seconds") or max(event.time - started, 0.0)
        else:
            seconds = 0.0
        self.productive_seconds += seconds if steps else 0.0
        self._pace[number] = seconds / steps if steps else 0.0

    def _recover(self, event: Event) -> None:
        failed = self._failed.pop(event.file_id, "unknown") if event.file_id is not None else "unknown"
        kind = str(event.data.get("kind") or failed)[:40]
        self.recoveries[kind] = self.recoveries.get(kind, 0) + 1
        lost = max(int(figure_of(event.data, "lost_steps") or 0), 0)
        self.lost_steps += lost
        if event.file_id is not None:
            # What was trained and has to be trained again was not productive.
            again = lost * self._pace.get(event.file_id, 0.0)
            self.productive_seconds = max(self.productive_seconds - again, 0.0)
        seconds = figure_of(event.data, "seconds")
        if seconds is not None and seconds >= 0:
            self.recovery_seconds += seconds
            self.recovery_counts[bisect_left(RECOVERY_BOUNDS, seconds)] += 1

    def _close(self, number: int, at: float) -> None:
        began = self._begun.pop(number, None)
        if began is not None:
            self.wall_seconds += max(at - began, 0.0)
        for each in (self._running, self._started, self._pace):
            each.pop(number, None)
        self._failed.pop(number, None)


def tally(queue: Readable, counted: Tally) -> bool:
    """Adds the next page of events to `counted`; whether it has them all now. Years of history are counted in many
    small turns, since whoever counts may have something else to do."""
    events = queue.events(after=counted.last_id, limit=_TURN, kinds=TALLIED)
    counted.add(events)
    return len(events) < _TURN


def all_events(queue: Readable, *, kinds: Collection[str] | None = None, after: int = 0) -> Iterator[Event]:
    """The events of a queue, oldest first, a page a query."""
    while page := queue.events(after=after, limit=_PAGE, kinds=kinds):
        yield from page
        after = page[-1].id


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run says of itself, read from the files that it appends to. Ages are seconds, steps global ones."""

    phase: str | None = None
    step: int | None = None
    loss: float | None = None
    seconds_per_step: float | None = None
    beat_age_seconds: float | None = None


def progress(output_dir: Path, now: float) -> Progress:
    """Where the run in an output folder stands. Empty where it has written nothing. Never raises for its content."""
    folder = output_dir / FOLDER
    beat: Mapping[str, Any] = next(reversed(tail(folder / HEARTBEAT)), {})
    metrics = [line for line in tail(folder / EVENTS) if line.get("event") in ("metrics", "start", "resume")]
    loss = next((value for line in reversed(metrics) if (value := _loss(line)) is not None), None)
    when = figure_of(beat, "time")
    steps = [
        each
        for each in (figure_of(beat, "step"), figure_of(metrics[-1] if metrics else {}, "step"))
        if each is not None
    ]
    return Progress(
        phase=str(beat["phase"])[:40] if isinstance(beat.get("phase"), str) else None,
        step=int(steps[0]) if steps else None,
        loss=loss,
        seconds_per_step=_pace(metrics),
        beat_age_seconds=max(now - when, 0.0) if when is not None else None,
    )


def _loss(line: Mapping[str, Any]) -> float | None:
    values = line.get("metrics")
    return figure_of(values, "loss") if isinstance(values, Mapping) else None


def _pace(lines: list[dict[str, Any]]) -> float | None:
    """Seconds a step between the last lines of one process: `t` is monotonic, so that a clock that jumps changes
    nothing."""
    begun = max((place for place, line in enumerate(lines) if line.get("event") != "metrics"), default=-1)
    own = [(figure_of(line, "t"), figure_of(line, "step")) for line in lines[begun + 1 :][-_FOR_PACE:]]
    places = [(t, step) for t, step in own if t is not None and step is not None]
    if len(places) < 2 or places[-1][1] <= places[0][1] or places[-1][0] < places[0][0]:
        return None
    return (places[-1][0] - places[0][0]) / (places[-1][1] - places[0][1])


def seconds_left(file: QueuedFile, now: Progress) -> float | None:
    """How long the file's own steps will take at the pace of late; None where that cannot be told."""
    made = own_steps(file, now)
    if made is None or file.planned_steps is None or now.seconds_per_step is None:
        return None
    return max(file.planned_steps - made, 0) * now.seconds_per_step


def own_steps(file: QueuedFile, now: Progress | None = None) -> int | None:
    """How many of this file's own steps are made; None until it is known where it began."""
    step = now.step if now is not None and now.step is not None else file.step
    return max(step - file.step_before, 0) if step is not None and file.step_before is not None else None


def tail(path: Path, size: int = _TAIL_BYTES) -> list[dict[str, Any]]:
    """The JSON objects in the last bytes of a file of lines, oldest first, without a line that is cut or torn."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - size, 0))
            content = file.read(size)
    except OSError:
        return []
    lines = content.split(b"\n")
    return list(_objects(lines[1:] if end > size else lines))


def stream(path: Path) -> Iterator[dict[str, Any]]:
    """All JSON objects of such a file, one at a time: a lineage of weeks does not fit into memory."""
    try:
        with path.open("rb") as file:
            yield from _objects(file)
    except OSError:
        return


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def without_custody(text: str) -> str:
    """`text` in which a file in custody is called by its name: the folder of 64 digits before it tells nobody more."""
    return _CUSTODY.sub("", text)


def alive(workers: Iterable[Worker], now: float) -> list[Worker]:
    """The daemons that were seen of late, those that were seen last first."""
    here = [each for each in workers if now - each.seen < ALIVE_SECONDS and each.doing != STOPPED]
    return sorted(here, key=lambda each: -each.seen)


def figure_of(values: Mapping[str, Any], key: str) -> float | None:
    """A finite number under `key`, a text of one too; None for anything else."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) if not isinstance(value, str) or len(value) < 40 else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def moment(at: float | None, *, seconds: bool = False) -> str:
    """A time of this machine's zone for people, "-" for none; never raises for a number beyond the calendar."""
    if at is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "?"
