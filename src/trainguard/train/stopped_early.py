"""A run that was asked to stop before its first step: while it loads, tokenizes, or the Trainer is about to begin."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from trainguard.train import processes
from trainguard.train.stopping import EXIT_STOPPED

if TYPE_CHECKING:
    from trainguard.signals.samples import Phase
    from trainguard.train.events import EventLog
    from trainguard.train.lineage import Start
    from trainguard.train.telling import Tell


def is_early_stop(request: BaseException, doing: Phase, start: Start, trainer: Any) -> bool:
    """Whether `request` asks to stop (Ctrl-C, or the exit that SIGTERM makes) and this start has made no step yet."""
    if not is_request(request):
        return False
    if doing in ("load", "tokenize"):
        return True
    step = getattr(getattr(trainer, "state", None), "global_step", 0)
    return doing == "train" and step <= start.step


def is_request(request: BaseException) -> bool:
    """Whether it is Ctrl-C, or the exit that SIGTERM makes."""
    return isinstance(request, KeyboardInterrupt) or (isinstance(request, SystemExit) and request.code == EXIT_STOPPED)


def stopped_before() -> int:
    """Says of a run that was asked to stop while its folder was looked through that it was; the exit code."""
    words = (
        "asked to stop while the data and the checkpoints were read: nothing was trained in this start, and the same "
        "command begins once more"
    )
    print(words, file=sys.stderr, flush=True)
    return EXIT_STOPPED


def stopped_saving(planned: int, start: Start, tell: Tell, events: EventLog) -> int:
    """Says of a run that was asked to stop while it saved its result that all steps are made; the exit code."""
    step = start.step_before + planned
    words = (
        f"asked to stop while the result was saved: all {planned:,} steps are made and checkpoint-{step} stands; the "
        "same command saves the result"
    )
    events.event("end", step=step, exit_code=EXIT_STOPPED, pid=os.getpid(), steps=planned, planned_steps=planned)
    tell("stopped", code=EXIT_STOPPED, steps=planned, checkpoint=f"checkpoint-{step}", words=words)
    if processes.rank() == 0:
        print(words, file=sys.stderr, flush=True)
    return EXIT_STOPPED


def stopped_early(doing: Phase, start: Start, tell: Tell, events: EventLog) -> int:
    """Says so, in a line on stderr and as the event `stopped`; the exit code.

    The checkpoint is the one that this start had verified: there is no time to look at it again.
    """
    name = start.checkpoint.name if start.checkpoint is not None else None
    then = f"goes on from {name}" if name is not None else "begins at step 0, since there is no checkpoint yet"
    during = "tokenizing" if doing == "tokenize" else "loading"
    words = f"asked to stop while {during}: nothing was trained in this start; the same command {then}"
    events.event("end", step=start.step, exit_code=EXIT_STOPPED, pid=os.getpid(), steps=start.done, made=0)
    tell("stopped", code=EXIT_STOPPED, steps=0, checkpoint=name, words=words)
    if processes.rank() == 0:
        print(words, file=sys.stderr, flush=True)
    return EXIT_STOPPED
