"""Supervises a command that somebody else has written: starts it, looks on, finds out why it ended, starts it again.

It never restarts what cannot go on: a script that would begin anew over its own checkpoints is left as it is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from trainguard.daemon.child import Child, Ended
from trainguard.daemon.clock import Flag
from trainguard.daemon.foreign_command import CHECKPOINT, RESUME_VARIABLE, ForeignCommand
from trainguard.daemon.foreign_output import Outputs, Relay, Standard
from trainguard.daemon.foreign_resume import Place, Resuming
from trainguard.daemon.foreign_stop import Stopping
from trainguard.daemon.foreign_watch import ForeignWatch
from trainguard.daemon.nanny import CANNOT_EXECUTE, NOT_FOUND, OUTPUT
from trainguard.daemon.processes import send
from trainguard.daemon.witness import Witness
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
# For whoever reads the command's words to take the last of them.
_RELAY_SECONDS = 5.0
# Whoever ran for so long was meant to train.
_WITHOUT_METRICS_SECONDS = 60.0
_WITHOUT_METRICS = (
    "no metrics were seen in its output, so nobody watched its loss: print a line of JSON with step and loss, such as "
    '{"step": 10, "loss": 2.3}, or add callbacks=[trainguard.GuardCallback()] to its Trainer'
)
# A terminal's Ctrl-C may come twice at once, from the terminal and from a wrapper that passes it on (`uv run`).
_SAME_PRESS_SECONDS = 0.25


Observe: TypeAlias = Callable[[Record, Source], tuple[Finding, ...]]


class Tell(Protocol):
    """Where the supervisor says what happens: unguarded, started, note, finding, ended, decision, done."""

    def __call__(self, event: str, /, **values: Any) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user has set. Seconds; `hang_seconds` None leaves it to what can be told for sure. `may_begin_anew` lets
    a command that cannot go on begin again over what it has saved."""

    retries: int = 3
    retry_delay_seconds: float = 10.0
    hang_seconds: float | None = None
    stop_deadline_seconds: float = 25.0
    longest_pause_seconds: float = 86_400.0
    may_begin_anew: bool = False


@dataclass(slots=True)
class ForeignRun:
    """One command from its first attempt to its end. `observe` gets each record of its metrics and gives findings.

    `standard` are the descriptors that the command would have by itself. `ask` ends it, from any thread.
    """

    command: ForeignCommand
    folder: Path
    settings: Settings
    tell: Tell
    observe: Observe
    standard: Standard = field(default_factory=Standard)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stop: Flag = field(default_factory=Flag)
    history: History = field(default_factory=History)
    _blind: bool = False
    _asked: int = signal.SIGTERM
    _asked_at: float | None = None
    _hurry: bool = False
    _relay: Relay = field(init=False)
    _resuming: Resuming = field(init=False)
    _child: Child | None = None
    _lost: list[str] = field(default_factory=list)
    _seen: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._relay = Relay(self._lost.append)
        self._resuming = Resuming(self.command, began=time.time(), note=lambda words: self._tell("note", words=words))

    def ask(self, number: int = signal.SIGTERM) -> None:
        """Asks the command to stop, with SIGINT as a terminal does, or with SIGTERM; a second SIGINT does not wait."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._asked = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
        elif number == signal.SIGINT and now - self._asked_at > _SAME_PRESS_SECONDS:
            self._hurry = True
        self.stop.set()

    def suspend(self) -> None:
        """What Ctrl-Z does to a command in the foreground: it and its processes stop, until this process goes on."""
        tree = self._child.tree() if self._child is not None else []
        for each in tree:
            send(each, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        for each in tree:
            send(each, signal.SIGCONT)

    def run(self) -> int:
        """Runs the command until it succeeds, cannot go on, or is asked to stop; the exit code of its last attempt."""
        for words in self.command.unguarded():
            self._tell("unguarded", words=words)
        try:
            return self._run()
        finally:
            self._relay.close()

    def _run(self) -> int:
        while True:
            ended, failure = self._attempt()
            code = exit_code(ended)
            if ended.reason is not None and ended.exit_code in (CANNOT_EXECUTE, NOT_FOUND):
                self._tell("done", code=code, words=f"not started: {ended.reason}")
                return code
            if failure is None:
                self._succeeded()
                return code
            if self.stop.is_set():
                self._tell("done", code=code, words="stopped on request")
                return code
            decision = decide(failure, self.history, self._limits())
            decision = self._only_what_can_go_on(decision)
            self._remember(decision)
            self._tell("decision", decision=decision, failure=failure)
            if decision.act not in ("retry", "pause") or not self._wait(decision):
                if self.stop.is_set():
                    self._tell("done", code=code, words="stopped on request, before it was started again")
                    return code or EXIT_INTERNAL
                advice = f"; {decision.advice}" if decision.advice and self.command.resume == "no" else ""
                log = self.folder / str(self.history.attempts[-1].number) / OUTPUT
                self._tell("done", code=code, words=f"{decision.why}{advice}; its output is in {log}")
                return code or EXIT_INTERNAL

    # -- one attempt -----------------------------------------------------------

    def _attempt(self) -> tuple[Ended, Failure | None]:
        try:
            number = _take_number(self.folder)
            outputs = Outputs(self.folder / str(number) / OUTPUT, self.standard, self._relay)
        except OSError as error:  # no descriptor, no inode
            reason = f"{self.folder}: no place for its output ({error.strerror or error})"
            return Ended(exit_code=CANNOT_EXECUTE, reason=reason, seconds=0.0), None
        place = self._resuming.next() if self.history.attempts else self._resuming.first()
        words = self.command.again(place.checkpoint, self.history.changes)
        folder = self.folder / str(number)
        witness = Witness(self.command.output_dir or self.command.working_directory)
        started = time.time()
        child = self._child = Child.start(
            words,
            folder=folder,
            environment=self._environment(place),
            working_directory=self.command.working_directory,
            standard=outputs.standard,
        )
        self._tell("started", attempt=number, pid=child.pid, words=words, checkpoint=place.checkpoint)
        outputs.begin()
        watch = ForeignWatch(
            child.folder / OUTPUT,
            output_dir=self.command.output_dir,
            hang_seconds=self.settings.hang_seconds,
            began=started,
            tree=child.tree,
            spoken=outputs,
        )
        asked_by: str | None = None
        stopping: Stopping | None = None
        try:
            while (ended := child.poll()) is None:
                self._look(watch)
                if stopping is not None:
                    stopping.look(hurry=self._hurry)
                elif (asked_by := self._wants_end(watch)) is not None:
                    stopping = Stopping(
                        child,
                        number=self._asked if asked_by == "drain" else signal.SIGTERM,
                        deadline_seconds=self.settings.stop_deadline_seconds,
                    )
                # A stop that was asked for is carried out once; after it nothing may keep this loop from a pause.
                time.sleep(_LOOK_SECONDS) if self.stop.is_set() else self.stop.wait(_LOOK_SECONDS)
            outputs.finish()
            self._look(watch, last=True)
        except BaseException:
            child.kill()
            raise
        finally:
            watch.close()
            self._child = None
        self._relay.drain(_RELAY_SECONDS)  # trainguard's last lines come after the command's
        evidence = witness.evidence(ended, folder=child.folder, asked_by=asked_by)
        witness.close()
        # Before its first line of metrics an attempt stands where it began.
        if evidence.step is None and (step := watch.step if watch.step is not None else place.step) is not None:
            evidence = msgspec.structs.replace(evidence, step=step)
        failure = None if asked_by == "drain" and exit_code(ended) == 0 else classify(evidence)
        self._tell("ended", attempt=number, code=exit_code(ended), failure=failure)
        if not watch.has_metrics and not self._blind and (ended.seconds or 0.0) >= _WITHOUT_METRICS_SECONDS:
            self._tell("note", words=_WITHOUT_METRICS)
        verified = self._resuming.now()
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

    def _wants_end(self, watch: ForeignWatch) -> str | None:
        """Who wants the command to end: the user, or trainguard since it hangs; None where nobody does."""
        if self.stop.is_set():
            return "drain"
        hang = watch.hang()
        if (remark := watch.remark()) is not None:
            self._tell("note", words=remark)
        if hang is None:
            return None
        stacks = watch.dump_stacks()
        where = f"; its stacks are in {stacks}" if stacks is not None else ""
        self._say(run_finding("RUN008", f"{hang}{where}; it is ended", step=watch.step))
        return "hang"

    def _look(self, watch: ForeignWatch, *, last: bool = False) -> None:
        while self._lost:
            self._tell("note", words=self._lost.pop())
        if self._blind:
            return
        try:
            for record in watch.records(last=last):
                for finding in self.observe(record, watch.source):
                    self._say(finding)
        except Exception as error:  # whatever is wrong with what is read, the run itself must go on
            self._blind = True
            self._tell("note", words=f"its metrics are not watched any more: {type(error).__name__}: {error}")

    def _tell(self, event: str, /, **values: Any) -> None:
        if self.standard.stderr is not None:
            self._relay.end_line(self.standard.stderr, seconds=_LOOK_SECONDS)
        self.tell(event, **values)

    def _say(self, finding: Finding) -> None:
        if finding.severity == "error" and finding.code is not None:
            self._seen[finding.code] = None
        self._tell("finding", finding=finding)

    # -- between attempts --------------------------------------------------------

    def _environment(self, place: Place) -> Mapping[str, str]:
        """The command's variables; of a restarted one with the checkpoint that it is to go on from."""
        kept = {name: value for name, value in self.environment.items() if name != RESUME_VARIABLE}
        # Into a pipe or a file Python writes 8 KiB at a time, which is hours of lines: a silence that is none.
        kept.setdefault("PYTHONUNBUFFERED", "1")
        if place.checkpoint is not None and self.command.resume in ("variable", "argument"):
            kept[RESUME_VARIABLE] = str(place.checkpoint)
        return kept

    def _limits(self) -> Limits:
        command, changes = self.command, self.history.changes
        return Limits(
            retries=self.settings.retries,
            retry_delay_seconds=self.settings.retry_delay_seconds,
            batch_size=changes.get("batch_size", command.micro_batch or 1),
            gradient_accumulation=changes.get("gradient_accumulation", command.accumulation or 1),
            can_resume=self._resuming.can_resume,
            can_change_batch=command.can_change_batch,
            can_skip_data=False,
        )

    def _only_what_can_go_on(self, decision: Decision) -> Decision:
        """What waits for a person ends. So does what would begin anew, and write over what was saved."""
        if decision.act == "pause" and decision.wait_for is None:
            return msgspec.structs.replace(decision, act="hold")
        if decision.act not in ("retry", "pause") or self.settings.may_begin_anew:
            return decision
        log = self.folder / str(self.history.attempts[-1].number) / OUTPUT
        if (saved := self._resuming.would_be_lost(log)) is None:
            return decision
        why = f"{decision.why}; it is not started again, since it would begin anew and might write over {saved}"
        advice = (
            f'pass --resume-arg "--resume_from_checkpoint {CHECKPOINT}", or what the script calls it'
            + (", and --output-dir DIR" if self.command.output_dir is None else "")
            + "; --from-start lets it begin anew"
        )
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
        seen = f"it ended well, but {', '.join(self._seen)} was seen on the way" if self._seen else ""
        self._tell("done", code=0, words=seen)


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


def _take_number(folder: Path) -> int:
    """The next attempt's number, whose folder is made: two runs that keep their attempts in one place get two."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(each.name) for each in folder.iterdir() if each.name.isascii() and each.name.isdigit()]
    number = max(taken, default=0) + 1
    while True:
        try:
            (folder / str(number)).mkdir()
        except FileExistsError:
            number += 1
        else:
            return number


def _appended(history: History, attempt: Attempt) -> History:
    return msgspec.structs.replace(history, attempts=(*history.attempts, attempt))
