"""Other spellings of fields: those of the Trainer and TRL, and of the origin's config.json.

The origin's keys are those of the configuration that the project's second origin text speaks of (section 6): flat,
with `gradient_accumulation`, `warmup_steps`, `eval_steps`, `log_steps`, `use_qlora`. TRL's are those of trl 1.16
`SFTConfig`, `ModelConfig` and `ScriptArguments`, the Trainer's those of transformers 5.23 and 4.57 (`warmup_ratio`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Alias:
    """Another spelling of the field `name`.

    `weak`: it counts only where the field is not given otherwise, and never disagrees with it. `flag` maps true and
    false to values of the field; None as a value says nothing.
    """

    name: str
    weak: bool = False
    flag: Mapping[bool, tuple[Any, bool] | None] | None = None


def _flag(yes: str, *, weak: bool = False, no: str | None = None) -> Mapping[bool, tuple[Any, bool] | None]:
    """True says `yes`, and weakly so where `weak`; False says `no`, always weakly."""
    return {True: (yes, weak), False: (no, True) if no is not None else None}


ALIASES: Final[Mapping[str, Alias]] = {
    # transformers and trl
    "model_name_or_path": Alias("base_model"),
    "tokenizer_name_or_path": Alias("tokenizer"),
    "tokenizer_name": Alias("tokenizer"),
    "chat_template_path": Alias("chat_template"),
    "dataset_name": Alias("data"),
    "train_file": Alias("data"),
    "max_seq_length": Alias("max_length"),
    "per_device_train_batch_size": Alias("batch_size"),
    "gradient_accumulation_steps": Alias("gradient_accumulation"),
    "num_train_epochs": Alias("epochs"),
    "lr_scheduler_type": Alias("scheduler"),
    "lr_scheduler_kwargs": Alias("scheduler_arguments"),
    "warmup_steps": Alias("warmup"),
    "warmup_ratio": Alias("warmup"),
    "optim": Alias("optimizer"),
    # SFTConfig: bf16 unless one of the two says otherwise; both false are fp32 (trl 1.16, sft_config.py).
    "bf16": Alias("precision", flag=_flag("bf16", no="fp32")),
    "fp16": Alias("precision", flag=_flag("fp16")),
    "eval_strategy": Alias("eval.strategy"),
    "evaluation_strategy": Alias("eval.strategy"),
    "eval_steps": Alias("eval.steps"),
    "per_device_eval_batch_size": Alias("eval.batch_size"),
    "validation_file": Alias("eval.data"),
    "save_strategy": Alias("save.strategy"),
    "save_steps": Alias("save.steps"),
    "save_total_limit": Alias("save.keep"),
    "use_peft": Alias("method", flag=_flag("lora", weak=True)),
    "load_in_4bit": Alias("method", flag=_flag("qlora")),
    "lora_r": Alias("lora.r"),
    "lora_alpha": Alias("lora.alpha"),
    "lora_dropout": Alias("lora.dropout"),
    "lora_target_modules": Alias("lora.target_modules"),
    "lora_modules_to_save": Alias("lora.modules_to_save"),
    "use_rslora": Alias("lora.use_rslora"),
    "use_dora": Alias("lora.use_dora"),
    # in their blocks, as peft and the Trainer call them
    "lora.lora_alpha": Alias("lora.alpha"),
    "lora.lora_dropout": Alias("lora.dropout"),
    "eval.eval_steps": Alias("eval.steps"),
    "save.save_steps": Alias("save.steps"),
    "save.save_total_limit": Alias("save.keep"),
    # the origin
    "model_path": Alias("base_model", weak=True),
    "current_model_dir": Alias("output_dir", weak=True),
    "use_qlora": Alias("method", flag=_flag("qlora")),
    "log_steps": Alias("logging_steps"),
    "num_eval_samples": Alias("eval.samples"),
    "poll_interval": Alias("queue.poll_seconds"),
}

# Keys of the origin's daemon that stand for things a guarded run does otherwise or not at all. `hyperparams` repeats
# the flat keys, not always with the same values, and `locked` describes the model.
UNUSED: Final = frozenset(
    {
        *("auto_generate", "curriculum", "eval_max_tokens", "eval_timeout_seconds", "hyperparams", "locked"),
        *("model_display_name", "profile", "remote_eval", "retention", "self_correction", "snapshot_time"),
    }
)
# Of editors and of people who have no other way to write a comment, or a place for YAML's anchors.
COMMENTS: Final = ("_", "//", "#", "$schema", "x-")

# What others call a field; not taken as such, since the meaning differs here and there (axolotl's batch_size is the
# whole batch), but named.
SYNONYMS: Final[Mapping[str, str]] = {
    "accumulation_steps": "gradient_accumulation",
    "alpha": "lora.alpha",
    "context_length": "max_length",
    "cutoff_len": "max_length",
    "dataset": "data",
    "datasets": "data",
    "dropout": "lora.dropout",
    "eval_data": "eval.data",
    "eval_dataset": "eval.data",
    "grad_accum": "gradient_accumulation",
    "inbox": "queue.inbox",
    "lr": "learning_rate",
    "lr_scheduler": "scheduler",
    "max_tokens": "max_length",
    "micro_batch_size": "batch_size",
    "model": "base_model",
    "model_id": "base_model",
    "num_epochs": "epochs",
    "output": "output_dir",
    "peft": "lora",
    "r": "lora.r",
    "rank": "lora.r",
    "seq_len": "max_length",
    "sequence_len": "max_length",
    "target_modules": "lora.target_modules",
    "train_data": "data",
    "train_dataset": "data",
    "val_data": "eval.data",
    "validation_data": "eval.data",
    "webhook": "alerts.webhook",
}
