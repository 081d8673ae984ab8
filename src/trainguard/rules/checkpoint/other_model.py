"""CKPT006: a checkpoint is one of another model."""

from __future__ import annotations

from typing import ClassVar

from trainguard.rules._example_files import Recipe
from trainguard.rules.base import Example
from trainguard.rules.checkpoint._broken import BrokenCheckpointRule
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, weights


class OtherModel(BrokenCheckpointRule):
    """A checkpoint is one of another model than the base that was given.

    *What it does*

    With `--base`, compares the checkpoint's configuration, the names and the shapes of its tensors with those of the
    base model; for an adapter, the inputs and outputs of the layers that it changes; and the base that a
    manifest names. A resized vocabulary, another head and a quantised base are no other model.

    *Why it costs you*

    The Trainer loads with `strict=False`: what fits is loaded, the rest keeps its values, and the run goes on with a
    mixture of two models.

    *Example*

    `out/` holds the checkpoints of an earlier run with a model of another size.

    *Use instead*

    Use an output folder of its own for each run, or give the base model that the checkpoints are of.
    """

    code = "CKPT006"
    name = "other-model"
    severity = "error"
    kind = "other-model"

    _BASE: ClassVar[dict[str, str | Recipe]] = {
        "base/config.json": '{"model_type": "llama", "hidden_size": 4}',
        "base/model.safetensors": weights(),
    }
    _LARGER: ClassVar[dict[str, str | Recipe]] = {
        "base/config.json": '{"model_type": "llama", "hidden_size": 8}',
        "base/model.safetensors": weights(hidden=8),
    }
    VALID = (
        Example(files=saved(10) | _BASE, check={**OUT, "base": "base"}, why="It is the same model."),
        Example(files=saved(10) | _LARGER, check=OUT, why="No base is given to compare with."),
    )
    INVALID = (
        Example(
            files=saved(10) | _LARGER,
            check={**OUT, "base": "base"},
            findings=(
                (
                    None,
                    "checkpoint-10: config.json has hidden_size 4, and the base has 8; the Trainer would load what "
                    "fits of it and keep the rest; it is the only checkpoint here, so the run has to start anew",
                ),
            ),
        ),
        Example(
            files=saved(10) | {**_BASE, "base/config.json": '{"model_type": "mistral", "hidden_size": 4}'},
            check={**OUT, "base": "base"},
            findings=(
                (
                    None,
                    "checkpoint-10: config.json is a llama model, and the base is a mistral; the Trainer would load "
                    "what fits of it and keep the rest; it is the only checkpoint here, so the run has to start anew",
                ),
            ),
        ),
    )
