"""A file that this daemon works on: its lease is kept, what happens is told, and in the end it goes somewhere."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trainguard.daemon import acting
from trainguard.daemon.clock import Every
from trainguard.daemon.gpu import GpuMemory
from trainguard.daemon.settings import Settings
from trainguard.queue.custody import AwayError, Custody
from trainguard.queue.engine import QueueCorruptError
from trainguard.queue.records import Lease, LostLeaseError, State
from trainguard.queue.sidecars import keep_word
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

# How often a lease is renewed, as a share of its length, and at which share the run is ended where it could not be:
# before the server's clock gives the file to another daemon.
_RENEW, _GIVE_UP = 0.25, 0.7
# Where a folder refuses to be read or written, a disk that is full as a rule: time for a person to see it.
REFUSED_SECONDS = 30.0
# So often one file alone may be unreadable on a disk that answers otherwise, a pause between, before it fails.
_MOST_UNREAD = 10


@dataclass(slots=True, kw_only=True)
class Work:
    """What an attempt needs of the daemon. `command` begins the command line; the configuration follows."""

    queue: Queue
    custody: Custody
    settings: Settings
    command: Sequence[str]
    lease_seconds: float
    hang_seconds: float | None = None
    gpu: GpuMemory | None = None


class Held:
    """A leased file. `file` is the row as it was seen last; `lost` says that another daemon has it, or may have it."""

    def __init__(self, work: Work, lease: Lease) -> None:
        self.work = work
        self.lease = lease
        self.file = lease.file
        self.number = lease.file.attempts
        self.lost = False
        self._renewed = time.monotonic()
        self._renewing = Every(work.lease_seconds * _RENEW)
        self._renewing.later(self._renewing.seconds)

    def keep_lease(self) -> str | None:
        """Renews the lease when that is due; why it has to be taken for lost, None as a rule. Raises LostLeaseError."""
        if self._renewing.due():
            try:
                self.lease = self.work.queue.renew(self.lease)
                self._renewed = time.monotonic()
            except (LostLeaseError, QueueCorruptError):
                raise
            except Exception as error:
                if not getattr(error, "again", False):
                    logger.warning("the lease of %s could not be renewed: %s", self.file.name, error)
        silent = time.monotonic() - self._renewed
        # A queue of one daemon has nobody who could take the file up.
        if self.work.settings.database_url is None or silent <= self.work.lease_seconds * _GIVE_UP:
            return None
        return f"the queue has not answered for {silent:.0f} s, and another daemon may take the file up"

    def _memory_without(self, *names: str) -> dict[str, Any]:
        return {key: value for key, value in self.lease.file.memory.items() if key not in names}

    def _update(self, **fields: Any) -> None:
        self.file = self.work.queue.update(self.lease, **fields)
        self.lease = msgspec.structs.replace(self.lease, file=self.file)

    def _give_back(self, why: str, *, delay_seconds: float = 0.0) -> None:
        """To the waiting ones, with nothing held against it."""
        delay: dict[str, Any] = {"delay_seconds": delay_seconds} if delay_seconds else {}
        self.file = self.work.queue.move_to(self.lease, "waiting", cause=why, **delay)
        self._first_again()

    def _custody_away(self, error: AwayError) -> None:
        """A fault of the machine, for which no file may fail: unless it is this one alone, again and again."""
        name, times = self.file.name, self.file.memory.get(acting.UNREAD)
        times = (times if isinstance(times, int) else 0) + (1 if error.alone else 0)
        if times >= _MOST_UNREAD:
            self._put_aside("failed", f"{name} cannot be read in custody: {error}; look at the disk, then retry it")
            return
        # Before the file goes back: between the two nothing may take up another one.
        self.work.queue.pause(f"mount: {name} cannot be read in custody now: {error}")
        self._update(memory={**self.lease.file.memory, acting.UNREAD: times})
        self._give_back(f"custody did not answer: {error}", delay_seconds=REFUSED_SECONDS)

    def _put_aside(self, state: State, why: str) -> None:
        self.file = self.work.queue.move_to(self.lease, state, cause=why)
        self._settle()

    def _first_again(self) -> None:
        """A file in its middle goes before all others: what it has made would have to be made again."""
        if self.file.state == "waiting":
            with contextlib.suppress(Exception):
                self.work.queue.move(self.file.id, first=True)

    def _settle(self) -> None:
        if self.file.state in ("done", "failed", "quarantined"):
            with contextlib.suppress(OSError):  # the row stands; the next start puts the folder right
                events = self.work.queue.events(self.file.id)
                self.work.custody.settle(self.file, events=events, config=str(self.work.settings.config))
        elif self.file.state == "held":
            keep_word(self.work.custody.home, self.file)

    def _tell(self, kind: str, *, cause: str | None = None, **data: Any) -> None:
        """An event that is worth nothing to lose an attempt over."""
        try:
            self.work.queue.event(kind, file_id=self.file.id, attempt=self.number, cause=cause, **data)
        except Exception as error:
            if not getattr(error, "again", False):
                logger.warning("the event %s of %s could not be written: %s", kind, self.file.name, error)
