"""Files that another daemon left in its middle, and files whose attempt broke something in this one."""

from __future__ import annotations

import logging
from pathlib import Path

from trainguard.daemon import start
from trainguard.daemon.attempt import Attempt
from trainguard.daemon.keeping import Work
from trainguard.queue.engine import QueueError
from trainguard.queue.records import Lease, LostLeaseError
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)


class TakingUp:
    """`broken` are files to be held as soon as the queue can be written, `later` those to be taken up again then."""

    def __init__(self, queue: Queue, log: Path) -> None:
        self.broken: list[Lease] = []
        self.later: list[Lease] = []
        self._queue = queue
        self._log = log

    def adopt(self, leases: list[Lease], work: Work) -> Attempt | None:
        """An attempt, where there is something left to look at."""
        self.later, attempt = [], None
        for lease in leases:
            logger.warning("%s was in state %s when its daemon ended", lease.file.name, lease.file.state)
            try:
                attempt = start.adopt(work, lease) or attempt
            except LostLeaseError as error:
                logger.warning("%s", error)
            except QueueError as error:
                if not error.again:
                    logger.warning("%s is taken up later: %s", lease.file.name, error)
                self.later.append(lease)
            except Exception:
                # Whatever is the matter with this one: the others must not wait for it, start after start.
                logger.exception("%s cannot be taken up", lease.file.name)
                self.broken.append(lease)
        return attempt

    def hold_broken(self) -> None:
        """Held, so that nobody waits for them. Raises what the queue raises; then it is to be called again."""
        while self.broken:
            lease = self.broken[0]
            why = f"the daemon itself failed while it supervised the run; see {self._log}"
            try:
                self._queue.move_to(lease, "held", cause=f"{why}, then run: trainguard queue release {lease.file.id}")
            except LostLeaseError:
                logger.error("%s is another daemon's now", lease.file.name)
            self.broken.pop(0)
