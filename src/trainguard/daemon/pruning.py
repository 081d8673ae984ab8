"""What the configuration does not keep is removed: once an hour, and when a full disk makes the queue wait.

Beside the loop. Trained files beyond `queue.keep_done…` go from custody; on a full disk checkpoints beyond `save.keep`
go too. A run prunes those by itself, but not one that was killed, nor one from before `save.keep` was lowered.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.checkpoints import remove
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.lineage import tip_of
from trainguard.daemon.lock import lock_holder
from trainguard.daemon.settings import Settings
from trainguard.facts.checkpoint.prunable import prunable
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.queue.custody import Custody
from trainguard.queue.records import ENDED
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

_PRUNE_SECONDS = 3600.0
_LOCK = "trainguard/writer.lock"
_STATE = "trainer_state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What went: names of checkpoints, the number of trained files, and the bytes of both."""

    checkpoints: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        parts = [f"{', '.join(self.checkpoints)} (beyond save.keep)"] if self.checkpoints else []
        parts += [f"{self.files:,} trained files (beyond queue.keep_done)"] if self.files else []
        return f"{' and '.join(parts)}, {self.bytes / 1e6:,.1f} MB in all" if parts else "nothing"


class Pruning:
    """Once an hour, where the configuration sets a limit at all."""

    def __init__(self, queue: Queue, custody: Custody) -> None:
        self._queue = queue
        self._custody = custody
        self._due = Every(_PRUNE_SECONDS)
        self.job: Background[Any] | None = None

    def tick(self, settings: Settings) -> None:
        """Begins it when it is due. Raises what it raised."""
        if self.job is not None:
            if self.job.done:
                job, self.job = self.job, None
                job.result()
            return
        run = settings.run.queue
        keep, days, gigabytes = run.keep_done, run.keep_done_days, run.keep_done_gb
        if (days is not None or gigabytes is not None) and self._due.due():
            queue, custody = self._queue, self._custody
            self.job = Background(lambda: custody.prune(queue, keep=keep, days=days, gigabytes=gigabytes), "prune")


def make_room(settings: Settings, custody: Custody, queue: Queue) -> Freed:
    """Removes what the configuration does not keep, and nothing else. Raises what the queue raises."""
    run = settings.run.queue
    pruned = custody.prune(queue, keep=run.keep_done, days=run.keep_done_days, gigabytes=run.keep_done_gb)
    names, count = _remove_checkpoints(settings, queue)
    freed = Freed(checkpoints=tuple(names), files=len(pruned.files), bytes=pruned.bytes + count)
    if freed.bytes:
        logger.warning("the disk of %s is full: %s went", settings.output_dir, freed)
        queue.event("freed", cause=f"{freed} went for a full disk", bytes=freed.bytes, checkpoints=names)
    return freed


def _remove_checkpoints(settings: Settings, queue: Queue) -> tuple[list[str], int]:
    """Those beyond `save.keep`, the oldest first, while no run writes here, and none that anything may go back to."""
    keep, output = settings.run.save.keep, settings.output_dir
    if keep is None or _is_written(output):
        return [], 0
    names, count = [], 0
    for folder in prunable(output, keep=keep, protected=list(_needed(output, queue))):
        size = _bytes_of(folder)
        try:
            remove(folder)
        except OSError as error:
            logger.warning("%s could not be deleted: %s", folder, error)
            continue
        names.append(folder.name)
        count += size
    return names, count


def _needed(output: Path, queue: Queue) -> Iterator[Path]:
    """Where files began that are not at their end, and what any Trainer has called its best."""
    tip = tip_of(output)
    files = (file.step_before for file in queue.list() if file.state not in ENDED)
    for step in (tip.step, tip.step_before, *files):
        if step is not None:
            yield output / f"checkpoint-{step}"
    for folder in checkpoint_folders(output):
        try:
            state = json.loads((folder / _STATE).read_bytes())
            best = state.get("best_model_checkpoint")
        except (OSError, ValueError, RecursionError, AttributeError):
            yield folder  # not a Trainer's, or one that cannot be asked: let be
            continue
        if isinstance(best, str):
            yield output / os.path.basename(os.path.normpath(best))


def _is_written(output: Path) -> bool:
    """Whether a run holds its lock on the folder (train/run_lock.py), or that cannot be told."""
    try:
        descriptor = os.open(output / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return lock_holder(descriptor)[0]
    finally:
        os.close(descriptor)


def _bytes_of(folder: Path) -> int:
    """What it takes on the disk, holes left out."""
    return sum(_allocated(Path(root, name)) for root, _, names in os.walk(folder) for name in names)


def _allocated(path: Path) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
