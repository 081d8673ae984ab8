"""CKPT008: the step of a checkpoint cannot be true."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.checkpoint._broken import BrokenCheckpointRule
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, state


class ImpossibleStep(BrokenCheckpointRule):
    """The step of a checkpoint cannot be true.

    *What it does*

    Fires where global_step is negative, differs from the number in the folder's name, or is smaller than a step that
    log_history already has.

    *Why it costs you*

    The Trainer skips as much of the data as global_step says and stops at max_steps: with a wrong number it trains
    parts of the data twice or not at all, and says nothing.

    *Example*

    `out/checkpoint-20/trainer_state.json` says `"global_step": 10`.

    *Use instead*

    Resume from the checkpoint that the finding names. Do not rename checkpoint folders.
    """

    code = "CKPT008"
    name = "impossible-step"
    severity = "error"
    kind = "impossible-step"

    VALID = (
        Example(files=saved(10), check=OUT, why="Name and state agree."),
        Example(
            files={name.replace("checkpoint-10", "best"): content for name, content in saved(10).items()},
            check={"path": "out/best"},
            why="A folder of another name says no step.",
        ),
    )
    INVALID = (
        Example(
            files=saved(10) | saved(20, trainer_state_json=state(10)),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: trainer_state.json says global_step 10, and the folder's name says 20; the Trainer "
                    "would skip the wrong share of the data and stop at the wrong step; resume from checkpoint-10, the "
                    "newest that verifies",
                ),
            ),
        ),
        Example(
            files=saved(20, trainer_state_json=state(-20)),
            check={"path": "out/checkpoint-20"},
            findings=(
                (
                    None,
                    "checkpoint-20: trainer_state.json says global_step -20, and no run has a negative step; the "
                    "Trainer would skip the wrong share of the data and stop at the wrong step; resume from another "
                    "checkpoint",
                ),
            ),
        ),
    )
