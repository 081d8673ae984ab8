"""Which checkpoints may go: the oldest beyond the number to keep, and never one that is needed.

Needed are the two newest that are whole, the best one, and what is protected by name (the base of a running job). A
checkpoint that does not verify is neither counted nor deleted: it may be one that another process writes at this
moment, and it may be all that is left of a run.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.verify import verify

# With one, a fault in the newest (bytes that rot, a poisoned state) leaves nothing to fall back to.
ALWAYS_KEPT = 2


def is_whole(folder: Path, output_dir: Path) -> bool:
    """Whether every byte that was saved is there.

    More than the verified ones are whole: saves without an optimizer (save_only_model) are, and a Trainer cannot take
    them up.
    """
    found = verify(folder, output_dir)
    return found.verified or (found.manifest is not None and not found.broken)


def prunable(
    output_dir: Path,
    *,
    keep: int,
    protected: Collection[Path] = (),
    saved: Mapping[str, int] | None = None,
    pending: Collection[str] = (),
) -> list[Path]:
    """The checkpoints that may be deleted so that `keep` remain, oldest first.

    `saved` tells the order in which this run saved, by name (older runs' come before, by step). `pending` are names of
    saves without their manifest yet: they are let be and not counted. Raises nothing for what is on the disk.
    """
    try:
        folders = [each for each in checkpoint_folders(output_dir) if each.name not in pending]
    except OSError:
        return []
    if len(folders) <= max(keep, ALWAYS_KEPT):
        return []
    order = saved or {}
    whole = [each for each in folders if is_whole(each, output_dir)]
    by_age = sorted(whole, key=lambda each: (order.get(each.name, -1), whole.index(each)))
    # Highest numbers and newest saves are the same but where a run began again beside older checkpoints.
    needed = {os.path.realpath(each) for each in (*whole[-ALWAYS_KEPT:], *by_age[-ALWAYS_KEPT:], *protected)}
    free = [each for each in by_age if os.path.realpath(each) not in needed]
    return free[: max(len(whole) - keep, 0)]
