"""After a crash: rows and files are brought together, so that no file is without a row and no row without its file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.findings import Finding
from trainguard.queue import intake, settled
from trainguard.queue.accepting import redo
from trainguard.queue.codes import queue_finding
from trainguard.queue.custody import Custody
from trainguard.queue.hashing import OnProgress, hash_file, nothing
from trainguard.queue.names import shown
from trainguard.queue.records import ENDED, LEASED, Counted, QueuedFile
from trainguard.queue.sidecars import FILES, keep_word, read_sidecar, sidecars_of, write_sidecar

if TYPE_CHECKING:
    from trainguard.queue.store import Incoming, Queue

_HASH_CHARACTERS = 64
# To ask for so many rows by their numbers takes as long as to read a table of a thousand.
_FEW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What was done: `redone` came from an interrupted intake, `found` had no row, `missing` no content, `settled` no
    folder where people look. The findings stand in the queue's events already."""

    redone: tuple[QueuedFile, ...] = ()
    found: tuple[QueuedFile, ...] = ()
    missing: tuple[QueuedFile, ...] = ()
    settled: tuple[QueuedFile, ...] = ()
    findings: tuple[Finding, ...] = ()


def reconcile(custody: Custody, queue: Queue, *, tick: OnProgress = nothing) -> Reconciled:
    """Brings them together. For the start of a daemon, by whoever holds its lock. Idempotent; never raises OSError."""
    accepted = redo(custody, queue, tick=tick)
    findings = list(accepted.findings)
    # Another process (`trainguard queue add`) between its custody and its row: what looks lost has an owner.
    busy = intake.live(custody.home)
    rows = queue.census()
    found = () if busy else _found(custody, queue, rows, findings, tick=tick)
    going = _whole(queue, [row for row in rows if row.state not in ENDED and row.state not in LEASED])
    missing = _missing(custody, queue, going, findings)
    _keep_words(custody, going)
    shown_again = _settled(custody, queue, rows)
    return Reconciled(
        redone=accepted.files,
        found=tuple(found),
        missing=tuple(missing),
        settled=tuple(shown_again),
        findings=tuple(findings),
    )


def _found(
    custody: Custody, queue: Queue, rows: Sequence[Counted], findings: list[Finding], *, tick: OnProgress
) -> list[QueuedFile]:
    """Contents without any row: accepted as found, but for those that had ended, which must not be trained twice."""
    known = {row.sha256 for row in rows}
    found: list[QueuedFile] = []
    for sha256 in _names(custody.home / FILES):
        if sha256 in known or len(sha256) != _HASH_CHARACTERS:
            continue
        folder = custody.home / FILES / sha256
        for incoming in _incoming(folder, findings, tick=tick):
            file, new = queue.accept_many([incoming])[0]
            if new:
                found.append(file)
                _say(
                    queue,
                    findings,
                    queue_finding(
                        "QUEUE008",
                        f"{shown(file.name)} lay in custody without a row of the queue; it is file {file.id} now "
                        "and waits "
                        "for its turn",
                        severity="warn",
                    ),
                    file.id,
                )
            _sidecar(custody, file)
    return found


def _incoming(folder: Path, findings: list[Finding], *, tick: OnProgress) -> list[Incoming]:
    from trainguard.queue.store import Incoming

    names = [name for name in _names(folder) if not name.startswith(".") and (folder / name).is_file()]
    if not names:
        return []
    try:
        digest, size = hash_file(folder / names[0], tick=tick)
    except OSError:
        return []
    if digest != folder.name:
        findings.append(
            queue_finding(
                "QUEUE002",
                f"{folder / names[0]} has no row of the queue and another content than its folder says; it is left "
                "there: "
                "put it into the inbox if it is to be trained",
                severity="warn",
            )
        )
        return []
    sidecars = sidecars_of(folder)
    if not sidecars:
        return [Incoming(name=names[0], sha256=digest, size=size, origin=f"custody:{digest}/{names[0]}")]
    ended = [each for each in sidecars if each.state in ENDED]
    if ended:
        findings.append(
            queue_finding(
                "QUEUE008",
                f"{shown(ended[0].name)} lies in custody as {ended[0].state}, and the queue knows nothing of it; it "
                "is not "
                "trained again: put it into the inbox if it is to be",
                severity="warn",
            )
        )
        return []
    return [
        Incoming(name=each.name, sha256=digest, size=size, origin=each.origin, priority=each.priority)
        for each in sorted(sidecars, key=lambda each: each.accepted_at)
    ]


def _keep_words(custody: Custody, files: Sequence[QueuedFile]) -> None:
    """What is held has to be known to a queue that is rebuilt, and a kill may have left it unsaid."""
    for file in files:
        if file.state != "held":
            continue
        known = read_sidecar(custody.home, file)
        if known is not None and known.state != "held":
            keep_word(custody.home, file)


def _missing(custody: Custody, queue: Queue, files: Sequence[QueuedFile], findings: list[Finding]) -> list[QueuedFile]:
    """Rows that wait and whose content is gone. What is being worked on is for its worker to find out."""
    missing = []
    for file in files:
        if custody.find(file) is not None:
            continue
        if settled.bring_back(custody.home, file, custody.path_of(file.sha256, file.name)) is not None:
            continue
        if custody.home.joinpath(FILES).is_dir() is False and not _names(custody.home):
            break  # the whole folder does not answer or is another one: that says nothing about one file
        try:
            cause = custody.verify(file) or "it is not in custody any more"
        except OSError:
            break  # as before
        finding = queue_finding("QUEUE001", cause, severity="error", path=shown(file.name))
        missing.append(queue.cancel(file.id, f"QUEUE001: {cause}"))
        _say(queue, findings, finding, file.id)
    return missing


def _settled(custody: Custody, queue: Queue, rows: Sequence[Counted]) -> list[QueuedFile]:
    """Ended files whose folder was not made before the crash."""
    # By their numbers: to make ten thousand safe names takes longer than all the rest of a start.
    there = {state: {name.partition("-")[0]: name for name in _names(custody.home / state)} for state in ENDED}
    contents = set(_names(custody.home / FILES))
    again = []
    unseen = []
    for row in rows:
        if row.state not in ENDED or row.sha256 not in contents:  # pruned
            continue
        name = there[row.state].get(str(row.id))
        if name is None or not (row.state == "done" or (custody.home / row.state / name / settled.REASON).exists()):
            unseen.append(row)
    for file in _whole(queue, unseen):
        if file.state not in ENDED or custody.find(file) is None:
            continue
        try:
            custody.settle(file, events=queue.events(file.id))
        except OSError:
            continue
        again.append(file)
    return again


def _whole(queue: Queue, rows: Sequence[Counted]) -> list[QueuedFile]:
    """The files of some rows, in their order: one by one where they are few."""
    if len(rows) <= _FEW:
        return [file for row in rows if (file := queue.get(row.id)) is not None]
    files = {file.id: file for file in queue.list()}
    return [files[row.id] for row in rows if row.id in files]


def _say(queue: Queue, findings: list[Finding], finding: Finding, file_id: int) -> None:
    findings.append(finding)
    queue.event("finding", file_id=file_id, finding=finding.to_dict())


def _sidecar(custody: Custody, file: QueuedFile) -> None:
    try:
        write_sidecar(custody.home, file)
    except OSError:
        return


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
