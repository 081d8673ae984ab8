"""One attempt at a file, from its custody to the transaction that says how it ended. Never waits."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from trainguard.daemon import acting
from trainguard.daemon.aside import Aside
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.commanding import attempt_folder, before_step, command_line, file_id
from trainguard.daemon.fitting import known_fit, remember_fit
from trainguard.daemon.keeping import REFUSED_SECONDS, Held, Work
from trainguard.daemon.lineage import MovedOnError, Tip, tip_of
from trainguard.daemon.progress import Progress, doing
from trainguard.daemon.readying import make_ready
from trainguard.daemon.remains import remains_finding
from trainguard.daemon.service import without_notify
from trainguard.daemon.training import Training
from trainguard.daemon.verifying import Trained, begin_verifying, read_trained
from trainguard.fencing import VARIABLE, FencedError
from trainguard.findings import Finding
from trainguard.queue.custody import AwayError
from trainguard.queue.engine import QueueCorruptError, QueueError
from trainguard.queue.records import Lease, LostLeaseError
from trainguard.recovery.classify import classify
from trainguard.recovery.decide import decide
from trainguard.recovery.records import Failure
from trainguard.signals.codes import run_finding

logger = logging.getLogger(__name__)

_ROW_SECONDS = 5.0
_PATIENCE_SECONDS = 0.2
# Where the lineage has moved on: long enough that it has come to rest, short enough that nobody waits for it.
_MOVED_SECONDS = 2.0
# The exit code of `trainguard train` for what it does not begin with.
_REFUSED = 2
Stage = Literal["custody", "training", "verifying", "over"]
Asked = Literal["drain", "pause", "cancel", "hang", "lease"]


class Attempt(Held):
    """The attempt that goes on. `over` once the queue has been told how it ended, or the file is another daemon's."""

    def __init__(self, work: Work, lease: Lease, tip: Tip) -> None:
        super().__init__(work, lease)
        self.tip = tip
        self.stage: Stage = "custody"
        self.asked_by: Asked | None = None
        self.failure: Failure | None = None
        self._until = time.monotonic()
        self._rows = Every(_ROW_SECONDS)
        self._started = time.time()
        self._training: Training | None = None
        self._aside: Aside | None = None
        self._history = acting.history_of(lease.file)
        self._changes: dict[str, Any] = {}
        self._ready: Background[str | None] | None = None
        self._after: Background[Tip] | None = None

    @classmethod
    def verify(cls, work: Work, lease: Lease, tip: Tip) -> Attempt:
        """Takes up a file whose training was over when its daemon died: what is left is to read it back."""
        attempt = cls(work, lease, tip)
        attempt.stage = "verifying"
        return attempt

    @property
    def folder(self) -> Path:
        return attempt_folder(self.work.settings, self.file, self.number)

    @property
    def over(self) -> bool:
        return self.stage == "over"

    @property
    def quiet(self) -> bool:
        """Whether nothing of it runs any more, in a process or beside the loop."""
        training, ready = self._training, self._ready
        return (training is None or training.poll() is not None) and (ready is None or ready.done)

    @property
    def _progress(self) -> Progress | None:
        return self._training.progress if self._training is not None else None

    @property
    def doing(self) -> str:
        """What it does now, for people."""
        return doing(self.stage, self.file.name, self._progress)

    def tick(self) -> None:
        """Looks at what has happened and does what follows. Raises nothing that is the attempt's own affair."""
        try:
            if not self.lost and self.stage != "over" and (why := self.keep_lease()) is not None:
                self._lose(why)
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
            self._until = time.monotonic() + deadline_seconds
            if self._training is not None:
                self._training.stop(deadline_seconds)

    def end_now(self, asked_by: Asked = "drain") -> None:
        """Ends it at once; the last verified checkpoint stands."""
        self.asked_by = self.asked_by or asked_by
        if self.stage == "verifying":
            self._leave()
        elif self._training is not None:
            self._training.kill()

    def _leave(self) -> None:
        """Breaks the verification off: the row says so, and the next daemon does it."""
        if self._aside is not None:
            self._aside.end()
        self.stage = "over"

    def close(self) -> None:
        """Ends what it has begun, without a word to the queue: for a daemon that ends."""
        if self._training is not None:
            self._training.close()
        if self._aside is not None:
            self._aside.end()

    # The lease.

    def _lose(self, why: str) -> None:
        """The file is another's, or may be soon: nothing more is written, in the folder or in the queue."""
        logger.error("%s: %s; its run is ended here", self.file.name, why)
        self.lost = True
        self.asked_by = "lease"
        if self._aside is not None:
            self._aside.end()
        if self._training is not None and self._training.ended is None:
            self._training.kill()
            self.stage = "training"
        else:
            if self._training is not None:
                self._training.close()
            self.stage = "over"

    # First: is all ready?

    def _make_ready(self) -> str | None:
        return make_ready(
            self.work, self.lease, self.tip, given_up=lambda: self.asked_by is not None, tell=self._tell_finding
        )

    def _tell_finding(self, finding: Finding) -> None:
        self._tell("finding", cause=finding.message, finding=finding.to_dict())

    def _when_read(self) -> None:
        if self._ready is None:
            self._ready = Background(self._make_ready, "custody")
            self._ready.wait(_PATIENCE_SECONDS)
        if self.asked_by is not None:
            self._give_back(f"stopped before it began ({self.asked_by})")
            self.stage = "over"
            return
        if not self._ready.done:
            return
        try:
            problem = self._ready.result()
        except FencedError as error:
            self._lose(str(error))
        except MovedOnError as error:
            self._give_back(str(error), delay_seconds=_MOVED_SECONDS)
            self.stage = "over"
        except AwayError as error:
            self._custody_away(error)
            self.stage = "over"
        except OSError as error:
            where = error.filename or self.work.settings.output_dir
            self._give_back(f"{where}: {error.strerror or error}", delay_seconds=REFUSED_SECONDS)
            self.stage = "over"
        else:
            if problem is not None:
                self._put_aside("failed", problem)
                self.stage = "over"
            elif file_id(self.file) in self.tip.history:
                words = (
                    f"its rows are in the checkpoint of step {self.tip.step:,} already, which others were trained on"
                )
                self.file = self.work.queue.move_to(self.lease, "verifying", cause=None)
                self._put_aside("done", words)
                self.stage = "over"
            else:
                self._begin()

    def _begin(self) -> None:
        work, lease = self.work, self.lease
        before = before_step(lease.file, self.tip)
        self._changes = {**self._known_fit(), **self._history.changes}
        # Written before the child starts: a rollback is asked for once, since it would take back what it led to.
        self._update(memory=self._memory_without(acting.BEFORE, acting.UNREAD))
        command = command_line(
            work.command,
            work.settings,
            self.file,
            self._data(),
            history=self._history,
            changes=self._changes,
            before=before,
            on_top=self.tip.closed and self.tip.file_id != file_id(self.file),
        )
        self._started = time.time()
        self._training = Training(
            command,
            settings=work.settings,
            folder=self.folder,
            environment={**without_notify(os.environ), VARIABLE: str(lease.fence), "PYTHONUNBUFFERED": "1"},
            hang_seconds=work.hang_seconds,
        )
        self.stage = "training"
        work.queue.event(
            "attempt-start",
            file_id=self.file.id,
            attempt=self.number,
            pid=self._training.pid,
            changes=self._changes,
            skipped=[list(each) for each in self._history.skipped],
            before_step=before,
        )
        logger.info("attempt %d at %s: %s", self.number, self.file.name, " ".join(command))

    def _known_fit(self) -> dict[str, Any]:
        changes, finding = known_fit(self.work.queue, self.work.settings)
        if finding is not None:
            self._tell_finding(finding)
        return changes

    def _data(self) -> Path:
        custody, file = self.work.custody, self.file
        return custody.find(file) or custody.path_of(file.sha256, file.name)

    # Then: it trains.

    def _when_ended(self) -> None:
        training = self._training
        assert training is not None
        self._look(training)
        known, ended = training.ended, training.poll()
        if ended is None:
            if self.asked_by is None and (hang := training.end_if_hung()) is not None:
                self.asked_by = "hang"
                finding = run_finding("RUN008", hang.why, step=hang.step)
                self._tell("finding", cause=hang.why, finding=finding.to_dict())
            return
        if known is None:
            self._look(training)
            if (remains := remains_finding(ended)) is not None:
                self._tell_finding(remains)
        if self.lost:
            training.close()
            self.stage = "over"
            return
        evidence = training.evidence(self.asked_by)
        if evidence is None:
            return
        failure = classify(evidence)
        if failure is not None:
            if moved := ended.exit_code == _REFUSED and self._has_moved():
                self._give_back("a save of another file was complete after all: that one goes first")
                self.stage = "over"
            elif moved is not None:
                self._failed(failure)
            return
        self.file = self.work.queue.move_to(self.lease, "verifying", cause=None, **self._row())
        self.lease = msgspec.structs.replace(self.lease, file=self.file)
        self.stage = "verifying"

    def _has_moved(self) -> bool | None:
        """Whether the lineage stands elsewhere now; None while that is read. A run first completes what a killed one
        has saved, and then does not leave its file unfinished."""
        if self._after is None:
            self._after = Background(lambda: tip_of(self.work.settings.output_dir), "lineage")
            self._after.wait(_PATIENCE_SECONDS)
        return not self._after.result().same_place(self.tip) if self._after.done else None

    def _look(self, training: Training) -> None:
        progress = training.progress
        first = progress.look()
        for finding in progress.take_findings():
            self._tell("finding", finding=finding)
        if first:
            self._first_step(progress)
        if self._rows.due() and not self.lost and (row := self._row()):
            try:
                self.file = self.work.queue.update(self.lease, **row)
            except QueueCorruptError:
                raise
            except QueueError as error:
                if not error.again:
                    logger.warning("the row of %s could not be written: %s", self.file.name, error)

    def _row(self) -> dict[str, Any]:
        progress = self._progress
        if progress is None:
            return {}
        known = {"step": progress.step, "step_before": progress.step_before, "planned_steps": progress.planned}
        return {name: value for name, value in known.items() if value is not None}

    def _first_step(self, progress: Progress) -> None:
        """The first new step: where something had failed before, the file has recovered (RUN023)."""
        seconds, finding = acting.recovered(self.lease.file, first=progress.first, step=progress.step)
        self._tell("first-step", seconds_since_fault=seconds, step=progress.step)
        if finding is None:
            return
        self._tell("recovered", cause=finding.message, finding=finding.to_dict(), **finding.evidence)
        self._update(memory=self._memory_without(acting.FAULT, acting.ADOPTED))

    # Last: is it there?

    def _when_verified(self) -> None:
        if self._aside is None:
            # Begun here and not with the transition: what cannot be started now is tried again at the next look.
            self._aside = begin_verifying(self.work.settings.output_dir, file_id(self.file))
        said = self._aside.poll()
        if said is None:
            if self.asked_by == "drain" and time.monotonic() > self._until:
                self._leave()
            return
        trained = read_trained(said)
        if trained.problem is None:
            self._done(trained)
        else:
            self._failed(acting.not_there(trained))

    def _done(self, trained: Trained) -> None:
        self.file = self.work.queue.move_to(
            self.lease,
            "done",
            cause=None,
            event=acting.end_event(self._how(trained.step), None, None),
            step=trained.step,
            step_before=trained.step_before,
            planned_steps=trained.planned_steps,
            checkpoint=trained.checkpoint,
            memory=self._memory_without(acting.FAULT, acting.ADOPTED, acting.BEFORE),
        )
        self.stage = "over"
        with contextlib.suppress(QueueError):
            remember_fit(self.work.queue, self.work.settings, self._changes)
        self._settle()

    # How it ends otherwise.

    def _failed(self, failure: Failure) -> None:
        how = self._how(failure.step)
        limits = msgspec.structs.replace(self.work.settings.limits, step_before=how.step_before)
        self.failure = failure
        decision = decide(failure, acting.remembered(self._history, how, failure, None), limits)
        level = logging.INFO if failure.kind == "stopped" else logging.WARNING
        logger.log(level, "%s: %s", self.file.name, acting.cause_words(failure, decision))
        self.lease = msgspec.structs.replace(self.lease, file=self.file)
        self.file = acting.act(self.work.queue, self.lease, how, failure, decision)
        if decision.act == "quarantine":
            finding = acting.given_up(self.file, failure)
            self._tell_finding(finding)
        self._first_again()
        self.stage = "over"
        self._settle()

    def _how(self, step: int | None) -> acting.Ended:
        progress, ended = self._progress, self._training.ended if self._training is not None else None
        return acting.Ended(
            number=self.number,
            started=self._started,
            seconds=ended.seconds if ended is not None else None,
            exit_code=ended.exit_code if ended is not None else None,
            signal=ended.signal if ended is not None else None,
            first_step=progress.first if progress is not None else None,
            last_step=progress.step if progress is not None and progress.step is not None else step,
            verified_step=progress.verified if progress is not None else None,
            step_before=progress.step_before if progress is not None else self.file.step_before,
            planned_steps=progress.planned if progress is not None else self.file.planned_steps,
            changes=self._changes,
        )
