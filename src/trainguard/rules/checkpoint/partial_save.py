"""CKPT005: a checkpoint lacks a file, or a file of it is not whole."""

from __future__ import annotations

from trainguard.rules.base import Example
from trainguard.rules.checkpoint._broken import BrokenCheckpointRule
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, torch_file, weights


class PartialSave(BrokenCheckpointRule):
    """A checkpoint lacks a file, or a file of it is not whole.

    *What it does*

    Compares what is there with what the Trainer loads: the weights (every shard that the index names, by the headers of
    the files), the optimizer, the scheduler and the random states of each process. Each file has to be structurally
    whole, without blocks that were never written, and of the same save as the others. Where a manifest
    (`trainguard.json`) is there, sizes and samples of all files are compared with it, and with `--deep` all bytes.

    *Why it costs you*

    A save that was cut short leaves a folder with the highest number, which `resume_from_checkpoint=True` chooses. Then
    the Trainer fails, or worse, does not: without optimizer.pt or scheduler.pt it resumes with a new optimizer and at
    the first learning rate, and a tensor of zeros or a shard that is left out loads without a word.

    *Example*

    The disk was full while `out/checkpoint-20/optimizer.pt` was written.

    *Use instead*

    Resume from the checkpoint that the finding names.
    """

    code = "CKPT005"
    name = "partial-save"
    severity = "error"
    kind = "partial-save"

    VALID = (
        Example(files=saved(10), check=OUT, why="It is whole."),
        Example(
            files=saved(10, without=("optimizer.pt", "scheduler.pt", "rng_state.pth")),
            check=OUT,
            why="It was saved with `save_only_model=True`: not to resume from, but as it should be.",
        ),
    )
    INVALID = (
        Example(
            files=saved(10) | saved(20, model_safetensors=weights(cut=64)),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: model.safetensors is damaged: its header lists 144 bytes of tensors, and only 80 "
                    "follow: the last 64 bytes are missing; resume from checkpoint-10, the newest that verifies",
                ),
            ),
        ),
        Example(
            files=saved(10) | saved(20, without=("scheduler.pt",)),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: scheduler.pt is missing; the Trainer resumes without a word with a new optimizer "
                    "and at the first learning rate; resume from checkpoint-10, the newest that verifies",
                ),
            ),
        ),
        Example(
            files=saved(10) | saved(20, optimizer_pt=torch_file("optimizer.pt", 10)),
            check=OUT,
            findings=(
                (
                    None,
                    "checkpoint-20: optimizer.pt has counted 10 steps and scheduler.pt 20, so they are not of one "
                    "save; the Trainer goes on with what does not belong together; resume from checkpoint-10, the "
                    "newest that verifies",
                ),
            ),
        ),
    )
