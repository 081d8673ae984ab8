"""What a run has promised: from the arguments of a Trainer, as integrations keep them, and from `key=value`.

Pure. A wrong promise costs more than a missing one, so what is not certain is left out.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any

from trainguard.errors import UsageError
from trainguard.sources.names import number

_Type = type | tuple[type, ...]
_NUMBER = (int, float)
# The promises that watchers read, with the type of each.
KEYS: Mapping[str, _Type] = {
    "lr_scheduler_type": str,
    "learning_rate": _NUMBER,
    "warmup_steps": _NUMBER,
    "num_cycles": _NUMBER,
    "lr_end": _NUMBER,
    "max_steps": int,
    "num_train_epochs": _NUMBER,
    "num_decay_steps": int,
    "logging_steps": int,
    "eval_steps": int,
    "save_steps": int,
    "early_stopping_patience": int,
    "max_grad_norm": _NUMBER,
    "gradient_accumulation_steps": int,
    "fp16": bool,
    "bf16": bool,
    "peft": bool,
    "beta": _NUMBER,
    "loss_type": str,
    "vocab_size": int,
    "num_labels": int,
    "num_target_tokens": int,
    "gpu_memory_gb": _NUMBER,
    "expects_think": bool,
    "resume": bool,
    "baseline": _NUMBER,
}
_TRUE, _FALSE = {"true", "yes", "1", "on"}, {"false", "no", "0", "off"}


def from_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """`max_steps=1000` and the like. Raises UsageError for an unknown key, a value of another type, no equals sign."""
    declared: dict[str, Any] = {}
    for each in assignments:
        key, equals, text = each.partition("=")
        key, text = key.strip(), text.strip()
        if not equals or not key:
            raise UsageError(f"--declare {each}: write it as KEY=VALUE, such as --declare max_steps=1000")
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it may be one of {', '.join(KEYS)}"
            raise UsageError(f"--declare {key}: a run declares no such thing; {hint}")
        declared[key] = _parsed(key, text)
    return declared


def _parsed(key: str, text: str) -> Any:
    kind = KEYS[key]
    if kind is str:
        return text
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise UsageError(f"--declare {key}={text}: expected true or false")
    given = number(text)
    if given is None:
        raise UsageError(f"--declare {key}={text}: expected a number")
    if kind is int:
        if given != int(given):
            raise UsageError(f"--declare {key}={text}: expected a whole number")
        return int(given)
    return int(given) if "." not in text and "e" not in text.lower() and given == int(given) else given


def from_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What `TrainingArguments.to_dict()` promises, alone or mixed with a model's configuration.

    The Trainer's markers for "not set" (-1 steps, no strategy) are left out. A warm-up as a share of all steps takes
    `max_steps`; where that is not known the schedule is left out too, since half of it says something else.
    """
    declared: dict[str, Any] = {}
    steps = _count(arguments.get("max_steps"))
    if steps is not None:
        declared["max_steps"] = steps
    elif (epochs := number(arguments.get("num_train_epochs"))) is not None and epochs > 0:
        declared["num_train_epochs"] = epochs
    _schedule(arguments, declared, steps)
    for key in ("max_grad_norm", "gradient_accumulation_steps", "vocab_size", "beta"):
        value = arguments.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            declared[key] = value
    for key in ("fp16", "bf16"):
        if isinstance(arguments.get(key), bool):
            declared[key] = arguments[key]
    if isinstance(arguments.get("loss_type"), str):
        declared["loss_type"] = arguments["loss_type"]
    if arguments.get("peft_config"):
        declared["peft"] = True
    # transformers 5.23, training_args.py: each counts only under the strategy "steps".
    for key, strategy in (
        ("logging_steps", "logging_strategy"),
        ("eval_steps", "eval_strategy"),
        ("save_steps", "save_strategy"),
    ):
        value = _count(arguments.get(key))
        if value is not None and str(arguments.get(strategy, "")).rpartition(".")[2].lower() == "steps":
            declared[key] = value
    return declared


def _schedule(arguments: Mapping[str, Any], declared: dict[str, Any], steps: int | None) -> None:
    kind = arguments.get("lr_scheduler_type")
    rate = number(arguments.get("learning_rate"))
    if rate is not None and rate > 0:
        declared["learning_rate"] = rate
    # transformers 5.23 reads warmup_steps below 1 as a share of all steps; older releases have warmup_ratio for that,
    # which counts where warmup_steps is 0.
    warmup = number(arguments.get("warmup_steps")) or number(arguments.get("warmup_ratio")) or 0.0
    if warmup < 0 or not isinstance(kind, str):
        return
    if 0 < warmup < 1:
        if steps is None:
            return
        warmup = math.ceil(steps * warmup)
    declared["warmup_steps"] = int(warmup)
    declared["lr_scheduler_type"] = kind.rpartition(".")[2].lower()
    given = arguments.get("lr_scheduler_kwargs")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    for key in ("num_cycles", "lr_end", "num_decay_steps"):
        value = number(given.get(key)) if isinstance(given, Mapping) else None
        if value is not None:
            declared[key] = int(value) if key == "num_decay_steps" else value


def _count(value: object) -> int | None:
    given = number(value)
    return int(given) if given is not None and given >= 1 and given == int(given) else None
