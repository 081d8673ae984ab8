"""Is a file fit to be trained on? Asked before any model is loaded, in other processes (see `inspecting`)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

from trainguard.daemon.aside import Said
from trainguard.daemon.clock import Every
from trainguard.daemon.inspecting import Inspector
from trainguard.daemon.settings import Settings
from trainguard.queue.custody import MACHINE_ERRORS, Custody
from trainguard.queue.records import ENDED, Lease, LostLeaseError, QueuedFile, State
from trainguard.queue.settled import is_shown
from trainguard.queue.sidecars import keep_word, read_sidecar
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

_EXIT_FINDINGS, _EXIT_USAGE = 1, 2
_UNREADABLE = "DATA020"
_ACCEPTED: tuple[State, ...] = ("accepted",)
_AWAY_SECONDS = 30.0  # a share that is mounted anew takes some seconds
_RENEW = 0.25  # of the length of a lease
# One turn goes on with one file after the other for so long; other parts of the loop wait meanwhile.
_TURN_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the check of a file came to.

    `fit` None: the check itself failed, `why` says how; the run checks the same once more, so that the file goes on.
    `findings` are plain values (`Finding.to_dict()`), those of severity error first.
    """

    fit: bool | None
    why: str
    findings: tuple[dict[str, Any], ...] = ()


def read_verdict(said: Said, name: str) -> Verdict:
    """What the check of the file called `name` said."""
    if said.timed_out:
        return Verdict(fit=None, why=f"{name}: its check took too long and was given up; the run itself checks it")
    findings = _findings(said.output)
    if findings is None or said.exit_code not in (0, _EXIT_FINDINGS, _EXIT_USAGE):
        words = said.error.rpartition("\n")[2] or f"it ended with {said.exit_code}"
        return Verdict(fit=None, why=f"{name}: its check failed ({words}); the run itself checks it")
    errors = [each for each in findings if each.get("severity") == "error"]
    others = [each for each in findings if each.get("severity") != "error"]
    if any(_is_of_the_machine(each) for each in errors):
        # Whether it is this file alone is found out when it is read before the run (`Custody.verify`).
        words = f"{name}: its check could not read it ({errors[0].get('message')}); the run itself checks it"
        return Verdict(fit=None, why=words, findings=tuple(others))
    if errors:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        why = f"{errors[0].get('code')} {errors[0].get('message')}{more}"
        return Verdict(fit=False, why=why, findings=(*errors, *others))
    return Verdict(fit=True, why="nothing stands against it", findings=tuple(others))


def _is_of_the_machine(finding: dict[str, Any]) -> bool:
    message = str(finding.get("message"))
    return finding.get("code") == _UNREADABLE and any(os.strerror(number) in message for number in MACHINE_ERRORS)


def _findings(output: bytes) -> list[dict[str, Any]] | None:
    """All findings of a report in JSON; None where it is none."""
    try:
        reports = json.loads(output)["reports"]
        return [finding for report in reports for finding in report["findings"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class Checker:
    """Checks accepted files, one after the other, beside whatever else goes on."""

    def __init__(self, queue: Queue, custody: Custody, *, lease_seconds: float) -> None:
        self._queue = queue
        self._custody = custody
        self._renewing = Every(lease_seconds * _RENEW)
        self._lease: Lease | None = None
        self._inspector = Inspector()
        self._asked = self.hurried = False
        self._said: Said | None = None

    @property
    def busy(self) -> bool:
        return self._lease is not None

    @property
    def number(self) -> int | None:
        """The file that is checked now."""
        return self._lease.file.id if self._lease is not None else None

    @property
    def name(self) -> str | None:
        return self._lease.file.name if self._lease is not None else None

    def tick(self, settings: Settings) -> None:
        """Goes on with the check, or begins the next one; small files one after the other for the time of a turn.

        `hurried` afterwards: the turn was too short for all that is ready.
        """
        until = time.monotonic() + _TURN_SECONDS
        self.hurried = False
        while (left := until - time.monotonic()) > 0.0:
            if not self._asked:
                self._begin(settings)
            if not self._asked or not self._go_on(settings, left):
                break
        else:
            self.hurried = True
        if self._lease is None:
            self._inspector.rest()

    def _go_on(self, settings: Settings, wait_seconds: float) -> bool:
        """Whether the check has ended."""
        lease = self._lease
        assert lease is not None
        try:
            if self._renewing.due():
                self._lease = lease = self._queue.renew(lease)
            # Kept until it is written down, which takes several tries where the queue does not answer.
            self._said = self._said or self._inspector.poll(wait_seconds)
            if self._said is None:
                return False
            self._judge(lease, read_verdict(self._said, lease.file.name), settings)
        except LostLeaseError as error:
            logger.error("the check of %s is another daemon's now: %s", lease.file.name, error)
        self._let_go()
        return True

    def _begin(self, settings: Settings) -> None:
        lease = self._lease
        if lease is None:
            lease = self._queue.take(_ACCEPTED, "checking")
        if lease is None:
            return
        self._lease = lease
        self._renewing.later(self._renewing.seconds)
        found = self._custody.find(lease.file)
        if found is None or self._had_ended(lease.file):
            with contextlib.suppress(OSError):  # of a file that is tried anew: what shows it as failed goes
                self._custody.restore(lease.file)
            found = self._custody.find(lease.file)
        if found is None and (why := self._custody.away()) is not None:
            self._pause_for(lease, why)
            self._lease = None
            return
        path = found or self._custody.path_of(lease.file.sha256, lease.file.name)
        self._inspector.begin(path, lease.file.bytes, settings)
        self._asked = True

    def _had_ended(self, file: QueuedFile) -> bool:
        """Whether anything still tells of an end. For a new file it is three looks, and for the other some syncs."""
        known = read_sidecar(self._custody.home, file)
        return known is None or known.state in ENDED or is_shown(self._custody.home, file)

    def _judge(self, lease: Lease, verdict: Verdict, settings: Settings) -> None:
        if verdict.fit is False and self._custody.find(lease.file) is None:
            why = self._custody.away()
            if why is not None:
                self._pause_for(lease, why)
                return
        for finding in verdict.findings:
            self._queue.event("finding", file_id=lease.file.id, cause=finding.get("message"), finding=finding)
        if verdict.fit is not False:
            file = self._queue.move_to(lease, "waiting", cause=None if verdict.fit else verdict.why)
            if file.state == "held":  # as a person has asked meanwhile
                keep_word(self._custody.home, file)
            return
        file = self._queue.move_to(lease, "failed", cause=verdict.why)
        logger.warning("%s: %s", file.name, verdict.why)
        if file.state == "failed":
            with contextlib.suppress(OSError):  # the row stands; the next start puts the folder right
                events = self._queue.events(file.id)
                self._custody.settle(file, events=events, config=str(settings.config))

    def _pause_for(self, lease: Lease, why: str) -> None:
        """The custody does not answer: no file's fault. The queue waits for it, and the file is checked later."""
        self._queue.pause(f"mount: {lease.file.name} cannot be read in custody now: {why}")
        self._queue.move_to(lease, "accepted", cause=f"custody did not answer: {why}", delay_seconds=_AWAY_SECONDS)

    def give_back(self, why: str) -> None:
        """Breaks the check off; the file is checked later."""
        self._forget_answer()
        if self._lease is not None:
            with contextlib.suppress(LostLeaseError):
                self._queue.move_to(self._lease, "accepted", cause=why)  # asked again where the queue does not answer
        self._lease = None

    def abandon(self) -> Lease | None:
        """Lets the file go whose check cannot be gone on with; its lease, which the caller has to end."""
        return self._let_go()

    def close(self) -> None:
        self._inspector.close()

    def _let_go(self) -> Lease | None:
        lease, self._lease = self._lease, None
        self._forget_answer()
        return lease

    def _forget_answer(self) -> None:
        self._asked, self._said = False, None
        self._inspector.end()
