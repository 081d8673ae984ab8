"""CKPT002: a checkpoint folder is empty."""

from __future__ import annotations

from trainguard.rules._example_files import folder
from trainguard.rules.base import Example
from trainguard.rules.checkpoint._broken import BrokenCheckpointRule
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved


class EmptyFolder(BrokenCheckpointRule):
    """A checkpoint folder holds no file.

    *What it does*

    Fires for a folder `checkpoint-<step>` without any file that is newer than the newest checkpoint that verifies, and
    for every empty one where none verifies.

    *Why it costs you*

    The Trainer makes the folder first and fills it then. `resume_from_checkpoint=True` takes the highest number, empty
    or not, and fails with "Can't find a valid checkpoint", while a good checkpoint stands beside it.

    *Example*

    `out/checkpoint-20/` has no files, and `out/checkpoint-10/` is whole.

    *Use instead*

    Resume from the checkpoint that the finding names, or set the empty folder aside with
    `trainguard checkpoint quarantine out`.
    """

    code = "CKPT002"
    name = "empty-folder"
    severity = "error"
    kind = "empty-folder"

    VALID = (
        Example(files=saved(10) | saved(20), check=OUT, why="Both are whole."),
        Example(
            files={"out/checkpoint-10": folder()} | saved(20),
            check=OUT,
            why="A Trainer takes the highest number, which is whole.",
        ),
    )
    INVALID = (
        Example(
            files=saved(10) | {"out/checkpoint-20": folder()},
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: it holds no file; the Trainer takes the highest number and fails on it; resume "
                    "from checkpoint-10, the newest that verifies",
                ),
            ),
        ),
        Example(
            files={"out/checkpoint-10": folder()},
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-10: it holds no file; the Trainer takes the highest number and fails on it; it is the "
                    "only checkpoint here, so the run has to start anew",
                ),
            ),
        ),
    )
