"""Trained files beyond what is to be kept are removed from custody, beside the loop."""

from __future__ import annotations

from typing import Any

from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.settings import Settings
from trainguard.queue.custody import Custody
from trainguard.queue.store import Queue

_PRUNE_SECONDS = 3600.0


class Pruning:
    """Once an hour, where the configuration sets a limit at all."""

    def __init__(self, queue: Queue, custody: Custody) -> None:
        self._queue = queue
        self._custody = custody
        self._due = Every(_PRUNE_SECONDS)
        self.job: Background[Any] | None = None

    def tick(self, settings: Settings) -> None:
        """Begins it when it is due. Raises what it raised."""
        if self.job is not None:
            if self.job.done:
                job, self.job = self.job, None
                job.result()
            return
        run = settings.run.queue
        keep, days, gigabytes = run.keep_done, run.keep_done_days, run.keep_done_gb
        if (days is not None or gigabytes is not None) and self._due.due():
            queue, custody = self._queue, self._custody
            self.job = Background(lambda: custody.prune(queue, keep=keep, days=days, gigabytes=gigabytes), "prune")
