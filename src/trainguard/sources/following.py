"""Polls a source until its run is over, and keeps time where the source does not.

Pure but for the clock and the source that it is given.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from trainguard.sources.base import Record, Source
from trainguard.sources.names import is_number

# A source whose records come in bursts of more than this (a log behind a buffer) is silent between them by its nature.
_BURST = 3
_BURSTS_REMEMBERED = 5


def read_once(source: Source) -> Iterator[Record]:
    """All that is there now."""
    yield from source.poll(last=True)


def follow(
    source: Source, *, until_end: bool = True, clock: Callable[[], float] = time.monotonic
) -> Iterator[Record | None]:
    """The records that are there, then each as it comes; None after every poll, for what wants to be drawn.

    What comes while following and carries no `t` gets the time at which it came, where the source is written at every
    log. When nothing comes, a tick says so, once something has come: a run that was over before anybody looked is not
    a run that hangs. `until_end` returns when the source says that nothing more will come.
    """
    clerk = _Clock(source, clock)
    for record in source.poll():
        clerk.saw(record)
        yield record
    yield None
    came = 0
    # A run that says that it is over may still write a last line: one more poll that brings nothing.
    while not source.closed and not (source.ended and until_end and came == -1):
        source.wait(source.every_seconds)
        came = 0
        held: Record | None = None
        before = source.ended
        for record in source.poll():
            if held is not None:
                yield held
            clerk.saw(record)
            held = record
            came += "loss" in record or not ("tick" in record or "event" in record)
        if held is not None:
            # The last of several is the one that came now; when the others did is not known.
            yield clerk.stamped(held)
            clerk.arrived(came)
        elif before and source.ended:
            came = -1
        elif (tick := clerk.tick()) is not None:
            yield tick
        yield None


class _Clock:
    """The run's clock, `t`, where records have one, else that of whoever watches."""

    def __init__(self, source: Source, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._began = clock()
        self._t: float | None = None  # the newest of the run
        self._at = self._began  # when that was seen
        self._own = False  # whether records have a clock of their own
        self._bursts: deque[int] = deque(maxlen=_BURSTS_REMEMBERED)
        self._live = False

    def saw(self, record: Record) -> None:
        t = record.get("t")
        if is_number(t):
            self._own = True
            self._t, self._at = float(t), self._clock()  # type: ignore[arg-type]

    def stamped(self, record: Record) -> Record:
        if self._own or not self._source.prompt or "event" in record:
            return record
        self._t, self._at = self._clock() - self._began, self._clock()
        return {**record, "t": self._t}

    def arrived(self, records: int) -> None:
        self._live = True
        if records:
            self._bursts.append(records)

    def tick(self) -> Record | None:
        bursty = sum(each > _BURST for each in self._bursts) * 2 > len(self._bursts)
        if not self._live or not self._source.prompt or bursty or self._t is None or self._source.ended:
            return None
        return {"tick": True, "t": self._t + self._clock() - self._at}
