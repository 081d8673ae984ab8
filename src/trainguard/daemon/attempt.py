"""One attempt at a file, from its custody to the transaction that says how it ended. Never waits."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from trainguard.daemon import acting
from trainguard.daemon.aside import Aside
from trainguard.daemon.background import Background
from trainguard.daemon.child import Child, Ended
from trainguard.daemon.clock import Every, moment_of
from trainguard.daemon.fits import fit_finding, fitted
from trainguard.daemon.fitting import fit_key_of, gpu_name
from trainguard.daemon.gpu import GpuMemory
from trainguard.daemon.hang import Hang, HangWatch, ask_for_stacks
from trainguard.daemon.lineage import Tip, set_aside_from
from trainguard.daemon.progress import Progress
from trainguard.daemon.remains import remains_finding
from trainguard.daemon.service import without_notify
from trainguard.daemon.settings import Settings
from trainguard.daemon.verifying import Trained, begin_verifying, read_trained
from trainguard.daemon.witness import Witness
from trainguard.fencing import VARIABLE, FencedError, write_fence
from trainguard.queue.codes import queue_finding
from trainguard.queue.custody import Custody
from trainguard.queue.records import Lease, LostLeaseError, QueuedFile, State
from trainguard.queue.store import Queue
from trainguard.recovery.classify import classify
from trainguard.recovery.decide import decide
from trainguard.recovery.records import Evidence, Failure
from trainguard.signals.codes import run_finding
from trainguard.train.events import FOLDER, STACKS

logger = logging.getLogger(__name__)

# How often a lease is renewed, as a share of its length, and at which share the child is ended where it could not be:
# before the server's clock gives the file to another daemon.
_RENEW, _GIVE_UP = 0.25, 0.7
_ROW_SECONDS = 5.0
_HANG_LOOK_SECONDS = 1.0
# A driver gives the memory of a dead process back within seconds; after this the holder is somebody else.
_GPU_SECONDS = 60.0
Stage = Literal["custody", "training", "verifying", "over"]
Asked = Literal["drain", "pause", "cancel", "hang", "lease"]


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


class Attempt:
    """The attempt that goes on. `over` once the queue has been told how it ended, or the file is another daemon's."""

    def __init__(self, work: Work, lease: Lease, tip: Tip) -> None:
        self.work = work
        self.lease = lease
        self.tip = tip
        self.stage: Stage = "custody"
        self.number = lease.file.attempts
        self.asked_by: Asked | None = None
        self.lost = False
        self.failure: Failure | None = None
        self.file = lease.file
        self._renewed = time.monotonic()
        self._renewing = Every(work.lease_seconds * _RENEW)
        self._rows = Every(_ROW_SECONDS)
        self._started = time.time()
        self._child: Child | None = None
        self._ended: Ended | None = None
        self._aside: Aside | None = None
        self._stacks: Background[bool] | None = None
        self._looking = Every(_HANG_LOOK_SECONDS)
        self._continued = False
        self._hung: Hang | None = None
        self._judging: Background[Evidence] | None = None
        self._hang = self._new_watch()
        self._history = acting.history_of(lease.file)
        self._changes: dict[str, Any] = {}
        self._progress = Progress(work.settings.output_dir)
        self._witness = Witness(work.settings.output_dir)
        self._renewing.later(work.lease_seconds * _RENEW)
        self._custody: Background[str | None] = Background(self._make_ready, "custody")

    @classmethod
    def verify(cls, work: Work, lease: Lease, tip: Tip) -> Attempt:
        """Takes up a file whose training was over when its daemon died: what is left is to read it back."""
        attempt = cls(work, lease, tip)
        attempt._begin_verifying()
        return attempt

    @property
    def folder(self) -> Path:
        return attempt_folder(self.work.settings, self.file, self.number)

    @property
    def over(self) -> bool:
        return self.stage == "over"

    @property
    def doing(self) -> str:
        """What it does now, for people."""
        name, at = self.file.name, self._progress.step
        match self.stage:
            case "custody":
                return f"reading {name}"
            case "training":
                step = f" at step {at:,}" if at is not None else ""
                return f"training {name} ({self._progress.phase}{step})"
            case _:
                return f"verifying {name}"

    def tick(self) -> None:
        """Looks at what has happened and does what follows. Raises nothing that is the attempt's own affair."""
        try:
            self._keep_lease()
            match self.stage:
                case "custody":
                    self._when_read()
                case "training":
                    self._when_ended()
                case "verifying":
                    self._when_verified()
                case "over":
                    pass
        except LostLeaseError as error:
            self._lose(str(error))

    # What the daemon may ask for.

    def stop(self, asked_by: Asked, deadline_seconds: float) -> None:
        """Ends it so that it can go on later: the run gets SIGTERM and until the deadline to save."""
        if self.asked_by is None:
            self.asked_by = asked_by
            if self._child is not None:
                self._child.stop(deadline_seconds)

    def end_now(self, asked_by: Asked = "drain") -> None:
        """Ends it at once; the last verified checkpoint stands."""
        self.asked_by = self.asked_by or asked_by
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Ends what it has begun, without a word to the queue: for a daemon that ends."""
        if self._child is not None and self._ended is None:
            self._child.kill()
            self._child.wait(30.0)
        if self._aside is not None:
            self._aside.end()

    # The lease.

    def _keep_lease(self) -> None:
        if self.lost or self.stage == "over":
            return
        if self._renewing.due():
            try:
                self.lease = self.work.queue.renew(self.lease)
                self._renewed = time.monotonic()
            except LostLeaseError:
                raise
            except Exception as error:
                logger.warning("the lease of %s could not be renewed: %s", self.file.name, error)
        shared = self.work.settings.database_url is not None
        silent = time.monotonic() - self._renewed
        if shared and silent > self.work.lease_seconds * _GIVE_UP:
            self._lose(f"the queue has not answered for {silent:.0f} s, and another daemon may take the file up")

    def _lose(self, why: str) -> None:
        """The file is another's, or may be soon: nothing more is written, in the folder or in the queue."""
        logger.error("%s: %s; its run is ended here", self.file.name, why)
        self.lost = True
        self.asked_by = "lease"
        if self._aside is not None:
            self._aside.end()
        if self._child is not None and self._ended is None:
            self._child.kill()
            self.stage = "training"
        else:
            self.stage = "over"

    # First: is the file still what was accepted, and is the GPU free?

    def _make_ready(self) -> str | None:
        """Beside the loop. What is wrong with the file, None for nothing; a GPU that is still in use is told only, as
        the run itself finds out whether there is room."""
        problem = self.work.custody.verify(self.file)
        gpu_name()  # asked here, where it may take its time
        if problem is None and self.work.gpu is not None:
            finding = self.work.gpu.wait(_GPU_SECONDS, stop=lambda: self.asked_by is not None)
            if finding is not None:
                self._tell("finding", cause=finding.message, finding=finding.to_dict())
        return problem

    def _when_read(self) -> None:
        if not self._custody.done:
            return
        if self.asked_by is not None:
            self._back(f"stopped before it began ({self.asked_by})")
            return
        problem = self._custody.result()
        if problem is not None:
            self._put_aside("failed", problem)
            return
        self._begin()

    def _begin(self) -> None:
        work, lease = self.work, self.lease
        before = self._before_step()
        self._changes = {**self._fitted(), **self._history.changes}
        memory = {key: value for key, value in lease.file.memory.items() if key != acting.BEFORE}
        try:
            write_fence(work.settings.output_dir, lease.fence)
            if before is not None and acting.BEFORE in lease.file.memory:
                set_aside_from(
                    work.settings.output_dir, before, f"steps from {before:,} on are left behind after a fault"
                )
        except FencedError as error:
            self._lose(str(error))
            return
        except OSError as error:
            self._back(f"{error.filename or work.settings.output_dir}: {error.strerror or error}", delay_seconds=30.0)
            return
        # Written before the child starts: a rollback is asked for once, since it would take back what it led to.
        self.file = work.queue.update(lease, memory=memory)
        self.lease = msgspec.structs.replace(lease, file=self.file)
        command = self._command(before)
        environment = {**without_notify(os.environ), VARIABLE: str(lease.fence), "PYTHONUNBUFFERED": "1"}
        self._progress = Progress(work.settings.output_dir)
        self._witness.start()
        self._started = time.time()
        self._hang = self._new_watch()
        self._child = Child.start(
            command, folder=self.folder, environment=environment, working_directory=work.settings.config.parent
        )
        self.stage = "training"
        work.queue.event(
            "attempt-start",
            file_id=self.file.id,
            attempt=self.number,
            pid=self._child.pid,
            changes=self._changes,
            skipped=[list(each) for each in self._history.skipped],
            before_step=before,
        )
        logger.info("attempt %d at %s: %s", self.number, self.file.name, " ".join(command))

    def _fitted(self) -> dict[str, Any]:
        """A micro-batch that is known to fit, where the configuration's is known not to (JOB017)."""
        key = fit_key_of(self.work.settings)
        known = self.work.queue.fit(key) if key is not None else None
        if known is None:
            return {}
        run = self.work.settings.run
        changes = fitted(run.batch_size, run.gradient_accumulation, known[0])
        finding = fit_finding(
            run.batch_size,
            run.gradient_accumulation,
            known[0],
            max_length=run.max_length,
            method=run.method,
            gpu=gpu_name() or "this machine",
        )
        if finding is not None:
            self._tell("finding", cause=finding.message, finding=finding.to_dict())
        return dict(changes)

    def _remember_fit(self) -> None:
        """After a file that was trained with a smaller micro-batch than the configuration's."""
        size, accumulation = self._changes.get("batch_size"), self._changes.get("gradient_accumulation")
        key = fit_key_of(self.work.settings)
        if key is not None and isinstance(size, int) and isinstance(accumulation, int):
            self.work.queue.remember_fit(key, size, accumulation)

    def _new_watch(self) -> HangWatch:
        given = self.work.hang_seconds
        return HangWatch(
            self.work.settings.output_dir,
            hang_seconds=given if given is not None else self.work.settings.run.guard.hang_seconds,
            every_phase=given is not None,
            tree=lambda: self._child.tree() if self._child is not None else [],
        )

    def _before_step(self) -> int | None:
        """From where the run must not go on: a fault's onset, or the half of another file that was given up."""
        wanted = self.lease.file.memory.get(acting.BEFORE)
        steps = [wanted] if isinstance(wanted, int) and wanted > 0 else []
        if self.tip.unfinished and self.tip.file_id != file_id(self.file) and self.tip.step_before is not None:
            steps.append(self.tip.step_before + 1)
        return min(steps, default=None)

    def _command(self, before: int | None) -> list[str]:
        settings, history = self.work.settings, self._history
        data = self.work.custody.find(self.file) or self.work.custody.path_of(self.file.sha256, self.file.name)
        command = [*self.work.command, str(settings.config), "--format", "json", "--set", f"data={data}"]
        for name, value in self._changes.items():
            command += ["--set", f"{name}={value}"]
        command += ["--file-id", file_id(self.file)]
        for first, last in history.skipped:
            command += ["--skip-steps", f"{first}-{last}"]
        return command + (["--before-step", str(before)] if before is not None else [])

    # Then: it trains.

    def _when_ended(self) -> None:
        child = self._child
        assert child is not None
        self._look()
        ended = child.poll()
        if ended is None:
            self._watch(child)
            return
        if self._ended is None:
            self._ended = ended
            self._look()
            if (remains := remains_finding(ended)) is not None:
                self._tell("finding", cause=remains.message, finding=remains.to_dict())
        if self.lost:
            self.stage = "over"
            return
        if self._judging is None:
            # Disk and GPU are asked, which takes seconds where they do not answer.
            self._judging = Background(lambda: self._evidence(ended), "evidence")
            self._judging.wait(0.2)
        if not self._judging.done:
            return
        failure = classify(self._judging.result())
        if failure is None:
            self.file = self.work.queue.move_to(self.lease, "verifying", cause=None, **self._row())
            self.lease = msgspec.structs.replace(self.lease, file=self.file)
            self._begin_verifying()
        else:
            self._failed(failure)

    def _evidence(self, ended: Ended) -> Evidence:
        progress = self._progress
        own = None
        if progress.step is not None and progress.step_before is not None:
            own = progress.step - progress.step_before
        return self._witness.evidence(
            ended,
            folder=self.folder,
            asked_by=self.asked_by,
            hang=self._hung,
            planned_steps=progress.planned,
            own_steps=own,
        )

    def _watch(self, child: Child) -> None:
        if self.asked_by is not None:
            return
        if not self._looking.due() and self._stacks is None:
            return
        hang = self._hang.look()
        if hang is None:
            self._stacks = None
            return
        if hang.stopped and not self._continued:
            # Somebody has stopped it, and perhaps forgotten it: once it is let go on, with a budget of its own.
            self._continued = True
            self._tell("continued", cause=hang.why, pid=hang.pid)
            child.signal(signal.SIGCONT)
            self._hang = self._new_watch()
            return
        if self._stacks is None and hang.pid is not None:
            stacks = self.work.settings.output_dir / FOLDER / STACKS
            pid = hang.pid
            self._stacks = Background(lambda: ask_for_stacks(pid, stacks=stacks), "stacks")
        if self._stacks is not None and not self._stacks.done and self._stacks.seconds < 10.0:
            return
        self.asked_by, self._hung = "hang", hang
        finding = run_finding("RUN008", hang.why, step=hang.step)
        self._tell("finding", cause=hang.why, finding=finding.to_dict())
        # One that does not step does not save either: it would hold the GPU until the deadline for nothing.
        child.kill()

    def _look(self) -> None:
        progress = self._progress
        first = progress.look()
        for finding in progress.take_findings():
            self._tell("finding", finding=finding)
        if first:
            self._first_step()
        if self._rows.due() and not self.lost:
            with contextlib.suppress(Exception):
                row = self._row()
                if row:
                    self.file = self.work.queue.update(self.lease, **row)

    def _row(self) -> dict[str, Any]:
        progress = self._progress
        known = {"step": progress.step, "step_before": progress.step_before, "planned_steps": progress.planned}
        return {name: value for name, value in known.items() if value is not None}

    def _first_step(self) -> None:
        """The first new step: where something had failed before, the file has recovered (RUN023)."""
        fault = self.lease.file.memory.get(acting.FAULT)
        at = moment_of({key: value for key, value in fault.items() if key in ("time", "t", "boot")}) if fault else None
        seconds = round(at.seconds, 3) if at is not None else None
        self._tell("first-step", seconds_since_fault=seconds, step=self._progress.step)
        if not fault or seconds is None:
            return
        first, last = self._progress.first, fault.get("step")
        lost = max(0, last - first) if isinstance(last, int) and first is not None else None
        steps = f", {lost:,} steps were made again" if lost else ""
        words = f"{self.file.name} trains again {seconds:.1f} s after {fault.get('code') or fault.get('kind')}{steps}"
        evidence = {"lost_steps": lost, "seconds": seconds, "fault": fault.get("kind")}
        finding = run_finding("RUN023", words, step=self._progress.step, evidence=evidence)
        self._tell("recovered", cause=words, finding=finding.to_dict(), **evidence)
        memory = {
            key: value for key, value in self.lease.file.memory.items() if key not in (acting.FAULT, acting.ADOPTED)
        }
        self.file = self.work.queue.update(self.lease, memory=memory)
        self.lease = msgspec.structs.replace(self.lease, file=self.file)

    # Last: is it there?

    def _begin_verifying(self) -> None:
        self.stage = "verifying"
        self._aside = begin_verifying(self.work.settings.output_dir, file_id(self.file))

    def _when_verified(self) -> None:
        assert self._aside is not None
        said = self._aside.poll()
        if self.asked_by is not None and said is None:
            return  # it takes seconds, and what was trained is not given back for that
        if said is None:
            return
        trained = read_trained(said)
        if trained.problem is None:
            self._done(trained)
        else:
            self._failed(_not_there(trained))

    def _done(self, trained: Trained) -> None:
        queue = self.work.queue
        queue.event(
            "attempt-end",
            file_id=self.file.id,
            attempt=self.number,
            cause=None,
            **acting.end_event(self._how(trained.step), None, None),
        )
        memory = {
            key: value
            for key, value in self.lease.file.memory.items()
            if key not in (acting.FAULT, acting.ADOPTED, acting.BEFORE)
        }
        self.file = queue.move_to(
            self.lease,
            "done",
            cause=None,
            step=trained.step,
            step_before=trained.step_before,
            planned_steps=trained.planned_steps,
            checkpoint=trained.checkpoint,
            memory=memory,
        )
        self.stage = "over"
        with contextlib.suppress(Exception):
            self._remember_fit()
        self._settle()

    # How it ends otherwise.

    def _failed(self, failure: Failure) -> None:
        how = self._how(failure.step)
        limits = msgspec.structs.replace(self.work.settings.limits, step_before=self._progress.step_before)
        self.failure = failure
        decision = decide(failure, acting.remembered(self._history, how, failure, None), limits)
        logger.warning("%s: %s; %s", self.file.name, failure.why, decision.why)
        self.lease = msgspec.structs.replace(self.lease, file=self.file)
        self.file = acting.act(self.work.queue, self.lease, how, failure, decision)
        if decision.act == "quarantine":
            self._say_given_up(failure)
        self._first_again()
        self.stage = "over"
        self._settle()

    def _how(self, step: int | None) -> acting.Ended:
        ended, progress = self._ended, self._progress
        return acting.Ended(
            number=self.number,
            started=self._started,
            seconds=ended.seconds if ended is not None else None,
            exit_code=ended.exit_code if ended is not None else None,
            signal=ended.signal if ended is not None else None,
            first_step=progress.first,
            last_step=progress.step if progress.step is not None else step,
            verified_step=progress.verified,
            changes=self._changes,
        )

    def _back(self, why: str, *, delay_seconds: float = 0.0) -> None:
        """To the waiting ones, with nothing held against it."""
        delay = {"delay_seconds": delay_seconds} if delay_seconds else {}
        self.file = self.work.queue.move_to(self.lease, "waiting", cause=why, **delay)
        self._first_again()
        self.stage = "over"

    def _put_aside(self, state: State, why: str) -> None:
        self.file = self.work.queue.move_to(self.lease, state, cause=why)
        self.stage = "over"
        self._settle()

    def _first_again(self) -> None:
        """A file in its middle goes before all others: what it has made would have to be made again."""
        if self.file.state == "waiting":
            with contextlib.suppress(Exception):
                self.work.queue.move(self.file.id, first=True)

    def _say_given_up(self, failure: Failure) -> None:
        name, number, times = self.file.name, self.file.id, self.file.attempts
        attempts = "one attempt" if times == 1 else f"{times:,} attempts"
        again = f"`trainguard queue retry {number}` tries it once more"
        finding = queue_finding(
            "QUEUE010",
            f"{name} was put aside after {attempts}: {failure.why}; REASON.md beside it has its history, and {again}",
            evidence={"file": number, "attempts": times, "code": failure.code},
        )
        self._tell("finding", cause=finding.message, finding=finding.to_dict())

    def _settle(self) -> None:
        if self.file.state in ("done", "failed", "quarantined"):
            with contextlib.suppress(OSError):  # the row stands; the next start puts the folder right
                events = self.work.queue.events(self.file.id)
                self.work.custody.settle(self.file, events=events, config=str(self.work.settings.config))

    def _tell(self, kind: str, *, cause: str | None = None, **data: Any) -> None:
        """An event that is worth nothing to lose an attempt over."""
        try:
            self.work.queue.event(kind, file_id=self.file.id, attempt=self.number, cause=cause, **data)
        except Exception as error:
            logger.warning("the event %s of %s could not be written: %s", kind, self.file.name, error)


def file_id(file: QueuedFile) -> str:
    """What tells a file from all others of the lineage, those of the same content too."""
    return f"{file.id}-{file.sha256[:16]}"


def attempt_folder(settings: Settings, file: QueuedFile, number: int) -> Path:
    return settings.home / "attempts" / str(file.id) / str(number)


def _not_there(trained: Trained) -> Failure:
    """The run said that it was complete, and the disk says otherwise."""
    assert trained.problem is not None
    moved = f"; {trained.moved} keeps what was there" if trained.moved else ""
    return Failure(
        kind="ended-early",
        code="CKPT005" if trained.moved else "RUN026",
        why=f"the run ended without an error, but {trained.problem}{moved}",
        fingerprint=f"not-there:{trained.step}",
        phase="save",
        step=trained.step,
        transient=True,
        source="verification",
    )
