"""Which file is trained next, and whether any may be."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from trainguard.daemon import start
from trainguard.daemon.acting import PAUSE
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every, moment_of
from trainguard.daemon.commanding import file_id
from trainguard.daemon.lineage import Tip, tip_of
from trainguard.daemon.remains import leftovers_finding
from trainguard.daemon.settings import Settings, read_daemon_settings
from trainguard.daemon.waiting import Waits, waits_for
from trainguard.errors import UsageError
from trainguard.queue.custody import Custody
from trainguard.queue.records import Lease, QueuedFile, State
from trainguard.queue.store import Queue
from trainguard.recovery.alike import several_alike
from trainguard.recovery.records import Failure

logger = logging.getLogger(__name__)

BROKEN_CONFIG = "config: "
_CONFIG_SECONDS = 15.0
_WAITING: tuple[State, ...] = ("waiting",)
_ACCEPTED: tuple[State, ...] = ("accepted",)
_TO_GO_ON: tuple[State, ...] = ("accepted", "checking", "waiting")
_PATIENCE_SECONDS = 0.2


class Choosing:
    """Takes the next file when nothing stands against it: leftovers, a broken configuration, a pause.

    `settings` are those of the configuration as it was read last; it is read again before each file.
    """

    def __init__(self, queue: Queue, settings: Settings, leftovers: Background[Any], custody: Custody) -> None:
        self.settings = settings
        self.leftovers: Background[Any] | None = leftovers
        self._queue = queue
        self._waits = Waits(settings, custody)
        self._config_due = Every(_CONFIG_SECONDS)
        self._tip: Background[Tip] | None = None
        self._put_aside: list[Failure] = []

    @property
    def busy(self) -> bool:
        """Whether it is about to take a file."""
        return self._tip is not None

    def allowed(self) -> bool:
        """Whether a file may be taken now. Ends pauses that may end."""
        if self.leftovers is not None and not self._gone(self.leftovers):
            return False
        paused = self._queue.paused
        if paused is None:
            return True
        if paused.startswith(BROKEN_CONFIG):
            if self._config_due.due() and self.reread():
                self._resume("the configuration can be read again")
            return False
        if waits_for(paused) is not None:
            self._wait(paused)
        return False

    @property
    def waits_for_a_person(self) -> bool:
        paused = self._queue.paused
        return paused is not None and waits_for(paused) is None

    def _wait(self, paused: str) -> None:
        """A pause that ends by itself; one with a deadline (`Decision.deadline_seconds`) ends in a hold of its file."""
        first = self._queue.list(states=_WAITING, limit=1)
        told = first[0].memory.get(PAUSE) if first else None
        told = told if isinstance(told, dict) else {}
        needed = told.get("needed_bytes")
        self._waits.needed_bytes = needed if isinstance(needed, int) else None
        why = self._waits.ended(paused)
        if why is not None:
            self._resume(why)
            return
        since, deadline = moment_of(told.get("since")), told.get("deadline_seconds")
        if first and since is not None and isinstance(deadline, int | float) and since.seconds > deadline:
            self._queue.hold(first[0].id, f"{paused}; that was not over after {deadline / 3600:.1f} h")
            self._resume("the file that waited for it is held")

    def _resume(self, why: str) -> None:
        logger.info("going on: %s", why)
        self._queue.resume()

    def _gone(self, job: Background[Any]) -> bool:
        """Whether the processes of an earlier daemon have ended: another run beside one of them would spoil both."""
        if not job.done:
            return False
        try:
            found = leftovers_finding(job.result())
            if found is not None:
                logger.warning("%s", found.message)
                self._queue.event("finding", cause=found.message, finding=found.to_dict())
        except TimeoutError as error:
            logger.error("no file is begun yet: %s", error)
            self.leftovers = start.end_leftovers_of(self.settings, self._queue)
            return False
        self.leftovers = None
        return True

    def next(self) -> tuple[Lease, Tip] | None:
        """The next file, leased, and where the lineage stands; None where there is none now. Never waits for long."""
        if self._tip is None:
            if not self._queue.list(states=_WAITING, limit=1):
                return None
            output = self.settings.output_dir
            self._tip = Background(lambda: tip_of(output), "lineage")
            self._tip.wait(_PATIENCE_SECONDS)
        if not self._tip.done:
            return None
        job, self._tip = self._tip, None
        tip = self._judged(job.result())
        if not self.reread():
            return None
        ahead = self._ahead(tip)
        if ahead is not None:
            if ahead.state != "waiting" or not _is_due(ahead):
                return None  # another one, on top of its half, would take away what it has made
            first = self._queue.list(states=_WAITING, limit=1)
            if first and first[0].id != ahead.id:
                self._queue.move(ahead.id, first=True)
        lease = self._queue.take()
        return (lease, tip) if lease is not None else None

    def _judged(self, tip: Tip) -> Tip:
        """The tip as the queue knows its file: closed where that is done, open where it is not, whatever is made."""
        file = self._file_of(tip)
        if file is None:
            return tip
        return replace(tip, closed=tip.unfinished) if file.state == "done" else replace(tip, open=True)

    def _file_of(self, tip: Tip) -> QueuedFile | None:
        number = tip.file_id.partition("-")[0] if tip.file_id is not None else ""
        file = self._queue.get(int(number)) if number.isdigit() else None
        return file if file is not None and file_id(file) == tip.file_id else None

    def _ahead(self, tip: Tip) -> QueuedFile | None:
        """The file that is in its middle and is to go on: it goes before all others, with its check before theirs."""
        file = self._file_of(tip) if tip.unfinished else None
        if file is None or file.state not in _TO_GO_ON:
            return None
        if file.state == "accepted":
            first = self._queue.list(states=_ACCEPTED, limit=1)
            if first and first[0].id != file.id:
                self._queue.move(file.id, first=True)
        return file

    def look_back(self, file: QueuedFile, failure: Failure | None) -> None:
        """After an attempt: are files put aside one after the other for the same fault?"""
        if file.state == "done":
            self._put_aside.clear()
        elif file.state in ("failed", "quarantined", "held") and failure is not None:
            self._put_aside.append(failure)
            why = several_alike(self._put_aside)
            if why is not None:
                self._put_aside.clear()
                logger.error("%s", why)
                self._queue.pause(f"{why}; when that is mended: trainguard daemon resume")

    def reread(self) -> bool:
        """Reads the configuration as it is now; a broken one pauses the queue, and is no file's fault."""
        was = self.settings
        try:
            now = read_daemon_settings(was.config, inbox=was.inbox, database_url=was.database_url, name=was.owner)
            if now.output_dir != was.output_dir:
                raise UsageError(
                    f"{was.config}: output_dir was {was.output_dir} and is {now.output_dir} now; put it back, or start "
                    "a daemon of its own for that"
                )
        except UsageError as error:
            logger.error("no file is begun: %s", error)
            self._queue.pause(f"{BROKEN_CONFIG}{error}")
            return False
        self.settings = now
        return True


def _is_due(file: QueuedFile) -> bool:
    now = time.time()
    return file.not_before is None or file.not_before <= now or file.state_since > now
