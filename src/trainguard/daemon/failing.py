"""What goes wrong in the daemon itself: written down, tried again after a pause, and never the end of it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainguard.queue.engine import QueueCorruptError, QueueError
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _MOST_PAUSE = 0.25, 60.0
# With the longest pause a hundred failures are an hour and a half: nobody will mend that but a person.
_LOUD = 100


@dataclass(slots=True)
class _Failing:
    """A part that has failed, so many times in a row; it is tried again at `until` (monotonic)."""

    times: int = 0
    until: float = 0.0


class Parts:
    """Runs the parts of a turn, each for itself: one that raises rests, and the others go on.

    `lost` is set once a part has found the queue's database damaged or gone: no part can go on with that one.
    """

    def __init__(self, log: Path, queue: Queue | None = None) -> None:
        self.queue = queue
        self.lost: QueueCorruptError | None = None
        self._log = log
        self._failing: dict[str, _Failing] = {}

    def times(self, name: str) -> int:
        """How often the part has failed in a row."""
        failing = self._failing.get(name)
        return failing.times if failing is not None else 0

    def run(self, name: str, part: Callable[[], None]) -> None:
        """Runs a part, unless it rests. Raises no Exception."""
        failing = self._failing.get(name)
        if failing is not None and time.monotonic() < failing.until:
            return
        try:
            part()
        except Exception as error:
            self.failed(name, error)
        else:
            self._failing.pop(name, None)

    def failed(self, name: str, error: Exception) -> None:
        """Writes down that the part failed; it rests for a while that doubles."""
        if isinstance(error, QueueCorruptError):
            self.lost = error
        failing = self._failing.setdefault(name, _Failing())
        failing.times += 1
        failing.until = time.monotonic() + min(_MOST_PAUSE, _FIRST_PAUSE * 2 ** min(failing.times, 10))
        # A database that is away is said once, not by each part.
        if failing.times % _LOUD and (failing.times != 1 or getattr(error, "again", False)):
            return
        known = isinstance(error, (QueueError, OSError))
        logger.error("%s failed (time %d in a row): %s", name, failing.times, error, exc_info=not known)
        if self.queue is None or isinstance(error, QueueError):
            return  # what cannot be written for the queue's own sake is in the log alone
        words = f"{type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            self.queue.event("error", cause=f"{name}: {words}", times=failing.times)
        if failing.times >= _LOUD:
            with contextlib.suppress(Exception):
                self.queue.alert(
                    f"error:{name}:{int(time.time() // 3600)}",
                    "error",
                    f"the daemon fails again and again: {name}",
                    f"{words} ({failing.times} times in a row); see {self._log}",
                )
