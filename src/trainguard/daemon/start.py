"""From nothing to a daemon that serves: the lock, the queue, what a dead predecessor left, and its files."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from trainguard.daemon import acting
from trainguard.daemon.attempt import Attempt
from trainguard.daemon.background import Background
from trainguard.daemon.child import Ended, end_leftovers, read_result
from trainguard.daemon.clock import Moment
from trainguard.daemon.commanding import attempt_folder
from trainguard.daemon.keeping import Work
from trainguard.daemon.lineage import Tip, tip_of
from trainguard.daemon.lock import DaemonLock
from trainguard.daemon.nanny import PROCESS
from trainguard.daemon.placing import arrive
from trainguard.daemon.progress import last_step
from trainguard.daemon.settings import Settings
from trainguard.daemon.witness import Witness
from trainguard.queue.custody import AwayError, Custody
from trainguard.queue.engine import QueueBusyError, QueueCorruptError
from trainguard.queue.place import Place
from trainguard.queue.rebuild import recover_queue
from trainguard.queue.records import RELEASED, Happened, Lease
from trainguard.queue.store import Queue, open_queue
from trainguard.recovery.classify import classify
from trainguard.recovery.decide import decide

logger = logging.getLogger(__name__)

LOG = "daemon.log"
# A daemon that dies again and again while the same file trains, and no checkpoint comes: the file (or the machine) does
# it, and the others wait. Long before that the run would have been ended for memory by itself.
_MOST_DEATHS = 10
# How long one call of the loop waits for a database that others keep locked, or a server that does not answer: what it
# wanted is done at a later turn. The watchdog, signals and the deadlines of the run must not wait for a backup.
_BUSY_SECONDS = 2.0
# How long a daemon that starts waits for it in all.
_START_SECONDS = 120.0
# A folder that is away is looked for so often, for as long as it takes.
_AWAY_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a daemon starts with. `leftovers` is the ending of processes of a dead predecessor, beside the loop."""

    queue: Queue
    custody: Custody
    adopted: list[Lease]
    leftovers: Background[Any]
    words: str | None = None
    findings: tuple[dict[str, Any], ...] = field(default=())


def log_path(settings: Settings) -> Path:
    """Where the daemon writes down what it does."""
    return settings.lock_folder / LOG


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[DaemonLock]:
    """The lock, for as long as the daemon lives. Raises AlreadyRunningError (SYS009), and UsageError without locks."""
    lock = DaemonLock(settings.lock_folder)
    lock.take()
    try:
        yield lock
    finally:
        lock.release()


def begin(settings: Settings, *, lease_seconds: float, place: Place | None = None) -> Begun:
    """Opens the queue (rebuilt where it is broken), puts rows and files in order, and takes up what was in training.

    Only under the lock. `place` is the folder as it was known before. Raises UsageError where the queue cannot be
    opened at all, and AwayError where its folder is another one now: nothing is made then.
    """
    place = place if place is not None else Place(settings.home)
    if (why := place.away()) is not None:
        raise AwayError(why, alone=False)
    try:
        return _begun(settings, place, *_open(settings, lease_seconds))
    except QueueCorruptError as error:
        # At its opening, or where only a page is damaged that nobody asked for then.
        logger.error("%s; it is rebuilt from the folders", error.why)
        return _begun(settings, place, *_rebuilt(settings, lease_seconds))


def begin_patiently(
    settings: Settings, *, lease_seconds: float, ended: Callable[[], bool], alive: Callable[[], object]
) -> Begun | None:
    """As `begin`, again while others keep the database locked; None where `ended` says so. `alive` is called often.

    Raises QueueBusyError after two minutes, and what `begin` raises.
    """
    until = time.monotonic() + _START_SECONDS
    said, locked = "", False
    while True:
        alive()
        if ended():
            return None
        try:
            return begin(settings, lease_seconds=lease_seconds)
        except QueueBusyError as error:
            if time.monotonic() > until:
                raise
            if not locked:
                logger.warning("%s; tried again for %.0f s", error, _START_SECONDS)
            locked = True
        except AwayError as error:
            if said != (said := str(error)):
                logger.error("the daemon waits: %s", said)
            time.sleep(_AWAY_SECONDS)


def _begun(settings: Settings, place: Place, queue: Queue, words: str | None) -> Begun:
    try:
        arrive(settings, queue, place)
        custody = Custody(settings.home, place)
        leftovers = end_leftovers_of(settings, queue)
        done = custody.reconcile(queue)
        parts = [words] if words else []
        for number, what in ((len(done.redone), "interrupted intakes ended"), (len(done.found), "files found")):
            parts += [f"{number} {what}"] if number else []
        adopted = queue.adopt()
    except BaseException:
        queue.close()
        raise
    return Begun(queue=queue, custody=custody, adopted=adopted, leftovers=leftovers, words="; ".join(parts) or None)


def _open(settings: Settings, lease_seconds: float) -> tuple[Queue, str | None]:
    queue = open_queue(
        settings.home,
        lineage=settings.lineage,
        owner=settings.owner,
        database_url=settings.database_url,
        max_wait_hours=settings.run.queue.max_wait_hours,
        lease_seconds=lease_seconds,
        busy_seconds=_BUSY_SECONDS,
    )
    return queue, None


def _rebuilt(settings: Settings, lease_seconds: float) -> tuple[Queue, str | None]:
    queue, rebuilt = recover_queue(
        settings.home,
        lineage=settings.lineage,
        owner=settings.owner,
        max_wait_hours=settings.run.queue.max_wait_hours,
        lease_seconds=lease_seconds,
        busy_seconds=_BUSY_SECONDS,
    )
    logger.warning("%s", rebuilt.finding.message)
    return queue, rebuilt.finding.message


def end_leftovers_of(settings: Settings, queue: Queue) -> Background[Any]:
    """Ends what runs of a dead daemon have left, beside the loop: a process may wait in the kernel."""
    files = queue.list(states=("training", "verifying"))
    folders = [attempt_folder(settings, each, each.attempts) for each in files]
    job = Background(lambda: end_leftovers(settings.home, folders), "leftovers")
    job.wait(2.0)
    return job


def adopt(work: Work, lease: Lease) -> Attempt | None:
    """Goes on with a file that was another daemon's; an attempt where there is something left to look at."""
    file = lease.file
    match file.state:
        case "checking":
            work.queue.move_to(lease, "accepted", cause="the daemon was ended while it checked the file")
        case "verifying":
            return Attempt.verify(work, lease, Tip())
        case _:
            _after_its_end(work, lease)
    return None


def _after_its_end(work: Work, lease: Lease) -> None:
    """A run whose daemon died. An end of its own that was written down counts; else it died too."""
    folder = attempt_folder(work.settings, lease.file, lease.file.attempts)
    ended = read_result(folder)
    own_end = ended is not None and ended.asked is None and not ended.rebooted
    if ended is not None and own_end and ended.exit_code != 0:
        _judge(work, lease, folder, ended)
    else:
        _take_up_again(work, lease, ended)


def _judge(work: Work, lease: Lease, folder: Path, ended: Ended) -> None:
    evidence = Witness(work.settings.output_dir).evidence(ended, folder=folder)
    failure = classify(evidence)
    if failure is None:
        _take_up_again(work, lease, ended)
        return
    how = acting.Ended(
        number=lease.file.attempts,
        started=_started(folder) or time.time(),
        seconds=ended.seconds,
        exit_code=ended.exit_code,
        signal=ended.signal,
        last_step=lease.file.step,
        changes={},
    )
    limits = msgspec.structs.replace(work.settings.limits, step_before=lease.file.step_before)
    decision = decide(failure, acting.remembered(acting.history_of(lease.file), how, failure, None), limits)
    file = acting.act(work.queue, lease, how, failure, decision)
    if file.state in ("failed", "quarantined"):
        with contextlib.suppress(OSError):
            work.custody.settle(file)


def _take_up_again(work: Work, lease: Lease, ended: Ended | None) -> None:
    """Nothing is held against the file, unless its daemon dies with it again and again."""
    file, memory = lease.file, dict(lease.file.memory)
    step = tip_of(work.settings.output_dir).step
    told = memory.get(acting.ADOPTED)
    before = told if isinstance(told, dict) else {}
    deaths = 1
    rebooted = ended is not None and ended.rebooted
    released = memory.get(RELEASED)
    same = (before.get("step"), before.get("released")) == (step, released)
    if same and isinstance(before.get("deaths"), int):
        deaths = before["deaths"] + (0 if rebooted else 1)
    memory[acting.ADOPTED] = {"deaths": deaths, "step": step, "released": released}
    seen = last_step(work.settings.output_dir)
    reached = max(seen, file.step or 0) if seen is not None else file.step
    if acting.FAULT not in memory:
        memory[acting.FAULT] = {
            **Moment.now().plain(),
            "step": reached,
            "kind": "killed",
            "code": "RUN012",
        }
    how = "the machine was started anew" if rebooted else "its daemon was ended"
    at = f"; it goes on from the checkpoint of step {step:,}" if step is not None else ""
    event = Happened(
        kind="attempt-end",
        attempt=file.attempts,
        cause=how,
        data={
            "exit_code": ended.exit_code if ended is not None else None,
            "signal": ended.signal if ended is not None else None,
            "seconds": ended.seconds if ended is not None else None,
            "last_step": reached,
            "verified_step": step,
            "failure": {"kind": "killed", "code": "RUN012", "why": how},
            "decision": None,
        },
    )
    if deaths > _MOST_DEATHS:
        words = (
            f"RUN012 the daemon died {deaths:,} times while this file trained, and no new checkpoint came; look into "
            f"{log_path(work.settings)} and the machine's log, then run: trainguard queue release {file.id}"
        )
        work.queue.move_to(lease, "held", cause=words, event=event, memory=memory)
        return
    words = f"RUN012 {how} while this file was in training{at}"
    work.queue.move_to(lease, "waiting", cause=words, event=event, memory=memory)
    with contextlib.suppress(Exception):
        work.queue.move(file.id, first=True)


def _started(folder: Path) -> float | None:
    try:
        said = json.loads((folder / PROCESS).read_bytes())
        return float(said["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
