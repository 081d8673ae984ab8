"""CKPT004: the trainer_state.json of a checkpoint cannot be used."""

from __future__ import annotations

from trainguard.rules._example_files import raw
from trainguard.rules.base import Example
from trainguard.rules.checkpoint._broken import BrokenCheckpointRule
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, state


class TrainerStateCorrupt(BrokenCheckpointRule):
    """The trainer_state.json of a checkpoint cannot be used.

    *What it does*

    Reads trainer_state.json as the Trainer does, and fires where it is empty, cut off, no JSON, no object, or has no
    global_step.

    *Why it costs you*

    The Trainer fails on it. A state without global_step does not even fail: it counts as step 0, so that the run begins
    anew with trained weights.

    *Example*

    A power cut leaves trainer_state.json with the right length, all zeros.

    *Use instead*

    Resume from the checkpoint that the finding names.
    """

    code = "CKPT004"
    name = "trainer-state-corrupt"
    severity = "error"
    kind = "trainer-state-corrupt"

    VALID = (
        Example(files=saved(10), check=OUT, why="It is whole."),
        Example(
            files=saved(10, trainer_state_json='{"global_step": 10, "log_history": [{"loss": NaN, "step": 10}]}'),
            check=OUT,
            why="Python writes and reads NaN in JSON; whether a loss of NaN is worth resuming is another question.",
        ),
    )
    INVALID = (
        Example(
            files=saved(10) | saved(20, trainer_state_json=state(20)[:50]),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: trainer_state.json cannot be used: it ends in the middle of its JSON, at line 1, "
                    "column 51; the Trainer fails on it; resume from checkpoint-10, the newest that verifies",
                ),
            ),
        ),
        Example(
            files=saved(10) | saved(20, trainer_state_json=raw(bytes(80), "80 zero bytes")),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: trainer_state.json cannot be used: it holds 80 zero bytes and nothing else; the "
                    "Trainer fails on it; resume from checkpoint-10, the newest that verifies",
                ),
            ),
        ),
    )
