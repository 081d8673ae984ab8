"""What real runs are made of: a language that is easy to learn, a tiny model, and the callback that records a run."""

from __future__ import annotations

import atexit
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

Record = dict[str, Any]
WORDS = [f"w{number}" for number in range(60)]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "user", "assistant"]


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.padding_side = "left"
    return made


def sentence(rng: random.Random, words: int, noise: float = 0.25, step: int = 7) -> str:
    """Words that mostly follow a rule: each is `step` further than the one before."""
    at = rng.randrange(len(WORDS))
    out = []
    for _ in range(words):
        out.append(WORDS[at])
        at = rng.randrange(len(WORDS)) if rng.random() < noise else (at + step) % len(WORDS)
    return " ".join(out)


def texts(count: int, seed: int = 0, *, words: tuple[int, int] = (10, 24), noise: float = 0.25) -> Dataset:
    rng = random.Random(seed)
    return Dataset.from_list([{"text": sentence(rng, rng.randint(*words), noise)} for _ in range(count)])


def rows(count: int, seed: int = 0, *, masked: bool = False, words: int = 16, noise: float = 0.25) -> Dataset:
    """Token ids for the stock Trainer; `masked`: no label counts."""
    rng, token = random.Random(seed), tokenizer()
    made = []
    for _ in range(count):
        ids = token(sentence(rng, words, noise))["input_ids"]
        made.append(
            {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * len(ids) if masked else ids}
        )
    return Dataset.from_list(made)


def pairs(count: int, seed: int = 0, *, prompt: bool = True) -> Dataset:
    """Preference pairs: the chosen text follows the rule, the rejected one hardly."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        row = {"chosen": sentence(rng, 8, 0.1), "rejected": sentence(rng, 8, 0.6, step=11)}
        made.append({"prompt": sentence(rng, 4) + " "} | row if prompt else row)
    return Dataset.from_list(made)


def labelled(count: int, seed: int = 0) -> Dataset:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        good = number % 2 == 0
        made.append(
            {"prompt": sentence(rng, 4) + " ", "completion": sentence(rng, 8, 0.1 if good else 0.7), "label": good}
        )
    return Dataset.from_list(made)


def prompts(count: int, seed: int = 0) -> Dataset:
    rng = random.Random(seed)
    return Dataset.from_list([{"prompt": sentence(rng, 5)} for _ in range(count)])


def model(seed: int = 0, *, hidden: int = 48, classifier: bool = False) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        num_labels=1,
    )
    made = LlamaForSequenceClassification(config) if classifier else LlamaForCausalLM(config)
    if not classifier:  # TRL loads the reference model from where the model came from
        folder = tempfile.mkdtemp(prefix="trace-model-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        made.save_pretrained(folder)
        made = LlamaForCausalLM.from_pretrained(folder)
    return made


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Writes what a watcher would see: the logs with the seconds since the start, and events."""

    def __init__(self, records: list[Record], *, memory: bool = False) -> None:
        self.records, self.memory = records, memory
        self.started = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self.started

    def event(self, kind: str, **values: Any) -> None:
        self.records.append({"event": kind, **values, "t": self.now()})

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.event("start")
        if state.global_step:
            self.event("resume", from_step=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Record | None = None, **_: Any) -> None:
        record: Record = {key: value for key, value in (logs or {}).items() if isinstance(value, int | float)}
        if self.memory and "loss" in record:
            record["memory_gb"] = held_gigabytes()
        self.records.append(record | {"step": state.global_step, "t": self.now()})


class Every(TrainerCallback):  # type: ignore[misc]
    """Calls `act(step, model)` at the beginning of each step."""

    def __init__(self, act: Callable[[int, Any], None]) -> None:
        self.act = act

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.act(state.global_step, model)


class StopAt(TrainerCallback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if state.global_step >= self.step:
            control.should_training_stop = True
        return control


HELD: list[torch.Tensor] = []


def held_gigabytes() -> float:
    """What this process's tensors of the leak hold, over a base: the allocator's figure, in gigabytes."""
    return 0.35 + sum(tensor.numel() * tensor.element_size() for tensor in HELD) / 2**30


def first_after(records: list[Record], test: Callable[[Record], bool], start: int = 0) -> int:
    """Index of the first record at or after `start` that passes; raises where none does."""
    for index in range(start, len(records)):
        if test(records[index]):
            return index
    raise LookupError("the fault is not visible in this run")


def finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def quiet() -> None:
    """One thread, no hub, no bars."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    torch.set_num_threads(1)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    import datasets

    datasets.disable_progress_bars()
