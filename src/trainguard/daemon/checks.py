"""Is a file fit to be trained on? Asked before any model is loaded, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.daemon.aside import Aside, Said
from trainguard.daemon.clock import Every
from trainguard.daemon.settings import Settings
from trainguard.facts.config.records import Reference
from trainguard.queue.custody import MACHINE_ERRORS, Custody
from trainguard.queue.records import Lease, LostLeaseError, State
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

# The slowest reading that is still work and not a hang: gzip on one core with all rows tokenized, 1 MB/s.
_SLOWEST_BYTES = 1_000_000
_LEAST_SECONDS = 900.0
_EXIT_FINDINGS, _EXIT_USAGE = 1, 2
_UNREADABLE = "DATA020"
_ACCEPTED: tuple[State, ...] = ("accepted",)
_AWAY_SECONDS = 30.0  # a share that is mounted anew takes some seconds
_RENEW = 0.25  # of the length of a lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the check of a file came to.

    `fit` None: the check itself failed, `why` says how; the run checks the same once more, so that the file goes on.
    `findings` are plain values (`Finding.to_dict()`), those of severity error first.
    """

    fit: bool | None
    why: str
    findings: tuple[dict[str, Any], ...] = ()


def begin_check(path: Path, size: int, settings: Settings) -> Aside:
    """Starts the check of one file: the same rules and values as the run itself would have."""
    return Aside(check_command(path, settings), deadline_seconds=max(_LEAST_SECONDS, size / _SLOWEST_BYTES))


def check_command(path: Path, settings: Settings) -> list[str]:
    run, named = settings.run, settings.facts.named
    command = [sys.executable, "-m", "trainguard", "data", str(path), "--report", "json", "--isolated"]
    command += ["--max-length", str(run.max_length)] if run.max_length else []
    command += ["--batch-size", str(run.batch_size * run.gradient_accumulation)]
    tokenizer = _folder(named.tokenizer) or _folder(named.base_model)
    if tokenizer is not None and (tokenizer / "tokenizer.json").is_file():
        command += ["--tokenizer", str(tokenizer)]
    if (evaluation := _folder(named.eval_data)) is not None and evaluation.exists():
        command += ["--eval", str(evaluation)]
    return command


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


def _folder(reference: Reference | None) -> Path | None:
    return reference.path if reference is not None and reference.kind == "local" else None


class Checker:
    """Checks accepted files, one after the other, beside whatever else goes on."""

    def __init__(self, queue: Queue, custody: Custody, *, lease_seconds: float) -> None:
        self._queue = queue
        self._custody = custody
        self._renewing = Every(lease_seconds * _RENEW)
        self._lease: Lease | None = None
        self._aside: Aside | None = None

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
        """Goes on with the check, or begins the next one."""
        lease, aside = self._lease, self._aside
        if lease is None or aside is None:
            self._begin(settings)
            return
        try:
            if self._renewing.due():
                self._lease = lease = self._queue.renew(lease)
            said = aside.poll()
            if said is None:
                return
            self._judge(lease, read_verdict(said, lease.file.name), settings)
        except LostLeaseError as error:
            logger.error("the check of %s is another daemon's now: %s", lease.file.name, error)
            aside.end()
        self._lease = self._aside = None

    def _begin(self, settings: Settings) -> None:
        lease = self._lease
        # Taking is a transaction that is synced, looking is none.
        if lease is None and self._queue.list(states=_ACCEPTED, limit=1):
            lease = self._queue.take(_ACCEPTED, "checking")
        if lease is None:
            return
        self._lease = lease
        self._renewing.later(self._renewing.seconds)
        with contextlib.suppress(OSError):  # of a file that is tried anew: what shows it as failed goes
            self._custody.restore(lease.file)
        found = self._custody.find(lease.file)
        if found is None and (why := self._custody.away()) is not None:
            self._pause_for(lease, why)
            self._lease = None
            return
        path = found or self._custody.path_of(lease.file.sha256, lease.file.name)
        self._aside = begin_check(path, lease.file.bytes, settings)

    def _judge(self, lease: Lease, verdict: Verdict, settings: Settings) -> None:
        if verdict.fit is False and self._custody.find(lease.file) is None:
            why = self._custody.away()
            if why is not None:
                self._pause_for(lease, why)
                return
        for finding in verdict.findings:
            self._queue.event("finding", file_id=lease.file.id, cause=finding.get("message"), finding=finding)
        if verdict.fit is not False:
            self._queue.move_to(lease, "waiting", cause=None if verdict.fit else verdict.why)
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
        lease, aside = self._lease, self._aside
        self._aside = None
        if aside is not None:
            aside.end()
        if lease is not None:
            with contextlib.suppress(LostLeaseError):
                self._queue.move_to(lease, "accepted", cause=why)  # asked again where the queue does not answer
        self._lease = None

    def abandon(self) -> Lease | None:
        """Lets the file go whose check cannot be gone on with; its lease, which the caller has to end."""
        lease, aside = self._lease, self._aside
        self._lease = self._aside = None
        if aside is not None:
            aside.end()
        return lease

    def close(self) -> None:
        if self._aside is not None:
            self._aside.end()
