"""Which file is trained next, and whether any may be."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from trainguard.daemon import start
from trainguard.daemon.acting import PAUSE, history_of
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every, moment_of
from trainguard.daemon.commanding import file_id
from trainguard.daemon.gpu import GpuMemory
from trainguard.daemon.lineage import Tip, tip_of
from trainguard.daemon.probing import answers, host_of
from trainguard.daemon.remains import leftovers_finding
from trainguard.daemon.settings import Settings, read_daemon_settings
from trainguard.daemon.waiting import Waits, waits_for
from trainguard.errors import UsageError
from trainguard.queue.custody import Custody
from trainguard.queue.engine import QueueError
from trainguard.queue.names import shown
from trainguard.queue.records import Lease, QueuedFile, State
from trainguard.queue.store import Queue
from trainguard.recovery.alike import several_alike
from trainguard.recovery.records import Failure

logger = logging.getLogger(__name__)

BROKEN_CONFIG = "config: "
_CONFIG_SECONDS = 15.0
_WAITING: tuple[State, ...] = ("waiting",)
_ACCEPTED: tuple[State, ...] = ("accepted",)
_DONE: tuple[State, ...] = ("done",)
_MOST_NAMED = 5
# Another daemon of the lineage may have ended a file a moment ago, and a share shows what it wrote a minute later
# (nfs(5): acdirmax is 60 s).
_SHARED_SECONDS = 120.0
_TO_GO_ON: tuple[State, ...] = ("accepted", "checking", "waiting")
_PATIENCE_SECONDS = 0.2


class Choosing:
    """Takes the next file when nothing stands against it: leftovers, a broken configuration, a pause.

    `settings` are those of the configuration as it was read last; it is read again before each file.
    """

    def __init__(
        self,
        queue: Queue,
        settings: Settings,
        leftovers: Background[Any],
        custody: Custody,
        gpu: GpuMemory | None = None,
    ) -> None:
        self.settings = settings
        self.leftovers: Background[Any] | None = leftovers
        self._queue = queue
        self._waits = Waits(settings, custody, queue=queue, gpu=gpu)
        self._reaching: tuple[str, int, Background[bool]] | None = None
        self._config_due = Every(_CONFIG_SECONDS)
        self._tip: Background[Tip] | None = None
        # A file that was leased, and the lineage as it was read before: the queue did not answer to the last question.
        self._taken: tuple[Lease, Tip] | None = None
        self._put_aside: list[Failure] = []
        self._older_since: float | None = None
        self._behind: int | None = None

    @property
    def busy(self) -> bool:
        """Whether it is about to take a file."""
        return self._tip is not None or self._taken is not None

    def allowed(self) -> bool:
        """Whether a file may be taken now. Ends pauses that may end."""
        if self.leftovers is not None and not self._gone(self.leftovers):
            return False
        paused = self._queue.paused
        if paused is None:
            return self._reaches()
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
        # Of another pause than this one nothing counts: its deadline was that of another wait.
        told = told if isinstance(told, dict) and told.get("words") == paused else {}
        attempts = history_of(first[0]).attempts if first else ()
        self._waits.failure = attempts[-1].failure if attempts else None
        needed = told.get("needed_bytes")
        self._waits.needed_bytes = needed if isinstance(needed, int) else None
        why = self._waits.ended(paused)
        if why is not None:
            if first and waits_for(paused) == "network":
                self._queue.hasten(first[0].id)
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
        if self._taken is not None:
            return self._begun(*self._taken)
        if self._tip is None:
            if not self._queue.list(states=_WAITING, limit=1):
                return None
            output = self.settings.output_dir
            self._tip = Background(lambda: tip_of(output), "lineage")
            self._tip.wait(_PATIENCE_SECONDS)
        if not self._tip.done:
            return None
        job, self._tip = self._tip, None
        read = job.result()
        tip = self._judged(read)
        if not self.reread():
            return None
        ahead = self._ahead(tip)
        if ahead is None and self._went_back(tip):
            return None
        # Where one is in its middle, another one on top of its half would take away what it has made: it, or nobody.
        # The queue says whether it is due, whoever has moved or held it meanwhile.
        lease = self._queue.take(only=ahead.id if ahead is not None else None)
        return self._begun(lease, read) if lease is not None else None

    def _begun(self, lease: Lease, read: Tip) -> tuple[Lease, Tip] | None:
        """Kept until the queue answers: nobody else would ever take up a file that this daemon has leased."""
        self._taken = lease, read
        try:
            found = self._still(lease, read)
        except QueueError:
            raise
        except BaseException:
            self._taken = None
            raise
        self._taken = None
        return found

    def _still(self, lease: Lease, read: Tip) -> tuple[Lease, Tip] | None:
        """Where the lineage stands now that nobody else can train in it: another daemon may have ended the file of the
        tip since it was read, and what is done is not to be taken for the half of a file that was given up."""
        tip = self._judged(read)
        ahead = self._ahead(tip)
        if ahead is None or ahead.id == lease.file.id:
            return lease, tip
        why = f"{shown(ahead.name)} is in its middle and goes first"
        self._queue.move_to(lease, "waiting", cause=why, attempts=lease.file.attempts - 1)
        return None

    def _went_back(self, tip: Tip) -> bool:
        """Whether the newest checkpoint is older than the end of the file that is done: that one was damaged or taken
        away since. What is trained on top now would leave the rows out without a word, so a person is asked, once."""
        last = self._queue.last_done()
        if last is None or last.step is None or (tip.step or 0) >= last.step:
            self._older_since = None
            return False
        if self._behind != last.id:
            # Another daemon may have ended it since the tip was read: once more, now that it is known to be done.
            self._behind = last.id
            return True
        there = f"the newest checkpoint that verifies is of step {tip.step:,}" if tip.step else "no checkpoint verifies"
        words = f"lineage: file {last.id} ended at step {last.step:,}, and {there}"
        if any((each.cause or "").startswith(words) for each in self._queue.events(kinds=("paused",))):
            return False  # asked before, and resumed
        if self._older_since is None:
            self._older_since = time.monotonic()
        if self.settings.database_url is not None and time.monotonic() - self._older_since < _SHARED_SECONDS:
            return True
        output, step = self.settings.output_dir, tip.step or 0
        lost = [each for each in self._queue.list(states=_DONE, newest_first=True) if (each.step or 0) > step]
        names = ", ".join(shown(each.name) for each in lost[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED:,} more" if len(lost) > _MOST_NAMED else ""
        why = (
            f"{words}: what was trained of {names}{more} beyond it would be missing from all that follows; bring "
            f"checkpoint-{last.step} back to {output} (`trainguard checkpoint list {output}` says what is wrong), or "
            f"`trainguard daemon resume {self.settings.config}` goes on without"
        )
        logger.error("%s", why)
        self._queue.pause(why)
        return True

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
        """After an attempt: are files put aside one after the other for the same fault? Is a host not there?"""
        named = host_of(failure.why) if failure is not None and failure.kind == "network" else None
        if named is not None and file.state == "waiting":
            host, port = named
            self._reaching = host, port, Background(lambda: answers(host, port), "network")
        if file.state == "done":
            self._put_aside.clear()
        elif file.state in ("failed", "quarantined", "held") and failure is not None:
            self._put_aside.append(failure)
            why = several_alike(self._put_aside)
            if why is not None:
                self._put_aside.clear()
                logger.error("%s", why)
                self._queue.pause(f"{why}; when that is mended: trainguard daemon resume")

    def _reaches(self) -> bool:
        """Whether a file may be begun for all that is known of the network: a host that failed is asked before that,
        and the queue waits where it does not answer."""
        if self._reaching is None:
            return True
        host, port, job = self._reaching
        if not job.done:
            return False
        self._reaching = None
        if job.result():
            return True
        self._queue.pause(f"network: waits for {host}:{port}, which the last attempt could not reach, nor a connection")
        return False

    def reread(self) -> bool:
        """Reads the configuration as it is now; a broken one pauses the queue, and is no file's fault."""
        was = self.settings
        try:
            now = read_daemon_settings(was.config, inbox=was.inbox, database_url=was.database_url, name=was.owner)
            now.refuse_no_lineage()
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
