"""How a daemon begins and is asked to end; and how it begins anew when its database is lost while it runs."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainguard.daemon import attempt_group, start
from trainguard.daemon.attempt import Attempt
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.lock import AlreadyRunningError, DaemonLock
from trainguard.daemon.placing import away_before_start
from trainguard.daemon.settings import Settings
from trainguard.errors import UsageError
from trainguard.queue.place import Place

logger = logging.getLogger(__name__)

# A database that is lost is rebuilt at once, and one that is lost again after that not in every turn.
_BEGIN_SECONDS = 60.0
# After the deadline at which a run that does not save is ended: for its end to be collected and written down.
SPARE_SECONDS = 10.0
_LOOK_SECONDS = 0.2


@dataclass(slots=True, kw_only=True)
class Patience:
    """How to wait beside the loop: `signals` is how often somebody asked to stop, `pause` waits for so many seconds,
    or until a signal, and tells the watchdog."""

    signals: Callable[[], int]
    pause: Callable[[float], object]


def take_signals(heard: Callable[[], None]) -> None:
    """Calls `heard` at SIGTERM and SIGINT, where that can be asked for: in the main thread."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: heard())


def await_place(settings: Settings, patience: Patience, *, until_empty: bool) -> bool:
    """Waits until the output folder's mount is there, before anything is made at its path; False where the daemon is
    asked to stop. With `until_empty` raises UsageError instead of waiting."""
    said = ""
    while (why := away_before_start(settings)) is not None:
        if until_empty:
            raise UsageError(why)
        if why != said:
            said = why
            logger.error("the daemon waits: %s", why)
        patience.pause(1.0)
        if patience.signals():
            return False
    return True


class Beginnings:
    """Begins: the first time whoever else has the database open, and anew at most once a minute."""

    def __init__(self, settings: Settings, patience: Patience, lock: DaemonLock, *, lease_seconds: float) -> None:
        self._settings = settings
        self._patience = patience
        self._lease_seconds = lease_seconds
        self._due = Every(_BEGIN_SECONDS)
        self._lock = lock
        self._place = Place(settings.home)

    def first(self) -> start.Begun | None:
        """Raises what `start.begin_patiently` raises. None when the daemon was asked to stop before."""
        attempt_group.prepare()
        begun = start.begin_patiently(
            self._settings,
            lease_seconds=self._lease_seconds,
            ended=lambda: self._patience.signals() > 0,
            alive=lambda: self._patience.pause(0.0),
        )
        self._place = begun.custody.place if begun is not None else self._place
        return begun

    def again(self) -> start.Begun | None:
        """Tried until it succeeds. None when the daemon is asked to stop meanwhile.

        Raises AlreadyRunningError where the folder was away, and another daemon serves it by now.
        """
        said = ""
        while not self._patience.signals():
            if (why := self._place.away()) is not None:
                if why != said:
                    said = why
                    logger.error("the daemon waits: %s", why)
            elif self._due.due():
                try:
                    self._lock.renew()
                    return start.begin(self._settings, lease_seconds=self._lease_seconds, place=self._place)
                except AlreadyRunningError:
                    raise
                except Exception as error:
                    logger.exception("the daemon cannot begin anew: %s; tried again in a minute", error)
            self._patience.pause(1.0)
        return None


def let_go(
    attempt: Attempt | None, jobs: Sequence[Background[Any] | None], deadline_seconds: float, patience: Patience
) -> None:
    """Ends the run, which may save until the deadline, and waits for the jobs beside the loop. No word to the queue.

    A signal sets an end to the waiting, the second one at once; what goes on then is ended by the caller.
    """
    if attempt is not None:
        attempt.stop("drain", deadline_seconds)
    until = time.monotonic() + deadline_seconds + SPARE_SECONDS
    while patience.signals() < 2:
        late = time.monotonic() > until
        at_rest = attempt is None or attempt.quiet
        if (at_rest and all(job is None or job.done for job in jobs)) or (late and patience.signals()):
            return
        if attempt is not None and late and not at_rest:
            attempt.end_now()
        patience.pause(_LOOK_SECONDS)
