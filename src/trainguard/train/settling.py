"""Before a run: the output folder is taken, put in order, and what the run goes back behind is moved away."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from trainguard.errors import UsageError
from trainguard.fencing import Fence
from trainguard.train.events import EventLog
from trainguard.train.final_save import is_final
from trainguard.train.going_back import set_aside_from
from trainguard.train.identity import Identity
from trainguard.train.lineage import Start
from trainguard.train.preparing import Prepared, set_aside
from trainguard.train.resuming import settle
from trainguard.train.run_lock import RunLock

if TYPE_CHECKING:
    from trainguard.train.telling import Tell


def settle_folder(prepared: Prepared, tell: Tell) -> RunLock:
    """Takes the output folder, and puts in order what a killed run left there; the lock is held until it is released.

    Raises UsageError where another process trains into it, FencedError where the folder was given to another one, or
    is not the one in which the number of this process was written.
    """
    output = prepared.material.output_dir
    Fence.of(output).begin()
    lock = RunLock(output)
    known = lock.known
    if output.is_dir():
        done = settle(output, lock)
        for path in done.finished:
            tell("note", words=f"{path.name} was complete when its process was killed: verified now")
        for step in done.dropped:
            tell("note", words=f"the save of step {step:,} did not reach its end and was removed")
        for path, why in done.quarantined:
            tell("note", words=f"{path.name} does not verify and was moved to {path.parent.name}: {why}")
    lock.known = known
    if lock.take() == "taken":
        raise UsageError(f"{output}: another process trains into this folder; wait for it, or take another output_dir")
    if not prepared.resume:
        for path in set_aside(output):
            tell("note", words=f"{path.name} was moved to {path.parent.name}, since this run begins anew")
    return lock


def go_back(prepared: Prepared, tell: Tell) -> None:
    """Moves away what `--before-step` goes back behind; to be called when it is known where the run begins."""
    if prepared.before_step is not None:
        for path in set_aside_from(prepared.material.output_dir, prepared.before_step):
            words = f"since the run goes back to before step {prepared.before_step:,}"
            tell("note", words=f"{path.name} was moved to {path.parent.name}, {words}")


def say_attempt(events: EventLog, start: Start, identity: Identity) -> None:
    """The first event of each process, for whoever supervises it. What it plans follows as the event `planned`."""
    events.event(
        "attempt",
        step=start.step,
        pid=os.getpid(),
        kind=start.kind,
        checkpoint=str(start.checkpoint) if start.checkpoint is not None else None,
        step_before=start.step_before,
        file_number=start.file_number,
        file_id=identity.file_id,
        planned_steps=start.planned_steps,
        skipped=[list(each) for each in start.skipped],
    )


def is_done(prepared: Prepared, identity: Identity, start: Start) -> bool:
    """Whether there is nothing left to do: all steps made, and the result saved."""
    if start.kind != "complete":
        return False
    return is_final(prepared.material.output_dir, step=start.step, data_hash=identity.data_hash)


def require_libraries() -> None:
    """Raises UsageError where the extra `train` is not installed."""
    needed = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f'training needs {", ".join(missing)}, not installed here: pip install "trainguard[train]"')
