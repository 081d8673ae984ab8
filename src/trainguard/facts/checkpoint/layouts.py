"""Who wrote a checkpoint folder, by the names in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trainguard.facts.checkpoint.folder import OPTIMIZER, SCHEDULER, STATE, Folder
from trainguard.facts.checkpoint.records import Layout

# DeepSpeed 0.18, runtime/engine.py, `save_checkpoint`: a folder named by the tag (transformers passes none, so
# global_step<N>) and a file `latest` that names it.
_DEEPSPEED = re.compile(r"^global_step\d+$", re.ASCII)
# accelerate 1.x, utils/constants.py and utils/fsdp_utils.py: pytorch_model_fsdp.bin or pytorch_model_fsdp_0/ of
# `.distcp` files, optimizer.bin or optimizer_0/.
_FSDP = re.compile(r"^(pytorch_model_fsdp(_\d+)?(\.bin)?|optimizer_\d+)$", re.ASCII)
# accelerate 1.x, checkpointing.py, `save_accelerator_state`: random_states_<process>.pkl, beside optimizer.bin. The
# training scripts of diffusers name such folders checkpoint-<step> too.
_ACCELERATE = re.compile(r"^random_states_\d+\.pkl$", re.ASCII)
# torch_xla and SageMaker (transformers 5.23, trainer.py:3521 and 4093).
_ELSEWHERE = re.compile(r"^(rank\d+-of-\d+-optimizer\.pt|optimizer\.pt_.+|user_content\.pt)$", re.ASCII)

UNKNOWN_WORDS: Mapping[Layout, str] = {
    "deepspeed": "it is in DeepSpeed's layout, whose files only a manifest can vouch for",
    "fsdp": "it is in FSDP's layout, whose files only a manifest can vouch for",
    "accelerate": "it was written by accelerate and not by a Trainer, which cannot resume from it",
    "unknown": "its layout is not known, so only a manifest can vouch for its files",
    "trainer": "",
}


def layout_of(folder: Folder) -> Layout:
    """Who wrote `folder`: a Trainer where nothing speaks for another."""
    if any(_DEEPSPEED.match(name) for name in folder.folders):
        return "deepspeed"
    if any(_FSDP.match(name) for name in (*folder.folders, *folder.files)):
        return "fsdp"
    if any(_ACCELERATE.match(name) for name in folder.files) and not folder.has(STATE):
        return "accelerate"
    if folder.has("optimizer.bin") and not folder.has(OPTIMIZER):
        return "fsdp" if folder.has(SCHEDULER) else "unknown"
    if any(_ELSEWHERE.match(name) for name in folder.files):
        return "unknown"
    return "trainer"
