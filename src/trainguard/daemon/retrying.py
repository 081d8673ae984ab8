"""Takes up again what failed, or says that there is nothing to take up (QUEUE007)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.findings import Finding
from trainguard.queue.codes import queue_finding
from trainguard.queue.custody import Custody
from trainguard.queue.names import shown
from trainguard.queue.records import QueuedFile

if TYPE_CHECKING:
    from trainguard.queue.store import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The files that are accepted anew, and what is to be said. `problems` are folders that could not be removed."""

    files: tuple[QueuedFile, ...] = ()
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()


def retry(queue: Queue, home: Path, chosen: Sequence[QueuedFile] | None = None) -> Retried:
    """Takes up `chosen`, or all that failed or was quarantined. Where there is none of it, nothing is changed.

    A file is in the queue again before its folder goes: a kill in between leaves a folder too many, and no file is
    lost. Raises what the database raises.
    """
    asked = queue.list(states=("failed", "quarantined")) if chosen is None else list(chosen)
    ready = [each for each in asked if each.state in ("failed", "quarantined")]
    if not ready:
        return Retried(findings=(_nothing(queue, asked),))
    files, problems = [], []
    for each in ready:
        again = queue.retry(each.id)
        files.append(again)
        try:
            Custody(home).restore(again)
        except OSError as error:
            problems.append(f"the folder of file {each.id} beside its reason stays: {error.strerror or error}")
    return Retried(files=tuple(files), problems=tuple(problems))


def _nothing(queue: Queue, asked: Sequence[QueuedFile]) -> Finding:
    counts: dict[str, int] = {state: number for state, number in queue.counts().items() if number}
    there = ", ".join(f"{number:,} {state}" for state, number in counts.items()) or "none"
    if asked:
        one = asked[0]
        what = f"file {one.id} ({shown(one.name)}) is {one.state}, and only what failed or was quarantined is"
    else:
        what = "no file failed or was quarantined"
    return queue_finding(
        "QUEUE007", f"nothing to retry: {what}; of all files there are {there}: trainguard queue list", evidence=counts
    )
