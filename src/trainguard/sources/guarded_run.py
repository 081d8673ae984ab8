"""A run that trainguard guards: what the guard itself wrote into `<output_dir>/trainguard/`, and the Trainer's history.

`events.jsonl` has the events and the guard's own findings, `heartbeat.jsonl` the signs of life with the phase. Both are
only appended to. Metrics are taken from the events where they stand there, else from the Trainer's state files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.sources.base import Record, Source
from trainguard.sources.declared import KEYS
from trainguard.sources.files import Tail, is_inside
from trainguard.sources.names import EVENTS as KNOWN_EVENTS
from trainguard.sources.names import is_record, number, renamed
from trainguard.sources.trainer_state import TrainerFolder

FOLDER = "trainguard"
EVENTS = "events.jsonl"
HEARTBEAT = "heartbeat.jsonl"
_LONGEST_LINE = 1 << 20  # bytes
_METRICS = frozenset({"metrics", "log", "evaluate", "evaluation"})


def is_guarded(folder: Path) -> bool:
    """Whether a guard has written into this output folder."""
    inside = folder / FOLDER
    return any(is_inside(inside / name, folder) and (inside / name).is_file() for name in (EVENTS, HEARTBEAT))


class GuardedRun(Source):
    """Events, signs of life and metrics of a guarded run, with `t` counted from its first event.

    The guard's findings come as `{"event": "finding", "finding": {...}}`.
    """

    kind = "guarded"

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name)
        self._events = JsonLines(folder / FOLDER / EVENTS)
        self._beats = JsonLines(folder / FOLDER / HEARTBEAT)
        self._trainer = TrainerFolder(folder, name)
        self._metrics = False  # whether the events hold metrics
        self._phase: object = None
        self._first: float | None = None
        self._latest = 0.0
        self._last: float | None = None  # the newest `t` as the machine counts

    def poll(self, *, last: bool = False) -> Iterator[Record]:  # noqa: ARG002 - the signature of all sources
        ends: list[Record] = []
        for line in self._events.lines():
            for record in self._event(line):
                # The last metrics come with the last save, behind the end in time of reading alone.
                yield from ends
                ends = [record] if record.get("event") == "end" else []
                if not ends:
                    yield record
        beat = None
        for beat in self._beats.lines():  # noqa: B007 - the newest counts
            pass
        if not self._metrics:
            yield from (record for record in self._trainer.poll() if "event" not in record)  # the guard has its own
            self.declared.update(self._trainer.declared)
        yield from ends
        if beat is not None:
            yield from self._sign_of_life(beat)

    def _event(self, line: dict[str, Any]) -> Iterator[Record]:
        event = line.get("event")
        if event is not None and not isinstance(event, str):
            return
        record: Record = {**line, "t": self._seconds(line.get("t"))}
        if record["t"] is None:
            del record["t"]
        if isinstance(line.get("declared"), dict):
            self.declared.update({key: value for key, value in line["declared"].items() if key in KEYS})
        if event in _METRICS or event is None:
            inside = line.get("metrics") or line.get("record") or line.get("logs")
            values = renamed({**(inside if isinstance(inside, dict) else {}), **record})
            values.pop("event", None)
            if is_record(values):
                self._metrics = True
                yield values
            return
        if event == "resume":
            record.setdefault("from_step", record.get("step"))
        if event in KNOWN_EVENTS:
            self.ended = event == "end"
        yield record

    def _sign_of_life(self, beat: dict[str, Any]) -> Iterator[Record]:
        t = self._seconds(beat.get("t"))
        if t is None:
            return
        phase = beat.get("phase")
        if isinstance(phase, str) and phase != self._phase:
            self._phase = phase
            yield {"event": "phase", "name": phase, "t": t}
        step = beat.get("step")
        yield {"tick": True, "t": t, **({"step": step} if isinstance(step, int) else {})}

    def _seconds(self, given: object) -> float | None:
        """Seconds since the first event. The machine's own clock begins anew when it is started again."""
        t = number(given)
        if t is None:
            return None
        if self._last is None or t < self._last - _SLACK_SECONDS:
            self._first = t - self._latest
        self._last = t
        assert self._first is not None
        self._latest = max(self._latest, t - self._first)
        return self._latest

    def close(self) -> None:
        self._events.close()
        self._beats.close()
        self._trainer.close()


# Events and heartbeats are read one after the other, so that the clock may seem to go back by one poll.
_SLACK_SECONDS = 3600.0


class JsonLines:
    """The objects in a file of JSON lines that grows. A torn line, or one that is no object, is left out."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._rest = b""
        self._again = 0

    def lines(self) -> Iterator[dict[str, Any]]:
        for block in self._tail.blocks():
            if self._tail.again != self._again:
                self._again, self._rest = self._tail.again, b""
            *whole, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > _LONGEST_LINE:
                self._rest = b""
            for line in whole:
                try:
                    found = json.loads(line) if line else None
                except (ValueError, RecursionError):
                    continue
                if isinstance(found, dict):
                    yield found

    def close(self) -> None:
        self._tail.close()
