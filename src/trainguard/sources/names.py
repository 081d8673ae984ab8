"""Names of metrics: those of the Trainer and TRL, and what other writers call the same things.

Pure. The Trainer's own integrations rename on the way out: `loss` becomes `train/loss`, `eval_loss` becomes `eval/loss`
(transformers 5.23, integrations/integration_utils.py `rewrite_logs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]

_PREFIXES = {"train/": "", "eval/": "eval_", "validation/": "eval_", "val/": "eval_", "valid/": "eval_"}
# transformers 5.23 `TrackioCallback` and `WandbCallback` write `train/global_step`; TRL 1.16 writes
# `completions/mean_length` where watchers read `completion_length`; LLaMA-Factory's trainer_log.jsonl has `lr` and
# `current_steps` (its src/llamafactory/train/callbacks.py `LogCallback`); the others are common in hand-written loops.
_ALIASES: Mapping[str, str] = {
    "global_step": "step",
    "_step": "step",
    "steps": "step",
    "current_steps": "step",
    "iter": "step",
    "iteration": "step",
    "lr": "learning_rate",
    "gradient_norm": "grad_norm",
    "gnorm": "grad_norm",
    "val_loss": "eval_loss",
    "valid_loss": "eval_loss",
    "validation_loss": "eval_loss",
    "training_loss": "loss",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "clipped_ratio",
    "eval_completions/mean_length": "eval_completion_length",
    "eval_completions/clipped_ratio": "eval_clipped_ratio",
}
# What the Trainer's averages over the whole run are called; they come once, at the end.
SUMMARY = frozenset({"train_runtime", "train_loss"})
# Events of a record that a watcher understands, and those that a guard writes beside them.
EVENTS = frozenset({"start", "resume", "end", "phase", "file"})
_LONGEST_KEY = 200  # characters
_MOST_KEYS = 500


def renamed(record: Mapping[Any, Any]) -> Record:
    """The record under the Trainer's names, numbers as such.

    A key that is there under its own name goes before an alias of it.
    """
    plain: Record = {}
    aliased: Record = {}
    for key, given in record.items():
        if not isinstance(key, str) or not key or len(key) > _LONGEST_KEY or len(plain) + len(aliased) >= _MOST_KEYS:
            continue
        value = _unprinted(given)
        name = key
        for prefix, instead in _PREFIXES.items():
            if key.startswith(prefix):
                name = instead + key[len(prefix) :]
                break
        alias = _ALIASES.get(name)
        if alias is not None:
            aliased.setdefault(alias, value)
        elif name == key:
            plain[name] = value
        else:
            aliased.setdefault(name, value)
    return {**aliased, **plain}


def _unprinted(value: object) -> object:
    """The number that a text is: the Trainer prints its numbers as texts."""
    if isinstance(value, str) and is_number(value):
        try:
            return int(value)
        except ValueError:
            return float(value)
    return value


def is_number(value: object) -> bool:
    """Whether a value is a number, or a text that the Trainer prints as one. NaN and infinities are numbers."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return True
    if isinstance(value, str) and 0 < len(value) < 40:
        try:
            float(value)
        except ValueError:
            return False
        return True
    return False


def is_record(record: Mapping[str, Any]) -> bool:
    """Whether a mapping (under the Trainer's names) is a record of a run, and not a configuration that was printed.

    Configurations have `learning_rate` and `eval_steps` too, but neither a loss nor a step.
    """
    event = record.get("event")
    if isinstance(event, str):
        return event in EVENTS
    if record.get("tick") is True:
        return "t" in record
    if is_number(record.get("loss")) or is_number(record.get("train_runtime")) or is_number(record.get("eval_loss")):
        return True
    if not is_number(record.get("step")) and not is_number(record.get("epoch")):
        return False
    return any(
        is_number(value)
        and (name in _TELLING or (name.startswith(("eval_", "rewards/")) and name not in _OF_CONFIGURATIONS))
        for name, value in record.items()
    )


_TELLING = frozenset({"reward", "grad_norm", "learning_rate", "train_loss", "kl", "mean_reward", "mean_token_accuracy"})
_OF_CONFIGURATIONS = frozenset({"eval_steps", "eval_delay", "eval_batch_size", "eval_accumulation_steps"})


def method_of(names: Iterable[str]) -> str | None:
    """How the model is trained, told from the names of its metrics; None where they do not say.

    As TRL 1.16 names them in its trainers: grpo and rloo `reward` and `reward_std`; reward `mean_reward` and `margin`;
    kto `rewards/chosen` beside `kl`; dpo the same without `kl`, with `rewards/accuracies`. Plain language modelling
    has none of these: sft, since pretraining logs the same.
    """
    found = {name.removeprefix("eval_") for name in names}
    if "reward" in found and found & {"reward_std", "frac_reward_zero_std"}:
        return "grpo"
    if {"mean_reward", "min_reward", "max_reward"} & found and {"margin", "accuracy"} & found:
        return "reward"
    if {"rewards/chosen", "rewards/rejected", "rewards/margins"} & found:
        # KTO 1.16 logs no accuracies, DPO always does.
        return "kto" if "rewards/accuracies" not in found and "kl" in found else "dpo"
    return "sft" if "loss" in found else None


def number(value: object) -> float | None:
    """A finite number, or a text of one; else None."""
    if not is_number(value):
        return None
    try:
        given = float(value)  # type: ignore[arg-type]
    except OverflowError:
        return None
    return given if math.isfinite(given) else None
