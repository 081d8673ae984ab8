"""What a run has promised, read from its Trainer's arguments, model and optimizer, for the signals to judge it by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from trainguard.signals.samples import Method
from trainguard.train.before import is_peft, schedule_steps

# By the class of the arguments; the trainers of TRL have one each (trl 1.16, trainer/*_config.py).
_METHODS: Mapping[str, Method] = {
    "SFTConfig": "sft",
    "DPOConfig": "dpo",
    "KTOConfig": "kto",
    "RewardConfig": "reward",
    "GRPOConfig": "grpo",
    "RLOOConfig": "grpo",
    "OnlineDPOConfig": "dpo",
    "CPOConfig": "dpo",
    "ORPOConfig": "dpo",
}
_PLAIN = (
    *("num_train_epochs", "logging_steps", "eval_steps", "save_steps", "max_grad_norm"),
    *("gradient_accumulation_steps", "fp16", "beta", "loss_type"),
)
_OTHER_NAMES = {"constant": "_get_constant_lambda", "warmup_stable_decay": "wsd"}
_GIB = 2**30


def method_of(args: Any) -> Method:
    """How a model is trained, by the class of the arguments; sft for the plain Trainer's."""
    for kind in type(args).__mro__:
        if kind.__name__ in _METHODS:
            return _METHODS[kind.__name__]
    return "sft"


def declared_by(
    args: Any, *, max_steps: int, model: nn.Module | None = None, optimizer: Any = None, lr_scheduler: Any = None
) -> dict[str, Any]:
    """What watch_metrics calls `declared`. What a run does otherwise than its arguments say (a schedule or an optimizer
    that the script has made itself) is taken from there, or left out."""
    said: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(args, name, None)) is not None}
    # Steps below 1 are a share of all steps (transformers 5.23, TrainerState.compute_steps).
    for name in ("logging_steps", "eval_steps", "save_steps"):
        value = said.get(name)
        if isinstance(value, float) and 0 < value < 1:
            said[name] = math.ceil(value * max_steps)
    for strategy, name in (("logging_strategy", "logging_steps"), ("eval_strategy", "eval_steps")):
        if _text(getattr(args, strategy, None)) not in ("steps", None):
            said.pop(name, None)
    if isinstance(said.get("loss_type"), list | tuple):
        said["loss_type"] = ",".join(map(str, said["loss_type"]))
    said["max_steps"] = max_steps
    said["peft"] = model is not None and is_peft(model)
    _schedule(said, args, max_steps, optimizer, lr_scheduler)
    config = getattr(model, "config", None)
    text = getattr(config, "text_config", None) or config
    for name in ("vocab_size", "num_labels"):
        value = getattr(text, name, None)
        if isinstance(value, int) and not isinstance(value, bool):
            said[name] = value
    if "Classification" not in type(model).__name__:
        said.pop("num_labels", None)  # every configuration has 2, also those of language models
    device = next(iter(model.parameters()), torch.empty(0)).device if model is not None else torch.device("cpu")
    if device.type == "cuda":
        said["gpu_memory_gb"] = torch.cuda.get_device_properties(device).total_memory / _GIB
    return said


def _schedule(said: dict[str, Any], args: Any, max_steps: int, optimizer: Any, lr_scheduler: Any) -> None:
    inner = getattr(lr_scheduler, "scheduler", lr_scheduler)
    kind = _text(getattr(args, "lr_scheduler_type", None))
    if kind is None or inner is None or not _made_by(inner, kind):
        return
    horizon = schedule_steps(inner)
    if horizon is not None and horizon != max_steps:
        return
    said["lr_scheduler_type"] = kind
    groups = getattr(optimizer, "param_groups", None) or [{}]
    rate = groups[0].get("initial_lr", groups[0].get("lr"))
    said["learning_rate"] = rate if isinstance(rate, int | float) else getattr(args, "learning_rate", None)
    warmup = getattr(args, "get_warmup_steps", None)
    if callable(warmup):
        said["warmup_steps"] = warmup(max_steps)
    options = getattr(args, "lr_scheduler_kwargs", None)
    for name in ("num_cycles", "lr_end", "num_decay_steps"):
        if isinstance(options, Mapping) and isinstance(options.get(name), int | float):
            said[name] = options[name]


def _made_by(scheduler: Any, kind: str) -> bool:
    """Whether a schedule is of the kind that the arguments name, by the function that transformers makes it of."""
    functions = getattr(scheduler, "lr_lambdas", None)
    if not functions:
        return False
    function = getattr(functions[0], "func", functions[0])
    name: str = getattr(function, "__name__", "")
    if kind in _OTHER_NAMES:
        return _OTHER_NAMES[kind] in name
    return all(word in name for word in kind.split("_") if word not in ("with", "restarts", "lr", "min"))


def _text(value: Any) -> str | None:
    return str(getattr(value, "value", value)) if value is not None else None


def early_stopping(state: Any) -> dict[str, Any]:
    """The patience of an EarlyStoppingCallback, which the Trainer notes in its state (transformers 5.23)."""
    noted = (getattr(state, "stateful_callbacks", None) or {}).get("EarlyStoppingCallback")
    noted = noted[0] if isinstance(noted, list) and noted else noted
    patience = noted.get("args", {}).get("early_stopping_patience") if isinstance(noted, Mapping) else None
    return {"early_stopping_patience": patience} if isinstance(patience, int) else {}


def declared_of(args: Any, state: Any, *, model: nn.Module | None, optimizer: Any, lr_scheduler: Any) -> dict[str, Any]:
    """`declared_by` of a run that is about to begin or to go on, by the Trainer's state."""
    said = declared_by(args, max_steps=state.max_steps, model=model, optimizer=optimizer, lr_scheduler=lr_scheduler)
    return {**said, "resume": bool(state.global_step), **early_stopping(state)}
