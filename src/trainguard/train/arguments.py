"""From the configuration of a run to trl's SFTConfig, peft's LoraConfig and the arguments of from_pretrained. Pure."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainguard.errors import UsageError
from trainguard.facts.config.schema import RunConfig

# What trainguard needs for itself; the field of the configuration that says the same is named instead.
_OWN = {
    "output_dir": "output_dir",
    "resume_from_checkpoint": "save.resume",
    "save_total_limit": "save.keep",
    "overwrite_output_dir": "save.resume",
    "auto_find_batch_size": "batch_size",
    "save_only_model": "save.strategy",
    "ignore_data_skip": "save.resume",
}
# Of the arguments of SFTConfig, those that are from_pretrained's here, since the model is loaded before the trainer.
_LOADING = ("model_init_kwargs", "trust_remote_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What this process computes on. `bf16` says whether its GPU computes in bfloat16."""

    cuda: bool = False
    bf16: bool = False
    mps: bool = False

    @property
    def name(self) -> str:
        return "CUDA" if self.cuda else "MPS" if self.mps else "the CPU"


def precision_of(run: RunConfig, device: Device) -> str:
    """bf16, fp16 or fp32: what `auto` comes to. Raises UsageError for one that this machine has not."""
    if run.precision == "fp16" and not device.cuda:
        raise UsageError(
            f'precision: fp16 scales gradients on a GPU, and this process computes on {device.name}; write "auto"'
        )
    if run.precision == "bf16" and device.cuda and not device.bf16:
        raise UsageError(
            'precision: this GPU does not compute in bf16 (that takes compute capability 8.0); write "fp16" or "auto"'
        )
    if run.precision != "auto":
        return run.precision
    return "bf16" if device.cuda and device.bf16 else "fp32"


def check_method(run: RunConfig, device: Device) -> None:
    """Raises UsageError where qlora cannot run here, before anything is loaded."""
    if run.method != "qlora":
        return
    if not device.cuda:
        raise UsageError(
            f"method: qlora keeps weights in 4 bits on a GPU, and this process computes on {device.name}; "
            'write method = "lora", or run it on a machine with a GPU'
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            "method: qlora needs bitsandbytes, which is not installed (pip install bitsandbytes); or write "
            'method = "lora"'
        )


def sft_arguments(
    run: RunConfig, *, output_dir: str, precision: str, assistant_only_loss: bool, device: Device
) -> dict[str, Any]:
    """The keyword arguments of trl 1.16 `SFTConfig`; `trainer_arguments` go last and as they stand.

    Raises UsageError for one of them that trainguard decides itself.
    """
    for name, instead in _OWN.items():
        if name in run.trainer_arguments:
            raise UsageError(f"trainer_arguments.{name}: is set by trainguard; use {instead}")
    evaluates = run.eval.data is not None and run.eval.strategy != "no"
    arguments: dict[str, Any] = {
        "output_dir": output_dir,
        "max_length": run.max_length,
        "packing": run.packing,
        "assistant_only_loss": assistant_only_loss,
        "learning_rate": run.learning_rate,
        "lr_scheduler_type": run.scheduler,
        "lr_scheduler_kwargs": dict(run.scheduler_arguments) or None,
        "warmup_steps": run.warmup,
        "per_device_train_batch_size": run.batch_size,
        "gradient_accumulation_steps": run.gradient_accumulation,
        "num_train_epochs": run.epochs,
        "max_steps": run.max_steps if run.max_steps is not None else -1,
        "optim": run.optimizer,
        "weight_decay": run.weight_decay,
        "max_grad_norm": run.max_grad_norm,
        "gradient_checkpointing": run.gradient_checkpointing,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": not (device.cuda or device.mps),
        "seed": run.seed,
        "logging_strategy": "steps",
        "logging_steps": run.logging_steps,
        "eval_strategy": run.eval.strategy if evaluates else "no",
        "eval_steps": run.eval.steps if evaluates else None,
        "per_device_eval_batch_size": run.eval.batch_size,
        "save_strategy": run.save.strategy,
        "save_steps": run.save.steps,
        "save_total_limit": run.save.keep,
        # Own lines and bars instead of the Trainer's; nothing is sent anywhere unasked.
        "disable_tqdm": True,
        "report_to": "none",
        # The filter puts the mean in the place of a NaN, so that a poisoned run looks healthy, and costs a
        # synchronisation of the GPU at every step (transformers 5.23, trainer.py, `_run_epoch`).
        "logging_nan_inf_filter": False,
    }
    further = {key: value for key, value in run.trainer_arguments.items() if key not in _LOADING}
    return {**arguments, **further}


def loading_arguments(run: RunConfig, precision: str) -> dict[str, Any]:
    """The keyword arguments of from_pretrained.

    Weights that are trained stay in float32, as trl 1.16 (`create_model_from_path`) has it: the steps of a fine-tuning
    are smaller than bfloat16 can add. Weights under an adapter are not trained and are loaded in the format of the
    computation, at half the memory.
    """
    given = run.trainer_arguments.get("model_init_kwargs")
    arguments: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
    if run.trainer_arguments.get("trust_remote_code"):
        arguments.setdefault("trust_remote_code", True)
    halves = {"bf16": "bfloat16", "fp16": "float16"} if run.method != "full" else {}
    arguments.setdefault("dtype", halves.get(precision, "float32"))
    return arguments


def lora_arguments(run: RunConfig) -> dict[str, Any]:
    """The keyword arguments of peft 0.21 `LoraConfig`."""
    lora = run.lora
    return {
        "r": lora.r,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules),
        "modules_to_save": list(lora.modules_to_save) or None,
        "bias": lora.bias,
        "use_rslora": lora.use_rslora,
        "use_dora": lora.use_dora,
        "task_type": "CAUSAL_LM",
    }
