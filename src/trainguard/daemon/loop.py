"""The daemon: accepts files, checks them, trains one after the other, and goes on whatever happens to it or to them.

One thread goes round: each turn looks at everything and waits for nothing. What may take long or hang is done in other
processes and threads. What goes wrong in one part of a turn is written down and tried again later; the others go on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from trainguard.daemon import start
from trainguard.daemon.anew import SPARE_SECONDS, Beginnings, Patience, await_place, let_go, take_signals
from trainguard.daemon.announcing import Announcing, tell_silence
from trainguard.daemon.attempt import Attempt
from trainguard.daemon.background import Background
from trainguard.daemon.checks import Checker
from trainguard.daemon.choosing import Choosing
from trainguard.daemon.clock import Every
from trainguard.daemon.failing import Parts
from trainguard.daemon.gpu import GpuMemory, visible_devices
from trainguard.daemon.keeping import Work
from trainguard.daemon.overseer import SILENT_SECONDS, Beat, Overseer
from trainguard.daemon.pruning import Pruning
from trainguard.daemon.seeing import Seeing
from trainguard.daemon.service import Notifier
from trainguard.daemon.settings import Settings
from trainguard.daemon.taking_up import TakingUp
from trainguard.errors import UsageError
from trainguard.queue.accepting import Accepted, accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.engine import QueueError
from trainguard.queue.inbox import Inbox
from trainguard.queue.records import Lease, State
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

TRAIN = (sys.executable, "-m", "trainguard", "train")
# While something goes on, its end should be seen soon; when nothing does, only wishes of the command line are looked
# for. Files in the inbox wake the loop by themselves.
_BUSY_SECONDS, _IDLE_SECONDS = 0.2, 2.0
_LOOK_SECONDS, _BUSY_LOOK_SECONDS = 10.0, 1.0
# So often the turn of an attempt or a check may fail, for a reason that is not the queue's, before its file is held.
_FAILURES = 5
_WORKING: tuple[State, ...] = ("accepted", "checking", "waiting", "training", "verifying")


class Daemon:
    """Serves one lineage. `run` returns when it is asked to stop, or with `until_empty` when nothing is left to do.

    `command` begins the command line of an attempt (`trainguard train` by default); `hang_seconds` is the longest
    silence in any phase, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        command: Sequence[str] | None = None,
        until_empty: bool = False,
        hang_seconds: float | None = None,
        lease_seconds: float = 30.0,
        on_ready: Callable[[], None] | None = None,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._begun_with = settings
        self.command = tuple(command) if command is not None else TRAIN
        self.until_empty = until_empty
        self.hang_seconds = hang_seconds
        self.lease_seconds = lease_seconds
        self.on_ready = on_ready
        self.attempt: Attempt | None = None
        self._wake = threading.Event()
        self._signals = self._heard_signals = 0
        self._stopping = self._draining = self._left_waiting = False
        self._end_by = float("inf")
        self._notifier, self._gpu = Notifier(), GpuMemory(visible=visible_devices())
        self._accepting: Background[Accepted] | None = None
        self._look_due = Every(_LOOK_SECONDS)
        self._adopting = Every(lease_seconds / 2)
        self._empty = 0
        self._beat = Beat()
        self._overseer = Overseer(
            beat=self._beat,
            places=(settings.output_dir, settings.inbox),
            notifier=self._notifier,
            signals=lambda: self._signals,
            wake=self._wake.set,
            run=lambda: self.attempt,
            deadline_seconds=settings.run.guard.stop_deadline_seconds,
            lease_seconds=lease_seconds if settings.database_url is not None else None,
            tell=(lambda silence: tell_silence(self.queue, silence)) if settings.database_url is not None else None,
            silent_seconds=silent_seconds,
        )

    # The whole life.

    def run(self) -> int:
        """0, or 1 where files wait for a person (`until_empty`).

        Raises AlreadyRunningError, UsageError (no such server, a network file system), QueueError at the opening.
        """
        self._begun_with.refuse_no_lineage()
        take_signals(self.ask_to_stop)
        return self._overseer.watch(self._live)

    def _live(self) -> int:
        settings = self._begun_with
        patience = Patience(signals=lambda: self._signals, pause=self._pause)
        if not await_place(settings, patience, until_empty=self.until_empty):
            return 0
        with start.locked(settings) as lock:
            self._gpu.remember()
            beginnings = Beginnings(settings, patience, lock, lease_seconds=self.lease_seconds)
            begun = beginnings.first()
            while begun is not None:
                self._prepare(settings, begun)
                try:
                    self._begin(begun)
                    while not self._is_over() and self._parts.lost is None:
                        self._turn()
                        self._rest()
                finally:
                    lost = self._parts.lost
                    if lost is not None:
                        logger.error("%s was lost (%s): the run saves, and all begins anew", lost.path, lost.why)
                        deadline = self.settings.run.guard.stop_deadline_seconds
                        let_go(self.attempt, (self._accepting, self._pruning.job), deadline, patience)
                    self._close()
                begun = beginnings.again() if lost is not None and not self._stopping else None
            return 1 if self._left_waiting else 0

    def _prepare(self, settings: Settings, begun: start.Begun) -> None:
        self.queue: Queue = begun.queue
        self.custody: Custody = begun.custody
        self._parts = Parts(start.log_path(settings), self.queue)
        self._choosing = Choosing(self.queue, settings, begun.leftovers, self.custody, self._gpu)
        self._checker = Checker(self.queue, self.custody, lease_seconds=self.lease_seconds)
        self._seeing = Seeing(settings)
        self._pruning = Pruning(self.queue, self.custody)
        self._taking_up = TakingUp(self.queue, start.log_path(settings))
        self._announcing = Announcing(self.queue, self._notifier, begun.custody.place, self._overseer.past)
        self.attempt, self._accepting, self._empty = None, None, 0
        run = settings.run.queue
        self._inbox = Inbox(settings.inbox, run.settle_seconds, run.poll_seconds, own=settings.own_files)

    def _pause(self, seconds: float) -> None:
        self._beat.at("start")
        self._notifier.alive()
        self._wake.wait(seconds)
        self._wake.clear()

    @property
    def settings(self) -> Settings:
        """Those of the configuration as it was read last."""
        return self._choosing.settings

    def _begin(self, begun: start.Begun) -> None:
        try:
            self._seeing.start()
        except UsageError as error:
            logger.error("%s", error)
        self._adopt(begun.adopted)
        self._parts.run("begin", lambda: self.queue.event("daemon-start", cause=begun.words, pid=os.getpid()))
        self._notifier.ready("serving")
        logger.info("serving %s for %s (process %d)", self.settings.inbox, self.settings.output_dir, os.getpid())
        if self.on_ready is not None:
            self.on_ready()

    def _turn(self) -> None:
        for name, part in (
            ("hear", self._hear),
            ("accept", self._accept),
            ("check", self._check),
            ("work", self._work),
            ("prune", lambda: self._pruning.tick(self.settings)),
            ("announce", lambda: self._announcing.tick(self._doing())),
        ):
            self._heed(name)
            self._parts.run(name, part)
        self._heed("tell")
        self._seeing.tick(self.queue)

    def _rest(self) -> None:
        """Waits until there may be something to do. A signal ends it."""
        more = self._checker.hurried and not (self._stopping or self._draining)
        if self._signals > self._heard_signals or self._is_over() or more:
            return
        busy = self.attempt is not None or self._checker.busy or self._choosing.busy or self._accepting is not None
        if busy or self.until_empty or self._stopping or self._draining:
            # Events of the inbox come once a second at best (watchfiles 1.3, `rust_timeout`): looked at, instead.
            self._look_due.sooner(_BUSY_LOOK_SECONDS)
            self._wake.wait(_BUSY_SECONDS)
        elif self._inbox.wait(self._wake, _IDLE_SECONDS):
            self._look_due.at_once()
        self._wake.clear()

    def _is_over(self) -> bool:
        if time.monotonic() > self._end_by:
            return True  # whether the queue answers or not: the next start takes up what is left
        if self.attempt is not None or self._checker.busy or self._taking_up.broken:
            return False
        return self._stopping or self._draining or (self.until_empty and self._empty >= 2)

    def _close(self) -> None:
        """Each part for itself: what cannot be ended properly is ended by the next start."""
        self._beat.at("end")
        cause = "asked to stop" if self._stopping else "drained" if self._draining else None
        ends: list[Callable[[], Any]] = [self.attempt.close] if self.attempt is not None else []
        ends += [self._checker.close, lambda: self._last_words(cause)]
        for what in (*ends, self._inbox.close, self.queue.close):
            try:
                what()
            except Exception as error:
                logger.warning("at the end: %s", error)
        logger.info("ended")

    def _last_words(self, cause: str | None) -> None:
        answers = False
        try:
            if self._parts.lost is None:
                self.queue.event("daemon-stop", cause=cause, pid=os.getpid())
                self.queue.announce("stopped")
                answers = True
        finally:
            self._seeing.close(self.queue if answers else None, 5.0)

    # Signals and wishes.

    def ask_to_stop(self) -> None:
        """The first call lets the run save and ends the daemon, the second ends the run at once. The overseer wakes the
        loop: a signal may come in the middle of another's handler, and the lock of an Event is not reentrant."""
        self._signals += 1

    def _heed(self, part: str) -> None:
        """What must not wait for a part that waits for the queue: the watchdog, and signals. Asks no database."""
        self._beat.at(part)
        self._notifier.alive()
        signals = self._signals
        if signals > self._heard_signals:
            self._stop(now=signals > 1)
            self._heard_signals = signals

    def _hear(self) -> None:
        for wish in self.queue.wishes():
            self._grant(str(wish.data.get("wish")), wish.data)

    def _stop(self, *, now: bool) -> None:
        if not self._stopping:
            logger.info("asked to stop: the run in training saves, and its file goes on when the daemon does")
            self._notifier.stopping("the run in training saves")
        deadline = self.settings.run.guard.stop_deadline_seconds
        self._end_by = min(self._end_by, time.monotonic() + (0.0 if now else deadline) + SPARE_SECONDS)
        self._stopping = True
        if self.attempt is not None:
            if now:
                self.attempt.end_now()
            else:
                self.attempt.stop("drain", deadline)

    def _grant(self, wish: str, data: dict[str, Any]) -> None:
        if wish == "stop":
            self._stop(now=bool(data.get("now")))
        elif wish == "drain":
            logger.info("asked to drain: no other file is begun; the daemon ends after the one in training")
            self._draining = True
        elif wish == "stop-attempt":
            wanted = data.get("file_id")
            if self.attempt is not None and wanted in (None, self.attempt.file.id):
                deadline = self.settings.run.guard.stop_deadline_seconds
                self.attempt.stop("pause" if wanted is None else "cancel", deadline)
            if wanted is not None and wanted == self._checker.number:
                self._checker.give_back("asked for by a person")

    # From the inbox into custody, and to the check.

    def _accept(self) -> None:
        job = self._accepting
        if job is not None:
            if not job.done:
                return
            self._accepting = None
            accepted = job.result()
            for file in accepted.files:
                logger.info("accepted %s as number %d", file.name, file.id)
                self._empty = 0
            for finding in accepted.findings:
                logger.warning("%s %s", finding.code, finding.message)
        if self._stopping or self._draining or self._announcing.away is not None or not self._look_due.due():
            return
        self._accepting = Background(lambda: accept_ready(self._inbox, self.custody, self.queue), "accept")
        self._accepting.wait(_BUSY_SECONDS)  # most looks find nothing, and are over in a millisecond

    def _check(self) -> None:
        if self._stopping or self._draining:
            if self._checker.busy:
                self._checker.give_back("the daemon was asked to stop" if self._stopping else "the daemon drains")
            return
        if self._announcing.away is not None and not self._checker.busy:
            return
        try:
            self._checker.tick(self.settings)
        except (QueueError, OSError):
            raise
        except Exception:
            if self._parts.times("check") >= _FAILURES and (lease := self._checker.abandon()) is not None:
                logger.exception("the check of %s cannot be gone on with", lease.file.name)
                self._taking_up.broken.append(lease)
            raise

    # Training.

    def _work(self) -> None:
        self._taking_up.hold_broken()
        self._adopt(self._taking_up.later)
        if self.attempt is not None:
            self._tick(self.attempt)
        if self.attempt is not None or self._stopping or self._draining or self._announcing.away is not None:
            return
        if self.settings.database_url is not None and self._adopting.due():
            self._adopt(self.queue.adopt())
        if self.attempt is None and self._choosing.allowed():
            chosen = self._choosing.next()
            if chosen is not None:
                self._empty = 0
                self.attempt = Attempt(self._work_of(), *chosen)
                return
        self._count_empty()

    def _tick(self, attempt: Attempt) -> None:
        try:
            attempt.tick()
        except (QueueError, OSError):
            raise  # the queue's disk or server: it is written once that is back
        except Exception as error:
            if self._parts.times("work") < _FAILURES:
                raise
            logger.exception("the attempt at %s cannot be gone on with", attempt.file.name)
            self._parts.failed("work", error)
            attempt.close()
            self.attempt = None
            if not attempt.lost:
                self._taking_up.broken.append(attempt.lease)
            return
        if attempt.over:
            self.attempt = None
            self._look_back(attempt)

    def _look_back(self, attempt: Attempt) -> None:
        """After an attempt."""
        file, failure = attempt.file, attempt.failure
        logger.info("%s is %s now", file.name, file.state if not attempt.lost else "given up, or another daemon's")
        if attempt.lost:
            self.queue.let_go(attempt.lease)  # where nobody else takes it up, this daemon does
        self._choosing.look_back(file, failure)

    def _work_of(self) -> Work:
        return Work(
            queue=self.queue,
            custody=self.custody,
            settings=self.settings,
            command=self.command,
            lease_seconds=self.lease_seconds,
            hang_seconds=self.hang_seconds,
            gpu=self._gpu,
        )

    def _adopt(self, leases: list[Lease]) -> None:
        if leases:
            self.attempt = self._taking_up.adopt(leases, self._work_of()) or self.attempt

    def _count_empty(self) -> None:
        """For `until_empty`: twice in a row there was nothing, in the queue or on its way."""
        if not self.until_empty:
            return
        if self._choosing.waits_for_a_person:
            logger.warning("the queue is paused: %s", self.queue.paused)
            self._left_waiting = True
            self._stopping = True
            return
        counts = self.queue.counts()
        if any(counts.get(state, 0) for state in _WORKING) or self._accepting is not None:
            self._empty = 0
            return
        look = self._inbox.look()
        self._empty = 0 if look.ready or look.growing else self._empty + 1

    # Housekeeping.

    def _doing(self) -> str:
        words = [self.attempt.doing] if self.attempt is not None else []
        words += [f"checking {self._checker.name}"] if self._checker.name is not None else []
        words += ["ending processes of an earlier daemon"] if self._choosing.leftovers is not None else []
        return ", ".join(words) or ("stopping" if self._stopping else "draining" if self._draining else "idle")
