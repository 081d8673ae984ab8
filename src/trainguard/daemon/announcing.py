"""What the daemon does now, for the service manager and for who asks the queue; and what happened to its disks."""

from __future__ import annotations

import logging
import time

from trainguard.daemon.clock import Every
from trainguard.daemon.overseer import Silence
from trainguard.daemon.placing import Presence
from trainguard.daemon.service import Notifier
from trainguard.findings import Finding, Fix
from trainguard.queue.place import Place
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

_ANNOUNCE_SECONDS = 20.0


class Announcing:
    """The announcements of one opened queue. `away` is why its folder is not there, `past` what the overseer saw."""

    def __init__(self, queue: Queue, notifier: Notifier, place: Place, past: list[Silence]) -> None:
        self._queue = queue
        self._notifier = notifier
        self._presence = Presence(place)
        self._past = past
        self._due = Every(_ANNOUNCE_SECONDS)
        self._said = ""

    @property
    def away(self) -> str | None:
        return self._presence.why

    def tick(self, doing: str) -> None:
        """Told when it is another thing, and every twenty seconds: the row of a daemon that is silent looks dead."""
        if self._presence.look():
            self._tell_away(self._presence.why)
        while self._past:
            tell_silence(self._queue, self._past[0])
            self._past.pop(0)
        doing = doing if self.away is None else f"waiting: {self.away}"
        self._notifier.status(doing)
        what = doing.partition(" at step")[0]
        if what != self._said or self._due.due():
            self._said = what
            self._due.later(_ANNOUNCE_SECONDS)
            self._queue.announce(doing)

    def _tell_away(self, why: str | None) -> None:
        words = f"SYS012 {why}" if why is not None else "SYS012 the output folder is there again"
        logger.log(logging.WARNING if why is None else logging.ERROR, "%s", words)
        _tell(self._queue, words, key=f"away:{int(time.time())}" if why is not None else None)


def tell_silence(queue: Queue, silence: Silence) -> None:
    """An event, and one alert for each silence, however often it is told. Raises QueueError."""
    _tell(queue, silence.words, key=f"silent:{int(silence.time)}")


def _tell(queue: Queue, words: str, *, key: str | None) -> None:
    finding = Finding(
        severity="error" if key is not None else "info",
        message=words.removeprefix("SYS012 "),
        code="SYS012",
        name="network-mount",
        fix=Fix("look at the mount and its server: `findmnt`, `mount | grep` and the kernel's log"),
        docs="docs/rules/SYS012.md",
    )
    queue.event("finding", cause=words, finding=finding.to_dict())
    if key is not None:
        queue.alert(key, "error", "the daemon's disk does not answer", words)
