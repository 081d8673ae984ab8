"""Time for the loop: intervals by the monotonic clock, and what of them outlives the process.

A wall clock that jumps (NTP, a person, a suspended machine) changes nothing here. On Linux the monotonic clock counts
from the boot and is the same in all processes (clock_gettime(2)), so that a moment of another process can be compared
as long as the boot is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from trainguard.daemon.processes import boot_id

_FLAG_SECONDS = 0.1


class Every:
    """Something that is due every so many seconds, the first time at once."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._next = -float("inf")

    def due(self) -> bool:
        """Whether it is due now; if so, the next time is `seconds` from now."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self.seconds
        return True

    def at_once(self) -> None:
        self._next = -float("inf")

    def sooner(self, seconds: float) -> None:
        """Not later than `seconds` from now."""
        self._next = min(self._next, self._clock() + seconds)

    def later(self, seconds: float) -> None:
        """Not before `seconds` from now."""
        self._next = self._clock() + seconds


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that another process can measure from: `time` unix seconds, `t` monotonic ones of the boot `boot`."""

    time: float
    t: float
    boot: str = ""

    @classmethod
    def now(cls) -> Moment:
        return cls(time=time.time(), t=time.monotonic(), boot=boot_id())

    @property
    def seconds(self) -> float:
        """How long ago it was: by the monotonic clock within one boot, else by the wall clock. Never negative."""
        same = self.boot and self.boot == boot_id()
        return max(0.0, time.monotonic() - self.t if same else time.time() - self.time)

    def plain(self) -> dict[str, Any]:
        return {"time": round(self.time, 3), "t": round(self.t, 3), "boot": self.boot}


def moment_of(value: object) -> Moment | None:
    """The moment that was written down, None for anything else."""
    try:
        return msgspec.convert(value, type=Moment)
    except msgspec.ValidationError:
        return None


class Flag:
    """As threading.Event, for the handlers of signals: one may come in the middle of another, or of a `wait`, and the
    lock of an Event is not reentrant."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self._set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _FLAG_SECONDS))
        return self._set
