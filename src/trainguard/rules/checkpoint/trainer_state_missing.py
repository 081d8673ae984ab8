"""CKPT003: a checkpoint has no trainer_state.json."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.checkpoint._broken import BrokenCheckpointRule
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, state


class TrainerStateMissing(BrokenCheckpointRule):
    """A checkpoint has no trainer_state.json.

    *What it does*

    Fires where everything of a checkpoint is there but trainer_state.json.

    *Why it costs you*

    The Trainer writes this file last, so its absence says that the save did not reach its end. It fails on such a
    folder, and `resume_from_checkpoint=True` chooses it all the same when its number is the highest.

    *Example*

    `out/checkpoint-20/` holds weights, optimizer and scheduler, and no trainer_state.json.

    *Use instead*

    Resume from the checkpoint that the finding names.
    """

    code = "CKPT003"
    name = "trainer-state-missing"
    severity = "error"
    kind = "trainer-state-missing"

    VALID = (
        Example(files=saved(10), check=OUT, why="It is there."),
        Example(
            files=saved(10) | {"out/trainer_state.json": state(10)},
            check=OUT,
            why="`trainer.save_state()` writes one into the output folder too.",
        ),
    )
    INVALID = (
        Example(
            files=saved(10) | saved(20, without=("trainer_state.json",)),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: trainer_state.json is missing; the Trainer fails on it; resume from checkpoint-10, "
                    "the newest that verifies",
                ),
            ),
        ),
        Example(
            files=saved(20, without=("trainer_state.json",)),
            check={"path": "out/checkpoint-20"},
            findings=(
                (
                    None,
                    "checkpoint-20: trainer_state.json is missing; the Trainer fails on it; resume from another "
                    "checkpoint",
                ),
            ),
        ),
    )
