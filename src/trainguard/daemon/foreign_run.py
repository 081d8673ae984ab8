"""Supervises a command that somebody else has written: starts it, looks on, finds out why it ended, starts it again.

It never restarts what cannot go on: a script that would begin anew over its own checkpoints is left as it is.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from trainguard.checkpoints import quarantine
from trainguard.daemon.child import Child, Ended
from trainguard.daemon.foreign_command import ForeignCommand
from trainguard.daemon.foreign_watch import ForeignWatch
from trainguard.daemon.nanny import OUTPUT
from trainguard.daemon.witness import Witness
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import broken_and_newer, latest_verified_checkpoint
from trainguard.facts.checkpoint.verify import verify
from trainguard.facts.machine.folder import read_folder
from trainguard.findings import EXIT_INTERNAL, Finding
from trainguard.recovery.classify import classify
from trainguard.recovery.decide import decide
from trainguard.recovery.records import Attempt, Decision, Failure, History, Limits
from trainguard.signals.codes import run_finding
from trainguard.sources.base import Record, Source

_LOOK_SECONDS = 0.2
# How often the machine is asked whether what a pause waits for is there.
_ASK_SECONDS = 15.0
_LEAST_FREE_BYTES = 1 << 30


Observe: TypeAlias = Callable[[Record, Source], tuple[Finding, ...]]


class Tell(Protocol):
    """Where the supervisor says what happens: unguarded, started, note, finding, ended, decision, done."""

    def __call__(self, event: str, /, **values: Any) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user has set. Seconds; `hang_seconds` None leaves it to what can be told for sure."""

    retries: int = 3
    retry_delay_seconds: float = 10.0
    hang_seconds: float | None = None
    stop_deadline_seconds: float = 25.0
    longest_pause_seconds: float = 86_400.0


@dataclass(slots=True)
class _Place:
    """Where an attempt stood when it began."""

    checkpoint: Path | None
    step: int | None


@dataclass(slots=True)
class ForeignRun:
    """One command from its first attempt to its end. `observe` gets each record of its metrics and gives findings.

    Setting `stop` asks the command to stop, with SIGTERM and the deadline of the settings.
    """

    command: ForeignCommand
    folder: Path
    settings: Settings
    tell: Tell
    observe: Observe
    relay: Callable[[bytes], None]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stop: threading.Event = field(default_factory=threading.Event)
    history: History = field(default_factory=History)
    _blind: bool = False

    def run(self) -> int:
        """Runs the command until it succeeds, cannot go on, or is asked to stop; the exit code of its last attempt."""
        for words in self.command.unguarded():
            self.tell("unguarded", words=words)
        while True:
            ended, failure = self._attempt()
            code = exit_code(ended)
            if failure is None:
                self._succeeded()
                return code
            if self.stop.is_set():
                self.tell("done", code=code, words="stopped on request")
                return code
            decision = decide(failure, self.history, self._limits())
            decision = self._only_what_can_go_on(decision)
            self._remember(decision)
            self.tell("decision", decision=decision, failure=failure)
            if decision.act not in ("retry", "pause") or not self._wait(decision):
                advice = f"; {decision.advice}" if decision.advice and self.command.resume == "no" else ""
                log = self.folder / str(self.history.attempts[-1].number) / OUTPUT
                self.tell("done", code=code, words=f"{decision.why}{advice}; its output is in {log}")
                return code or EXIT_INTERNAL

    # -- one attempt -----------------------------------------------------------

    def _attempt(self) -> tuple[Ended, Failure | None]:
        number = _next_number(self.folder)
        place = self._place()
        words = self.command.again(place.checkpoint, self.history.changes)
        folder = self.folder / str(number)
        witness = Witness(self.command.output_dir or self.command.working_directory)
        started = time.time()
        child = Child.start(
            words, folder=folder, environment=self.environment, working_directory=self.command.working_directory
        )
        self.tell("started", attempt=number, pid=child.pid, words=words, checkpoint=place.checkpoint)
        watch = ForeignWatch(
            child.folder / OUTPUT,
            output_dir=self.command.output_dir,
            hang_seconds=self.settings.hang_seconds,
            began=started,
            tree=child.tree,
        )
        asked_by: str | None = None
        try:
            while (ended := child.poll()) is None:
                self._look(watch)
                if asked_by is None:
                    asked_by = self._ask_to_end(child, watch)
                # A stop that was asked for is carried out once; after it nothing may keep this loop from a pause.
                time.sleep(_LOOK_SECONDS) if asked_by is not None else self.stop.wait(_LOOK_SECONDS)
            self._look(watch, last=True)
        except BaseException:
            child.kill()
            raise
        finally:
            watch.close()
        evidence = witness.evidence(ended, folder=child.folder, asked_by=asked_by)
        witness.close()
        # Before its first line of metrics an attempt stands where it began.
        if evidence.step is None and (step := watch.step if watch.step is not None else place.step) is not None:
            evidence = msgspec.structs.replace(evidence, step=step)
        failure = None if asked_by == "drain" and exit_code(ended) == 0 else classify(evidence)
        self.tell("ended", attempt=number, code=exit_code(ended), failure=failure)
        verified = self._place()
        self.history = _appended(
            self.history,
            Attempt(
                number=number,
                started=started,
                ended=time.time(),
                first_step=place.step,
                last_step=watch.step,
                verified_step=verified.step,
                failure=failure,
            ),
        )
        return ended, failure

    def _ask_to_end(self, child: Child, watch: ForeignWatch) -> str | None:
        """Asks the command to end, where the user wants it to or it hangs; who asked, None where nobody does."""
        if self.stop.is_set():
            child.stop(self.settings.stop_deadline_seconds)
            return "drain"
        hang = watch.hang()
        if hang is None:
            return None
        stacks = watch.dump_stacks()
        where = f"; its stacks are in {stacks}" if stacks is not None else ""
        self._say(run_finding("RUN008", f"{hang}{where}; it is ended", step=watch.step))
        child.stop(self.settings.stop_deadline_seconds)
        return "hang"

    def _look(self, watch: ForeignWatch, *, last: bool = False) -> None:
        for block in watch.output():
            self.relay(block)
        if self._blind:
            return
        try:
            for record in watch.records(last=last):
                for finding in self.observe(record, watch.source):
                    self._say(finding)
        except Exception as error:  # whatever is wrong with what is read, the run itself must go on
            self._blind = True
            self.tell("note", words=f"its metrics are not watched any more: {type(error).__name__}: {error}")

    def _say(self, finding: Finding) -> None:
        self.tell("finding", finding=finding)

    # -- between attempts --------------------------------------------------------

    def _place(self) -> _Place:
        """The checkpoint that the next attempt goes on from. What is broken and newer is put out of its way."""
        output = self.command.output_dir
        if output is None or not output.is_dir():
            return _Place(None, None)
        if self.command.resume == "itself" and self.history.attempts:
            for each in broken_and_newer(output):
                with suppress(OSError, UsageError):
                    quarantine(each.path, reasons=[each.why_not])
                    self.tell("note", words=f"{each.path.name} does not verify and was set aside: {each.why_not}")
        newest = latest_verified_checkpoint(output)
        return _Place(newest, verify(newest, output).step if newest is not None else None)

    def _limits(self) -> Limits:
        command, changes = self.command, self.history.changes
        return Limits(
            retries=self.settings.retries,
            retry_delay_seconds=self.settings.retry_delay_seconds,
            batch_size=changes.get("batch_size", command.micro_batch or 1),
            gradient_accumulation=changes.get("gradient_accumulation", command.accumulation or 1),
            can_resume=command.resume != "no",
            can_change_batch=command.can_change_batch,
            can_skip_data=False,
        )

    def _only_what_can_go_on(self, decision: Decision) -> Decision:
        """What waits for a person ends. So does what would begin anew, and write over what was saved."""
        if decision.act == "pause" and decision.wait_for is None:
            return msgspec.structs.replace(decision, act="hold")
        if decision.act not in ("retry", "pause") or self.command.resume != "no" or self._place().checkpoint is None:
            return decision
        why = (
            f"{decision.why}; it is not started again, since how it resumes is not known and its checkpoints would be "
            "written over"
        )
        advice = 'pass --resume-arg "--resume_from_checkpoint {checkpoint}", or what the script calls it'
        return Decision(act="hold", why=why, policy=decision.policy, advice=advice)

    def _remember(self, decision: Decision) -> None:
        last = self.history.attempts[-1]
        attempt = msgspec.structs.replace(last, act=decision.act, changes=decision.changes)
        changes = {**self.history.changes, **decision.changes}
        self.history = msgspec.structs.replace(
            self.history, attempts=(*self.history.attempts[:-1], attempt), changes=changes
        )

    def _wait(self, decision: Decision) -> bool:
        """Waits out a delay, or until what is missing is there; False where the user asks to stop, or nothing comes."""
        until = time.monotonic() + decision.delay_seconds
        while (left := until - time.monotonic()) > 0:
            if self.stop.wait(min(left, _ASK_SECONDS)):
                return False
        if decision.act != "pause":
            return not self.stop.is_set()
        patience = time.monotonic() + self.settings.longest_pause_seconds
        while not _is_there(decision, self.command.output_dir):
            if self.stop.wait(_ASK_SECONDS) or time.monotonic() > patience:
                return False
        return True

    def _succeeded(self) -> None:
        failed = [each for each in self.history.attempts if each.failure is not None]
        if failed:
            faults = ", ".join(dict.fromkeys(str(each.failure.code) for each in failed if each.failure is not None))
            words = f"the command ended well after {len(failed)} failed attempts ({faults})"
            self._say(run_finding("RUN023", words, evidence={"attempts": len(failed) + 1}))
        self.tell("done", code=0, words="")


def _is_there(decision: Decision, output_dir: Path | None) -> bool:
    """Whether what a pause waits for is there; what cannot be asked is tried."""
    if decision.wait_for not in ("disk", "mount") or output_dir is None:
        return True
    facts = read_folder(output_dir)
    if decision.wait_for == "mount":
        return facts.write is not None and facts.write.error is None
    return facts.free_bytes is not None and facts.free_bytes >= _LEAST_FREE_BYTES


def exit_code(ended: Ended) -> int:
    """As a shell reports it: 128 and the number of the signal for a process that one has ended."""
    if ended.signal is not None:
        return 128 + ended.signal
    return ended.exit_code if ended.exit_code is not None else EXIT_INTERNAL


def _next_number(folder: Path) -> int:
    try:
        taken = [int(each.name) for each in folder.iterdir() if each.name.isascii() and each.name.isdigit()]
    except FileNotFoundError:
        taken = []
    return max(taken, default=0) + 1


def _appended(history: History, attempt: Attempt) -> History:
    return msgspec.structs.replace(history, attempts=(*history.attempts, attempt))
