"""Arguments of transformers' TrainingArguments that are refused together, or that defeat each other.

Each entry is one check of a library's own (`source`), as a predicate on the values that the arguments have. `defaults`
names the arguments that it reads and what they are where they are not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.libraries.argument_conflict_record import Conflict, switched_on
from trainguard.libraries.argument_conflicts_peft import PEFT_CONFLICTS
from trainguard.libraries.argument_conflicts_trl import TRL_CONFLICTS
from trainguard.libraries.argument_facts import ARGUMENTS, REQUIRED, Since

TRANSFORMERS = Since("transformers")
_ARGS = "transformers 5.23.0, training_args.py `_validate_args`"


def _multiple(values: Mapping[str, Any]) -> bool:
    save, evaluate = values["save_steps"], values["eval_steps"]
    if not (values["load_best_model_at_end"] and values["save_strategy"] == values["eval_strategy"] == "steps"):
        return False
    if save < 1 and evaluate < 1:  # shares of the run
        return bool((save * 1_000_000) % (evaluate * 1_000_000))
    return bool(save < 1 or evaluate < 1 or save % evaluate)


_TRAINING_CONFLICTS: tuple[Conflict, ...] = (
    Conflict(
        key="fp16-bf16",
        owners=ARGUMENTS,
        defaults={"fp16": False, "bf16": False},
        refused=switched_on("fp16", "bf16"),
        message="fp16=True and bf16=True are refused together: a run has one precision; keep bf16=True on Ampere and "
        "newer GPUs, else fp16=True",
        fix="bf16=True, fp16=False",
        where=TRANSFORMERS,
        source=_ARGS,
    ),
    Conflict(
        key="full-eval-precision",
        owners=ARGUMENTS,
        defaults={"fp16_full_eval": False, "bf16_full_eval": False},
        refused=switched_on("fp16_full_eval", "bf16_full_eval"),
        message="fp16_full_eval=True and bf16_full_eval=True are refused together; keep one of them",
        fix="bf16_full_eval=True",
        where=TRANSFORMERS,
        source=_ARGS,
    ),
    Conflict(
        key="best-model-strategies",
        owners=ARGUMENTS,
        defaults={"load_best_model_at_end": False, "save_strategy": "steps", "eval_strategy": "no"},
        refused=lambda v: (
            v["load_best_model_at_end"] is True
            and {v["save_strategy"], v["eval_strategy"]} <= {"no", "steps", "epoch"}
            and v["save_strategy"] != v["eval_strategy"]
        ),
        message="load_best_model_at_end=True is refused where models are saved and evaluated at different times: "
        "save_strategy is {save_strategy}, eval_strategy {eval_strategy}; set both to the same",
        fix='eval_strategy="steps", save_strategy="steps"',
        where=TRANSFORMERS,
        source=_ARGS,
    ),
    Conflict(
        key="best-model-steps",
        owners=ARGUMENTS,
        defaults={
            "save_steps": 500,
            "eval_steps": REQUIRED,
            "load_best_model_at_end": False,
            "save_strategy": "steps",
            "eval_strategy": "no",
        },
        refused=_multiple,
        message="load_best_model_at_end=True needs save_steps to be a multiple of eval_steps, and {save_steps} is none "
        "of {eval_steps}: the best model would not have been saved",
        fix="save_steps={eval_steps}",
        where=TRANSFORMERS,
        source=_ARGS,
    ),
    Conflict(
        key="plateau-without-evaluation",
        owners=ARGUMENTS,
        defaults={"lr_scheduler_type": "linear", "eval_strategy": "no"},
        refused=lambda v: v["lr_scheduler_type"] == "reduce_lr_on_plateau" and v["eval_strategy"] == "no",
        message='lr_scheduler_type="reduce_lr_on_plateau" is refused without evaluation: it watches a metric of it; '
        'add eval_strategy="steps" and an eval_dataset',
        fix='eval_strategy="steps"',
        where=TRANSFORMERS,
        source=_ARGS,
    ),
    Conflict(
        key="greedy-without-evaluation",
        owners=ARGUMENTS,
        defaults={"lr_scheduler_type": "linear", "eval_strategy": "no"},
        refused=lambda v: v["lr_scheduler_type"] == "greedy" and v["eval_strategy"] == "no",
        message='lr_scheduler_type="greedy" is refused without evaluation: it watches a metric of it; '
        'add eval_strategy="steps" and an eval_dataset',
        fix='eval_strategy="steps"',
        where=Since("transformers", "5.4.0"),
        source=_ARGS,
    ),
    Conflict(
        key="prefetch-without-workers",
        owners=ARGUMENTS,
        defaults={"dataloader_prefetch_factor": None, "dataloader_num_workers": 0},
        refused=lambda v: v["dataloader_prefetch_factor"] is not None and v["dataloader_num_workers"] == 0,
        message="dataloader_prefetch_factor={dataloader_prefetch_factor} is refused with dataloader_num_workers=0: "
        "only worker processes fetch ahead; set dataloader_num_workers to 1 or more",
        fix="dataloader_num_workers=2",
        where=Since("transformers", "4.38.0"),
        source=_ARGS,
    ),
    Conflict(
        key="persistent-without-workers",
        owners=ARGUMENTS,
        defaults={"dataloader_persistent_workers": False, "dataloader_num_workers": 0},
        refused=lambda v: v["dataloader_persistent_workers"] is True and v["dataloader_num_workers"] == 0,
        message="dataloader_persistent_workers=True fails with dataloader_num_workers=0: there are no workers to keep; "
        "set dataloader_num_workers to 1 or more",
        fix="dataloader_num_workers=2",
        where=TRANSFORMERS,
        source="torch 2.13.0, utils/data/dataloader.py `DataLoader.__init__`",
        made=False,
    ),
    Conflict(
        key="logging-steps-zero",
        owners=ARGUMENTS,
        defaults={"logging_steps": REQUIRED, "logging_strategy": "steps"},
        refused=lambda v: v["logging_strategy"] == "steps" and v["logging_steps"] == 0,
        message='logging_steps=0 is refused with logging_strategy="steps"; to log nothing write logging_strategy="no"',
        fix='logging_strategy="no"',
        where=TRANSFORMERS,
        source=_ARGS,
    ),
    Conflict(
        key="best-without-metric",
        owners=ARGUMENTS,
        defaults={
            "save_strategy": "steps",
            "metric_for_best_model": None,
            "load_best_model_at_end": False,
            "lr_scheduler_type": "linear",
        },
        refused=lambda v: (
            v["save_strategy"] == "best"
            and v["metric_for_best_model"] is None
            and v["load_best_model_at_end"] is False
            and v["lr_scheduler_type"] not in ("reduce_lr_on_plateau", "greedy")
        ),
        message='save_strategy="best" without metric_for_best_model is refused: nothing says what best is; add '
        'metric_for_best_model="eval_loss"',
        fix='metric_for_best_model="eval_loss"',
        where=Since("transformers", "4.47.0"),
        source="transformers 5.23.0, trainer.py `Trainer._validate_args`",
        made=False,
    ),
    Conflict(
        key="max-steps-and-epochs",
        owners=ARGUMENTS,
        defaults={"num_train_epochs": REQUIRED, "max_steps": REQUIRED},
        refused=lambda v: v["max_steps"] > 0 and v["num_train_epochs"] > 0,
        message="max_steps={max_steps} and num_train_epochs={num_train_epochs} are both set: max_steps wins, so the "
        "number of epochs says nothing; keep one of them",
        fix="max_steps={max_steps}",
        where=TRANSFORMERS,
        source="transformers 5.23.0, trainer.py `Trainer._validate_args`",
        made=False,
        severity="warn",
    ),
    Conflict(
        key="checkpointing-and-cache",
        owners=ARGUMENTS,
        defaults={"use_cache": False, "gradient_checkpointing": False},
        refused=switched_on("use_cache", "gradient_checkpointing"),
        message="use_cache=True defeats gradient_checkpointing=True: the cache of keys and values is of no use in "
        "training and is switched off with a warning; drop use_cache",
        fix="use_cache=False",
        where=Since("transformers", "5.0.0"),
        source="transformers 5.23.0, modeling_layers.py `GradientCheckpointingLayer.__call__`",
        made=False,
        severity="warn",
    ),
)

CONFLICTS = (*_TRAINING_CONFLICTS, *TRL_CONFLICTS, *PEFT_CONFLICTS)
