"""A real Trainer on a tiny model, in a process of its own: saves checkpoints, and resumes from damaged ones.

Reads requests from stdin, one JSON object a line, and answers each with a line of JSON:

    {"do": "save", "kind": KIND, "folder": FOLDER, "seed": NUMBER, ...}   trains 6 steps and saves every 2; null
    {"do": "resume", "kind": KIND, "folder": CHECKPOINT, "expected": HASH}   an outcome
    {"do": "last", "folder": FOLDER}   what get_last_checkpoint chooses

KIND is full, lora or sharded; other keys of "save" are arguments of the Trainer. An outcome is "equal" (the weights at
the end are those of an undisturbed run, bit for bit), "differs" or "fails: REASON".
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import random
import sys
import tempfile
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging as transformers_logging

KINDS = ("full", "lora", "sharded")


def _model(kind: str, seed: int) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_dropout=0.1,  # so that the random states decide on the result
    )
    model = LlamaForCausalLM(config)
    if kind == "lora":
        from peft import LoraConfig, get_peft_model

        targets = ["q_proj", "v_proj", "down_proj"]
        return get_peft_model(model, LoraConfig(r=8, target_modules=targets, lora_dropout=0.1, task_type="CAUSAL_LM"))
    if kind == "sharded":
        model.save_pretrained = functools.partial(model.save_pretrained, max_shard_size="60KB")
    return model


def _trainer(kind: str, folder: str, seed: int, *, save: bool, **more: Any) -> Trainer:
    rows = torch.randint(0, 128, (64, 8), generator=torch.Generator().manual_seed(seed))
    arguments = TrainingArguments(
        folder,
        max_steps=6,
        save_strategy="steps" if save else "no",
        save_steps=2,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=seed + 1,
        **more,
    )
    model = _model(kind, 0)  # the base model is the same in every run
    return Trainer(model, arguments, train_dataset=[{"input_ids": row, "labels": row} for row in rows])


def _weights(trainer: Trainer) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(trainer.model.state_dict().items()):
        total.update(name.encode() + tensor.numpy().tobytes())
    return total.hexdigest()


def save(kind: str, folder: str, seed: int = 0, **more: Any) -> None:
    trainer = _trainer(kind, folder, seed, save=True, **more)
    trainer.train()
    with open(os.path.join(folder, "weights.txt"), "w", encoding="utf-8") as file:
        file.write(_weights(trainer))


def resume(kind: str, folder: str, expected: str) -> str:
    """What becomes of a run that is resumed from the checkpoint `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        # What a new process would have, whatever ran here before.
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        try:
            trainer = _trainer(kind, scratch, 0, save=False)
            trainer.train(resume_from_checkpoint=folder)
        except Exception as error:
            return f"fails: {type(error).__name__}: {error}"[:200]
        return "equal" if _weights(trainer) == expected else "differs"


def last(folder: str) -> str | None:
    return get_last_checkpoint(folder)


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    answers, sys.stdout = sys.stdout, sys.stderr  # the Trainer prints its logs
    verbs = {"save": save, "resume": resume, "last": last}
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(verbs[request.pop("do")](**request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
