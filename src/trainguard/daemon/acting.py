"""From a decision to the queue: each is one fenced transaction, and what is remembered for the next attempt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trainguard.daemon.clock import Moment, moment_of
from trainguard.daemon.verifying import Trained
from trainguard.findings import Finding
from trainguard.queue.codes import queue_finding
from trainguard.queue.records import RELEASED, Happened, Lease, QueuedFile, State
from trainguard.queue.rows import short
from trainguard.queue.store import Queue
from trainguard.recovery.records import Attempt, Decision, Failure, History
from trainguard.signals.codes import run_finding

RECOVERY, FAULT, BEFORE, ADOPTED, PAUSE, UNREAD = "recovery", "fault", "before_step", "adopted", "pause", "unread"
# Of a file that is tried for weeks (a network that is away) the oldest attempts are forgotten here; events keep all.
_MOST_ATTEMPTS = 100
# What a pause waits for, as the queue's text says it: these end by themselves.
WAITS = ("disk", "mount", "gpu", "network", "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt that has come to its end: steps are global, `seconds` those of the child."""

    number: int
    started: float
    seconds: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    verified_step: int | None = None
    step_before: int | None = None
    planned_steps: int | None = None
    changes: Mapping[str, Any]


def history_of(file: QueuedFile) -> History:
    """What the recovery remembers of a file; an empty one where that cannot be read. Budgets begin at the last release
    by a person."""
    try:
        history = msgspec.convert(file.memory.get(RECOVERY, {}), type=History)
    except msgspec.ValidationError:
        return History()
    released = file.memory.get(RELEASED)
    if not isinstance(released, int) or isinstance(released, bool) or released == history.released_after:
        return history
    return msgspec.structs.replace(history, released_after=released, skipped_before=len(history.skipped))


def remembered(history: History, ended: Ended, failure: Failure | None, decision: Decision | None) -> History:
    """The history with one attempt more, and with what was decided to be changed. What was no failure is no attempt."""
    attempts, changes, skipped = history.attempts, dict(history.changes), history.skipped
    if failure is not None and failure.kind != "stopped" and not failure.data.get("not_started"):
        attempt = Attempt(
            number=ended.number,
            started=ended.started,
            ended=time.time(),
            first_step=ended.first_step,
            last_step=ended.last_step,
            verified_step=ended.verified_step,
            failure=failure,
            act=decision.act if decision is not None else None,
            changes=dict(ended.changes),
        )
        attempts = (*attempts, attempt)[-_MOST_ATTEMPTS:]
    if decision is not None:
        changes |= decision.changes
        skipped = (*skipped, decision.skip) if decision.skip is not None else skipped
    return msgspec.structs.replace(history, attempts=attempts, changes=changes, skipped=skipped)


def end_event(ended: Ended, failure: Failure | None, decision: Decision | None) -> Happened:
    """The event "attempt-end". It goes with the transition to which it leads: a database that fails between the two
    would be told of the same end again."""
    steps = None
    if ended.first_step is not None and ended.last_step is not None:
        steps = max(0, ended.last_step - ended.first_step)
    data = {
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "seconds": ended.seconds,
        "steps": steps,
        "last_step": ended.last_step,
        "verified_step": ended.verified_step,
        "failure": msgspec.to_builtins(failure) if failure is not None else None,
        "decision": msgspec.to_builtins(decision) if decision is not None else None,
    }
    cause = failure.why if failure is not None else None
    return Happened(kind="attempt-end", attempt=ended.number, cause=cause, data=data)


def act(queue: Queue, lease: Lease, ended: Ended, failure: Failure, decision: Decision) -> QueuedFile:
    """Does what was decided with the file; how it stands now. Raises LostLeaseError."""
    history = remembered(history_of(lease.file), ended, failure, decision)
    memory = {**lease.file.memory, RECOVERY: msgspec.to_builtins(history)}
    if decision.before_step is not None:
        memory[BEFORE] = decision.before_step
    if failure.kind != "stopped" and FAULT not in memory:
        # The first of several: from it on the file has made no new step.
        memory[FAULT] = {**Moment.now().plain(), "step": ended.last_step, "kind": failure.kind, "code": failure.code}
    if decision.act == "pause":
        memory[PAUSE] = {
            "words": short(pause_words(failure, decision)),
            "since": Moment.now().plain(),
            "deadline_seconds": decision.deadline_seconds,
            "needed_bytes": failure.data.get("needed_bytes"),
        }
    state, delay = _state_of(decision), decision.delay_seconds
    if decision.act == "pause":
        # Before the file goes back: between the two nothing may take it up again.
        queue.pause(pause_words(failure, decision))
    row = {"step": ended.last_step, "step_before": ended.step_before, "planned_steps": ended.planned_steps}
    fields: dict[str, Any] = {"memory": memory, **{name: at for name, at in row.items() if at is not None}}
    if state == "waiting" and delay:
        fields["delay_seconds"] = delay
    event = end_event(ended, failure, decision)
    return queue.move_to(lease, state, cause=cause_words(failure, decision), event=event, **fields)


def _state_of(decision: Decision) -> State:
    match decision.act:
        case "fail":
            return "failed"
        case "quarantine":
            return "quarantined"
        case "hold":
            return "held"
        case _:
            return "waiting"


def cause_words(failure: Failure, decision: Decision) -> str:
    """Why a file is where it is, for people."""
    words = decision.why if failure.why in decision.why else f"{failure.why}; {decision.why}"
    # What was asked for is no fault, and its code (RUN012, as that of a kill) no news.
    told = failure.code if failure.kind != "stopped" else None
    code = f"{told} " if told and not words.startswith(told) else ""
    advice = f"; {decision.advice}" if decision.advice else ""
    return f"{code}{words}{advice}"


def pause_words(failure: Failure, decision: Decision) -> str:
    """What the queue waits for. A pause that ends by itself begins with the thing that it waits for."""
    words = cause_words(failure, decision)
    return f"{decision.wait_for}: {words}" if decision.wait_for is not None else words


def given_up(file: QueuedFile, failure: Failure) -> Finding:
    """QUEUE010: a file that is put aside after all that could be tried."""
    times = "one attempt" if file.attempts == 1 else f"{file.attempts:,} attempts"
    again = f"`trainguard queue retry {file.id}` tries it once more"
    return queue_finding(
        "QUEUE010",
        f"{file.name} was put aside after {times}: {failure.why}; REASON.md beside it has its history, and {again}",
        evidence={"file": file.id, "attempts": file.attempts, "code": failure.code},
    )


def not_there(trained: Trained) -> Failure:
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


def recovered(file: QueuedFile, *, first: int | None, step: int | None) -> tuple[float | None, Finding | None]:
    """At the first new step of an attempt: seconds since the fault before it, and RUN023; None where there was none.

    `first` is the global step at which the attempt began, so that what lies between it and the fault is lost.
    """
    fault = file.memory.get(FAULT)
    if not isinstance(fault, dict):
        return None, None
    at = moment_of({key: value for key, value in fault.items() if key in ("time", "t", "boot")})
    if at is None:
        return None, None
    seconds, last = round(at.seconds, 3), fault.get("step")
    lost = max(0, last - first) if isinstance(last, int) and first is not None else None
    again = f", and {lost:,} steps are made again" if lost else ""
    code = fault.get("code") or fault.get("kind")
    words = f"{file.name} trains again {seconds:.1f} s after {code}{again}"
    evidence = {"lost_steps": lost, "seconds": seconds, "fault": fault.get("kind")}
    return seconds, run_finding("RUN023", words, step=step, evidence=evidence)
