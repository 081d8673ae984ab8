"""Which checkpoint to resume from, and which would be taken in its place."""

from __future__ import annotations

from pathlib import Path

from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.records import Checkpoint
from trainguard.facts.checkpoint.verify import verify


def latest_verified_checkpoint(output_dir: str | Path) -> Path | None:
    """The newest checkpoint in `output_dir` that verifies, by number; None where there is none.

    The Trainer's own choice, `get_last_checkpoint`, is the highest number whether it is whole or not (transformers
    5.23, trainer_utils.py:270; tested against). Folders that come or go meanwhile are no error.
    """
    root = Path(output_dir)
    try:
        folders = checkpoint_folders(root)
    except OSError:
        return None
    for folder in reversed(folders):
        if verify(folder, root).verified:
            return folder
    return None


def broken_and_newer(output_dir: Path) -> list[Checkpoint]:
    """The checkpoints that a Trainer would rather take than the newest verified one, and that are broken."""
    found: list[Checkpoint] = []
    try:
        folders = checkpoint_folders(output_dir)
    except OSError:
        return found
    for folder in reversed(folders):
        one = verify(folder, output_dir)
        if one.verified:
            break
        if one.broken:
            found.append(one)
    return found
