"""How long trained files are kept. Failed, quarantined and held ones, and whatever is still to be trained, always
are."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from trainguard.durable import sync_folder
from trainguard.queue import settled
from trainguard.queue.custody import Custody
from trainguard.queue.records import QueuedFile
from trainguard.queue.sidecars import FILES

if TYPE_CHECKING:
    from trainguard.queue.store import Queue

_DAY_SECONDS = 86_400.0
_GIGABYTE = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed: rows whose content is gone now (the rows stay), and the bytes that became free."""

    files: tuple[QueuedFile, ...] = ()
    bytes: int = 0


def prune(
    custody: Custody,
    queue: Queue,
    *,
    keep: int,
    days: float | None = None,
    gigabytes: float | None = None,
    now: float | None = None,
) -> Pruned:
    """Removes the content of trained files that are older than `days` or, the oldest first, beyond `gigabytes` (10^9).

    The newest `keep` stay in any case, and a content that another row still needs. Without `days` and `gigabytes`
    nothing is removed. `now` is unix seconds. Never raises OSError: what cannot be removed stays.
    """
    if days is None and gigabytes is None:
        return Pruned()
    done = sorted(queue.list(["done"]), key=lambda file: (file.state_since, file.id), reverse=True)
    old = list(_beyond(custody, done, keep, days, gigabytes, time() if now is None else now))
    if not old:
        return Pruned()
    going = {file.id for file in old}
    rows = queue.list()
    known = {file.id for file in rows}
    needed = {file.sha256 for file in rows if file.id not in going and not _gone(custody, file)}
    removed: list[QueuedFile] = []
    freed = 0
    for file in old:
        settled.remove(custody.home, file)
        if file.sha256 in needed:
            continue
        with custody.removing() as alone:
            # Since the rows were read somebody may have put the same content into the inbox, and found it here.
            again = not alone or any(each.id not in known for each in queue.with_content(file.sha256))
            size = _remove_content(custody, file) if not again else None
        if size is not None:
            freed += size
            removed.append(file)
            queue.event("pruned", file_id=file.id, bytes=size)
    return Pruned(files=tuple(removed), bytes=freed)


def _beyond(
    custody: Custody, done: list[QueuedFile], keep: int, days: float | None, gigabytes: float | None, now: float
) -> list[QueuedFile]:
    """Which of the trained files, the newest first, are to go."""
    going = []
    total = 0
    counted: set[str] = set()
    kept = 0
    for file in done:
        if _gone(custody, file):
            continue
        size = 0 if file.sha256 in counted else file.bytes
        counted.add(file.sha256)
        too_old = days is not None and now - file.state_since > days * _DAY_SECONDS
        too_much = gigabytes is not None and total + size > gigabytes * _GIGABYTE
        if kept >= keep and (too_old or too_much):
            going.append(file)
            continue
        kept += 1
        total += size
    return going


def _gone(custody: Custody, file: QueuedFile) -> bool:
    return file.state == "done" and custody.find(file) is None


def _remove_content(custody: Custody, file: QueuedFile) -> int | None:
    """Removes a content; its sidecars stay, for the history. The bytes that were freed, None where it was not there."""
    folder = custody.home / FILES / file.sha256
    freed: int | None = None
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            # A kill may have left a second name of the content under a temporary one.
            if not (name.startswith(".") and name.endswith(".json")):
                size = os.lstat(folder / name).st_size
                os.unlink(folder / name)
                freed = max(freed or 0, size)
        sync_folder(folder)
    return freed
