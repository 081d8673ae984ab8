"""Which changes of an option change the task of a run."""

from __future__ import annotations

import re

from trainguard.facts.changes import Change
from trainguard.facts.values import (
    ABSENT,
    Constant,
    Instance,
    Items,
    Value,
    certain_texts,
    is_none,
    number,
    options,
    text,
    texts,
)
from trainguard.libraries.model_names import is_path, same_thing

_LENGTH = re.compile(
    r"(?:model_)?max_(?:seq_|sequence_|prompt_|completion_|source_|target_|input_|context_|train_)?len(?:gth)?|"
    r"(?:seq|sequence|context)_len(?:gth)?|block_size|cutoff_len|max_seq"
)
_ROWS = re.compile(
    r"(?:n|num|max|limit)_(?:train_)?(?:rows|samples|examples|train_samples)|(?:subset|dataset|train)_size|n_train"
)
_DURATION = re.compile(r"(?:num_|n_|max_)?(?:train_)?epochs|max_steps|num_train_epochs|(?:num_)?train(?:ing)?_steps")
_MODEL = re.compile(
    r"(?:base_|pretrained_)?model(?:_name|_id|_name_or_path|_path)?|pretrained_model_name_or_path|checkpoint_name"
)
_LORA = re.compile(r"use_(?:q?lora|peft)|q?lora|peft_config|lora_config")
_MONITOR = re.compile(
    r"report_to|log_with|use_(?:wandb|trackio|tensorboard|mlflow|tracking)|(?:wandb|trackio|tracking)_enabled"
)
LORA_MAKERS = {"LoraConfig", "get_peft_model", "LoraModel", "LoKrConfig", "IA3Config"}


def task_change(change: Change) -> str | None:
    """What a change does to the task, in words; None where it leaves the task alone or that cannot be told."""
    name = change.name.lower()
    if _LENGTH.fullmatch(name) or _ROWS.fullmatch(name) or _DURATION.fullmatch(name):
        return _lowered(change)
    if _LORA.fullmatch(name):
        return _lora_on(change)
    if _MONITOR.fullmatch(name):
        return _monitoring_off(change)
    if _MODEL.fullmatch(name):
        return _other_model(change)
    return None


def _lowered(change: Change) -> str | None:
    if change.shrinks:
        return f"{change.name} is cut"
    new = number(change.new)
    old = [number(option) for option in options(change.old)]
    if new is None or new <= 0 or not old or any(each is None for each in old):
        return None
    known = [each for each in old if each is not None]
    if all(new < each for each in known) or (change.name == "max_steps" and set(known) == {-1}):
        return f"{change.name} {new} instead of {' or '.join(str(each) for each in known)}"
    return None


def _lora_on(change: Change) -> str | None:
    before_off = all(
        o is ABSENT or is_none(o) or (isinstance(o, Constant) and o.value is False) for o in options(change.old)
    )
    on = isinstance(change.new, Instance) and bool(change.new.call.names & LORA_MAKERS)
    on |= isinstance(change.new, Constant) and change.new.value is True
    return "LoRA instead of full fine-tuning" if before_off and on else None


def _monitoring_off(change: Change) -> str | None:
    old, new = certain_texts(change.old), texts(change.new)
    off = (new is not None and new <= {"none"} and change.new is not ABSENT and _is_off(change.new)) or _is_false(
        change.new
    )
    was_on = bool(old - {"none"}) or any(isinstance(o, Constant) and o.value is True for o in options(change.old))
    return f"monitoring off ({change.name})" if off and was_on else None


def _is_off(value: Value) -> bool:
    return text(value) == "none" or is_none(value) or (isinstance(value, Items) and value.complete)


def _is_false(value: Value) -> bool:
    return isinstance(value, Constant) and value.value is False


def _other_model(change: Change) -> str | None:
    return model_swap(texts(change.old) or frozenset(), texts(change.new) or frozenset())


def model_swap(old: frozenset[str], new: frozenset[str]) -> str | None:
    """Another model than all of the old ones, in words; None where both may be the same weights."""
    if not old or len(new) != 1 or any(is_path(name) for name in old | new):
        return None
    name = next(iter(new))
    if "/" not in name and not any("/" not in each for each in old):
        return None
    if any(same_thing(name, each) for each in old):
        return None
    return f"the model {name} instead of {' or '.join(sorted(old)[:2])}"
