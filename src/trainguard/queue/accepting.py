"""From the inbox into the queue: what is ready is brought into custody, gets its row, and only then leaves the
inbox."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trainguard.durable import sync_folder
from trainguard.errors import UsageError
from trainguard.findings import Finding
from trainguard.queue import intake, saying
from trainguard.queue.custody import Custody, Kept
from trainguard.queue.hashing import OnProgress, nothing
from trainguard.queue.inbox import Candidate, Inbox, Look
from trainguard.queue.intake import Batch, ChangedError, Entry, Identity, Wanted
from trainguard.queue.names import is_awkward, is_training_name, safe_name, shown, text_of
from trainguard.queue.records import Priority, QueuedFile
from trainguard.queue.sidecars import FILES, write_sidecar
from trainguard.queue.whole_sync import LEAST_FILES, WholeSync
from trainguard.queue.writers import writers_of

if TYPE_CHECKING:
    from trainguard.queue.store import Queue

# A batch shares its journal and its syncs of folders; a crash in it costs reading its files once more.
_BATCH_FILES = 256
_BATCH_BYTES = 1 << 30
# Names of earlier files are looked up for a QUEUE003 in batches up to this size only: a crowd is no accident.
_NAMED_FILES = 64


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What one turn brought. `again` counts files that had their row from before a crash; `look` is what was seen.

    The findings stand in the queue's events already.
    """

    files: tuple[QueuedFile, ...] = ()
    again: int = 0
    findings: tuple[Finding, ...] = ()
    look: Look = field(default_factory=Look)


@dataclass(slots=True)
class _Turn:
    custody: Custody
    queue: Queue
    tick: OnProgress
    inbox: Inbox | None = None
    files: list[QueuedFile] = field(default_factory=list)
    again: int = 0
    findings: list[Finding] = field(default_factory=list)
    stopped: bool = False

    def say(self, finding: Finding, file_id: int | None = None) -> None:
        self.findings.append(finding)
        self.queue.event("finding", file_id=file_id, finding=finding.to_dict())

    def result(self, look: Look | None = None) -> Accepted:
        return Accepted(files=tuple(self.files), again=self.again, findings=tuple(self.findings), look=look or Look())


def accept_ready(inbox: Inbox, custody: Custody, queue: Queue, *, tick: OnProgress = nothing) -> Accepted:
    """Looks at the inbox once and accepts what is ready, in the order of its coming.

    `tick` is called at every block that is read, so that a caller with a watchdog can go on living. Never raises
    OSError; what the queue raises goes through, and the files are accepted at the next call.
    """
    turn = _Turn(custody=custody, queue=queue, tick=tick, inbox=inbox)
    _redo(turn)
    look = inbox.look()
    for finding in look.findings:
        turn.say(finding)
    for part in _parts(look.ready):
        if turn.stopped:
            break
        _accept(turn, part)
    return turn.result(look)


def accept_path(
    path: Path,
    priority: Priority,
    custody: Custody,
    queue: Queue,
    *,
    copy: bool = True,
    tick: OnProgress = nothing,
) -> Accepted:
    """Accepts one file that a person names; `copy` False moves it instead. A link is followed: it was named.

    Raises UsageError where it is no training file, cannot be read or kept, or is still being written.
    """
    turn = _Turn(custody=custody, queue=queue, tick=tick)
    name = shown(path)
    try:
        real = Path(os.path.realpath(path, strict=True))
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        found = os.fstat(descriptor)
        writers = writers_of(descriptor, real.name)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{name}: is no regular file, so it cannot be queued; name a file of training data")
    if not is_training_name(path.name):
        raise UsageError(
            f"{name}: the ending is none of training data (.jsonl, .json, .parquet, .csv, .txt, ...); rename it"
        )
    if writers.writing:
        raise UsageError(f"{name}: {writers} has it open for writing; add it when it is whole")
    wanted = Wanted(
        path=real,
        name=text_of(path.name),
        identity=Identity.of(found),
        origin=f"add:{secrets.token_hex(8)}:{text_of(path.name)}",
        priority=priority,
        remove=not copy,
    )
    try:
        batch = intake.begin(custody.home, [wanted])
    except OSError as error:
        raise UsageError(f"{name}: cannot be kept in {custody.home}: {error.strerror or error}") from None
    try:
        intake.fetch(batch, batch.entries[0], tick=tick)
        _finish(turn, batch)
    except ChangedError as error:
        raise UsageError(f"{name}: {error}; add it when it is whole") from None
    except OSError as error:
        raise UsageError(f"{name}: cannot be kept in {custody.home}: {error.strerror or error}") from None
    finally:
        batch.finish()
    return turn.result()


def redo(custody: Custody, queue: Queue, *, tick: OnProgress = nothing) -> Accepted:
    """Accepts what processes that are dead now were taking in. Idempotent. Never raises OSError."""
    turn = _Turn(custody=custody, queue=queue, tick=tick)
    _redo(turn)
    return turn.result()


def _redo(turn: _Turn) -> None:
    if turn.inbox is not None:
        turn.inbox.close_abandoned()
    for batch in intake.unfinished(turn.custody.home):
        try:
            for entry in list(batch.entries):
                try:
                    if os.path.lexists(batch.place_of(entry)):
                        intake.recheck(batch, entry)
                except ChangedError:
                    batch.entries.remove(entry)
            _finish(turn, batch, again=True)
        except OSError as error:
            _refused(turn, batch.journal, error)
        finally:
            batch.finish()


def _accept(turn: _Turn, candidates: Sequence[Candidate]) -> None:
    inbox = turn.inbox
    assert inbox is not None
    wanted = [
        Wanted(path=each.path, identity=each.identity, origin=each.origin, priority=each.priority)
        for each in candidates
    ]
    try:
        batch = intake.begin(turn.custody.home, wanted)
    except OSError as error:
        turn.stopped = True
        _refused(turn, candidates[0].path, error)
        for each in candidates:
            inbox.refuse(each)
        return
    abandoned = False
    try:
        outcomes = _patiently(turn, lambda: _fetch(turn, batch, candidates))
        if outcomes is None:
            abandoned = turn.stopped = True
            inbox.abandon(batch)
            return
        for candidate, why in outcomes:
            _not_fetched(turn, candidate, why)
        # From here on what was renamed is out of the inbox for certain: no row stands for what could be there again.
        sync_folder(batch.folder)
        _finish(turn, batch)
    except OSError as error:
        turn.stopped = True
        _refused(turn, candidates[0].path, error)
    finally:
        if not abandoned:
            batch.finish()


Outcomes = list[tuple[Candidate, ChangedError | OSError]]


def _fetch(turn: _Turn, batch: Batch, candidates: Sequence[Candidate]) -> Outcomes:
    """Fetches all entries; what went wrong with which. Runs in a thread where the inbox lies on another machine."""
    outcomes: Outcomes = []
    full: OSError | None = None
    inbox = turn.inbox
    assert inbox is not None
    network = inbox.network
    for entry, candidate in zip(batch.entries, candidates, strict=True):
        if full is not None:
            outcomes.append((candidate, full))
            continue

        def tick() -> None:
            inbox.patience.tick()
            if not network:
                turn.tick()

        try:
            inbox.patience.tick()
            intake.fetch(batch, entry, leases=candidate.leases, tick=tick)
        except (ChangedError, OSError) as error:
            outcomes.append((candidate, error))
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                full = error
    return outcomes


def _not_fetched(turn: _Turn, candidate: Candidate, error: ChangedError | OSError) -> None:
    inbox = turn.inbox
    assert inbox is not None
    if isinstance(error, ChangedError):
        # Where several daemons serve one inbox it is another one's as a rule, whose row may not stand yet.
        if error.gone and turn.queue.database.sqlite:
            turn.say(saying.vanished(candidate.path))
        return
    if inbox.refuse(candidate):
        _refused(turn, candidate.path, error)


def _refused(turn: _Turn, path: Path, error: OSError) -> None:
    if turn.inbox is None or turn.inbox.is_new_trouble(error):
        turn.say(saying.not_taken(path, error, turn.custody.home))


def _finish(turn: _Turn, batch: Batch, *, again: bool = False) -> None:
    """Custody, row, sidecar, and then the original goes. Raises OSError. `again` when it may have been done before."""
    custody = turn.custody
    there = [entry for entry in batch.entries if os.path.lexists(batch.place_of(entry))]
    with custody.keeping():
        rows = _kept(turn, batch, there) if there else []
    for entry, (file, new) in zip(there, rows, strict=True):
        _released(turn, batch, entry, again=again)
        custody.done(batch, entry)
        if new:
            turn.files.append(file)
            _remarks(turn, entry, file, alone=len(there) <= _NAMED_FILES)
        else:
            turn.again += 1


def _kept(turn: _Turn, batch: Batch, entries: Sequence[Entry]) -> list[tuple[QueuedFile, bool]]:
    """The rows of files that are in custody, each with its sidecar. What has a row was synced before it."""
    custody = turn.custody
    crowd = len(entries) >= LEAST_FILES
    whole = WholeSync.opened([custody.home, custody.home / FILES, batch.folder]) if crowd else None
    try:
        kept = [custody.keep(batch, entry, sync=whole is None, tick=turn.tick) for entry in entries]
        if whole is not None:
            whole.sync()
        rows = _rows(turn, kept)
        for file, _ in rows:
            write_sidecar(custody.home, file, sync=False, sync_content=whole is None)
        if whole is not None:
            whole.sync()
        else:
            for each in kept:
                custody.sync(each, parent=False)
            custody.sync_files()
    finally:
        if whole is not None:
            whole.close()
    return rows


def _rows(turn: _Turn, kept: Sequence[Kept]) -> list[tuple[QueuedFile, bool]]:
    from trainguard.queue.store import Incoming

    if not kept:
        return []
    return turn.queue.accept_many(
        Incoming(name=each.name, sha256=each.sha256, size=each.size, origin=each.origin, priority=each.priority)
        for each in kept
    )


def _released(turn: _Turn, batch: Batch, entry: Entry, *, again: bool) -> None:
    """Removes the original of a copy."""
    if not entry.remove or not entry.source:
        return
    place = batch.place_of(entry)
    found = os.lstat(place)
    if (found.st_dev, found.st_ino) == (entry.dev, entry.ino):
        return  # renamed: there is no original any more
    answer = _patiently(turn, lambda: [intake.release(batch, entry)])
    why = answer[0] if answer is not None else "the network mount does not answer"
    if why is None or (why == intake.GONE and again):
        return
    if why in (intake.OTHER, intake.GONE):
        turn.say(saying.moved(entry.path, why))
        return
    turn.say(saying.stays(entry.path, why))
    if turn.inbox is not None:
        turn.inbox.leave(entry.path, entry.identity)


def _remarks(turn: _Turn, entry: Entry, file: QueuedFile, *, alone: bool) -> None:
    if file.same_as is not None and file.state == "held":
        turn.say(saying.same_content(entry.name, file.cause or "", file.id, file.same_as), file.id)
    elif alone:
        earlier = [each for each in turn.queue.find(entry.name) if each.id < file.id and each.name == file.name]
        if earlier and all(each.sha256 != file.sha256 for each in earlier):
            turn.say(saying.same_name(entry.name, file.id, max(each.id for each in earlier)), file.id)
    if is_awkward(entry.name):
        turn.say(saying.awkward(entry.name, safe_name(entry.name)), file.id)


def _patiently(turn: _Turn, question: Callable[[], list[T]]) -> list[T] | None:
    """Asks what touches the inbox; in a thread with a deadline where that lies on another machine."""
    if turn.inbox is None or not turn.inbox.network:
        return question()
    return turn.inbox.patience.ask(question)


def _parts(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    part: list[Candidate] = []
    size = 0
    for candidate in candidates:
        if part and (len(part) == _BATCH_FILES or size + candidate.identity.size > _BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(candidate)
        size += candidate.identity.size
    if part:
        yield part
