"""What a daemon tells the world, a little at each turn of its loop: metrics, alerts, the summary of the day.

Nothing here may end a daemon or keep it from training: what fails is logged once and tried again later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainguard.daemon.prometheus import FILE, Figures, serve, write_metrics
from trainguard.daemon.sending import Courier
from trainguard.daemon.settings import Settings
from trainguard.daemon.summary import Summary
from trainguard.errors import TrainguardError

if TYPE_CHECKING:
    from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

# Prometheus scrapes every 15 s to a minute as a rule (its default is one minute: prometheus.io, configuration,
# scrape_interval), and reading the queue costs some milliseconds.
_METRICS_SECONDS = 15.0
_ALERTS_SECONDS = 2.0
_SUMMARY_SECONDS = 60.0
# What counting may take of one turn of the loop.
_TURN_SECONDS = 0.2


class Seeing:
    """The telling side of one daemon. `tick` never raises and never waits for a service."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        queue = settings.run.queue
        self._home = settings.home
        self._clock = clock
        self._courier = Courier(
            settings.home, settings.lineage, settings.run.alerts, database_url=settings.database_url
        )
        self._figures = Figures(settings.lineage, settings.output_dir)
        self._summary = Summary(queue.summary_hour) if queue.summary_hour is not None else None
        self._port = queue.metrics_port
        self._end: Callable[[], None] | None = None
        self._due = {"metrics": -float("inf"), "alerts": -float("inf"), "summary": -float("inf")}
        self._said: set[str] = set()

    def start(self) -> None:
        """Opens the port, where one is set. Raises UsageError where it is taken."""
        if self._port is not None:
            self._end = serve(self._figures, self._port)

    def tick(self, queue: Queue) -> None:
        """Does what is due."""
        self._do("alerts", _ALERTS_SECONDS, lambda: self._courier.tick(queue))
        if self._summary is not None:
            summary = self._summary
            self._do("summary", _SUMMARY_SECONDS, lambda: summary.tick(queue, time.time()))
        self._do("metrics", _METRICS_SECONDS, lambda: self._write(queue))

    def close(self, queue: Queue | None, seconds: float = 10.0) -> None:
        """Tells what is left: the last figures, and the alerts that are on their way for so long.

        `queue` None: it does not answer, and the next start tells them.
        """
        if queue is not None:
            self._due = dict.fromkeys(self._due, -float("inf"))
            self._do("alerts", _ALERTS_SECONDS, lambda: self._courier.tick(queue, last=not queue.others()))
            self.tick(queue)
        self._courier.close(seconds)
        if self._end is not None:
            self._end()

    def _write(self, queue: Queue) -> None:
        try:
            enough = self._clock() + _TURN_SECONDS
            while not self._figures.refresh(queue):
                if self._clock() > enough:
                    self._due["metrics"] = -float("inf")  # a long history is counted a little at each turn
                    return
        except ImportError:
            self._once("metrics are not written: pip install 'trainguard[daemon]' brings prometheus-client")
            return
        write_metrics(self._figures, self._home / FILE)

    def _do(self, what: str, every_seconds: float, work: Callable[[], object]) -> None:
        now = self._clock()
        if now < self._due[what]:
            return
        self._due[what] = now + every_seconds
        try:
            work()
        except (TrainguardError, OSError) as error:
            if not getattr(error, "again", False):
                self._once(f"{what}: {error}; tried again later")
        except Exception as error:
            self._once(f"{what} failed inside trainguard: {type(error).__name__}: {error}")
            self._due[what] = now + 60.0

    def _once(self, words: str) -> None:
        if words not in self._said and len(self._said) < 100:
            self._said.add(words)
            logger.warning("%s", words)
