"""assert_ready: can this Trainer train? Everything that is wrong, at once, without a step and without a change."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch

from trainguard.findings import Finding
from trainguard.signals.codes import run_finding
from trainguard.train.actions import NotReadyError
from trainguard.train.before import owned, placed, planned, trainable
from trainguard.train.labels import can_sample, random_numbers_kept
from trainguard.train.soundness import batch_findings, finite_weights, writable_output

logger = logging.getLogger(__name__)


def assert_ready(trainer: Any) -> list[Finding]:
    """Raises NotReadyError with all problems of a Trainer, before `train()` costs anything.

    Looked at are model, weights, tokenizer and data, the arguments' types and ranges, what the collator makes of a few
    examples, the optimizer that was given, and the output folder. No step is taken, and the data are not iterated. The
    findings that are no errors are returned, so that a test can say `assert assert_ready(trainer) == []`.
    """
    args = getattr(trainer, "args", None)
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _arguments(args),
        lambda: _model(trainer, args),
        lambda: _tokenizer(trainer),
        lambda: _data(trainer, args),
        lambda: writable_output(args),
    ]
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception:  # what is unusual about a trainer is no reason to say that it cannot train
            logger.debug("a check of assert_ready failed", exc_info=True)
    if any(finding.severity == "error" for finding in findings):
        raise NotReadyError(findings)
    return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """What a number may be: `whole` only, from `least` (above it where `above`) to `most`; None where `none`."""

    least: float = 0.0
    most: float = math.inf
    whole: bool = False
    above: bool = False
    none: bool = False


_COUNT = _Range(least=1, whole=True)
_SHARE = _Range(most=1)
# What the Trainer divides by, compares and multiplies with (transformers 5.23, training_args.py and trainer.py). The
# names that a class of arguments does not have are left out.
_ARGUMENTS = {
    "per_device_train_batch_size": _COUNT,
    "per_device_eval_batch_size": _COUNT,
    "gradient_accumulation_steps": _COUNT,
    "max_steps": _Range(least=-1, whole=True),
    "num_train_epochs": _Range(),
    "learning_rate": _Range(above=True),
    "weight_decay": _Range(),
    "max_grad_norm": _Range(),
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": _Range(),
    "warmup_ratio": _Range(most=1, none=True),
    "warmup_steps": _Range(),
    "dataloader_num_workers": _Range(whole=True),
    "save_total_limit": _Range(whole=True, none=True),
    "max_length": _Range(least=1, whole=True, none=True),
    "seed": _Range(least=-math.inf, whole=True),
    "beta": _Range(),
}
# Asked only where the strategy of the name says "steps".
_INTERVALS = {"logging_steps": "logging_strategy", "eval_steps": "eval_strategy", "save_steps": "save_strategy"}


def _arguments(args: Any) -> Iterator[Finding]:
    if args is None:
        yield run_finding("RUN022", "the trainer has no args; pass args=TrainingArguments(output_dir=...)")
        return
    for name, allowed in _ARGUMENTS.items():
        if hasattr(args, name) and (problem := _problem(getattr(args, name), allowed)) is not None:
            yield _argument(name, getattr(args, name), problem)
    for name, strategy in _INTERVALS.items():
        kind = getattr(args, strategy, None)
        if str(getattr(kind, "value", kind)) == "steps" and hasattr(args, name):
            problem = _problem(getattr(args, name), _Range(above=True))
            if problem is not None:
                yield _argument(name, getattr(args, name), problem)
    epochs, steps = getattr(args, "num_train_epochs", None), getattr(args, "max_steps", None)
    if _is_number(epochs) and _is_number(steps) and epochs <= 0 and steps <= 0:
        yield run_finding(
            "RUN015",
            f"num_train_epochs={epochs} and max_steps={steps}, so no step would be trained; set one of them above 0",
            fix="num_train_epochs=1",
            evidence={"num_train_epochs": epochs, "max_steps": steps},
        )


def _problem(value: Any, allowed: _Range) -> str | None:
    """Why a value does not do; None where it does."""
    if value is None:
        return None if allowed.none else "the Trainer calculates with it"
    if not _is_number(value):
        return f"it is of type {type(value).__name__}, expected a number"
    if allowed.whole and value != int(value):
        return "expected a whole number"
    if math.isnan(value) or value < allowed.least or value > allowed.most or (allowed.above and value <= allowed.least):
        least = f"above {allowed.least:g}" if allowed.above else f"at least {allowed.least:g}"
        return f"expected {least}" + (f" and at most {allowed.most:g}" if allowed.most < math.inf else "")
    return None


def _argument(name: str, value: Any, problem: str) -> Finding:
    return run_finding(
        "RUN022",
        f"{name}={value!r}: {problem}, so training would fail or do nothing; set {name} in the trainer's arguments",
        fix=name,
        evidence={"argument": name, "value": value if isinstance(value, int | float | str) else repr(value)},
    )


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _model(trainer: Any, args: Any) -> Iterator[Finding]:
    model = getattr(trainer, "model", None)
    if not isinstance(model, torch.nn.Module):
        yield run_finding("RUN016", f"the trainer's model is {type(model).__name__}, expected a torch.nn.Module")
        return
    yield from trainable(model)
    yield from placed(model, args)
    yield from finite_weights(model)
    optimizer, scheduler = getattr(trainer, "optimizer", None), getattr(trainer, "lr_scheduler", None)
    if optimizer is not None:
        yield from owned(model, optimizer, args)
    steps = getattr(args, "max_steps", -1)
    if scheduler is not None and isinstance(steps, int):
        yield from planned(scheduler, steps, args)
    halves = [name for name, each in model.named_parameters() if each.requires_grad and each.dtype == torch.float16]
    if getattr(args, "fp16", False) and halves:
        yield run_finding(
            "RUN022",
            f"fp16=True and {len(halves):,} trainable tensors are float16 themselves ({halves[0]}), so the first step "
            'ends in "Attempting to unscale FP16 gradients"; load the model with dtype="float32", or set bf16=True',
            fix='dtype="float32"',
            evidence={"tensors": len(halves)},
        )


def _tokenizer(trainer: Any) -> Iterator[Finding]:
    tokenizer = getattr(trainer, "processing_class", None)
    if tokenizer is None:
        yield run_finding(
            "RUN022",
            "the trainer has no tokenizer, so its checkpoints hold none either; pass processing_class=tokenizer",
            severity="info",
            fix="processing_class=tokenizer",
        )
        return
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    if hasattr(inner, "__len__") and len(inner) == 0:
        yield run_finding("RUN022", "the tokenizer's vocabulary is empty; load it with AutoTokenizer.from_pretrained")


class _Peek:
    """The data and the collator as the trainer's own data loader has them, without making one."""

    def __init__(self, trainer: Any) -> None:
        self.dataset = trainer.train_dataset
        self.collate_fn: Any = getattr(trainer, "data_collator", None)
        if type(self.dataset).__module__.startswith("datasets."):
            self.dataset = trainer._remove_unused_columns(self.dataset, description="training")
        elif hasattr(trainer, "_get_collator_with_removed_columns"):
            self.collate_fn = trainer._get_collator_with_removed_columns(self.collate_fn, description="training")


def _data(trainer: Any, args: Any) -> Iterator[Finding]:
    dataset = getattr(trainer, "train_dataset", None)
    if dataset is None:
        yield run_finding("RUN015", "the trainer has no train_dataset, so train() would raise; pass train_dataset=...")
        return
    try:
        count = len(dataset)
    except TypeError:
        steps = getattr(args, "max_steps", None)
        if _is_number(steps) and steps <= 0:
            yield run_finding(
                "RUN015",
                "the training data are a stream without a length and max_steps is not set, so train() would raise; set "
                "max_steps",
                fix="max_steps=1000",
            )
        return
    batch = getattr(args, "per_device_train_batch_size", 1)
    if count == 0:
        yield run_finding("RUN015", "train_dataset is empty, so no step would be trained; pass one with examples")
        return
    if getattr(args, "dataloader_drop_last", False) and _is_number(batch) and count < batch:
        yield run_finding(
            "RUN015",
            f"train_dataset has {count:,} examples, fewer than per_device_train_batch_size={batch}, and "
            "dataloader_drop_last=True drops them all; lower the batch size, or keep the last batch",
            fix="dataloader_drop_last=False",
            evidence={"examples": count, "per_device_train_batch_size": batch},
        )
    yield from _batches(trainer, args)


def _batches(trainer: Any, args: Any) -> Iterator[Finding]:
    """What the collator makes of the data: an error where it fails, or where the model could not use it."""
    try:
        peek = _Peek(trainer)
    except ValueError as error:
        columns = getattr(trainer.train_dataset, "column_names", None)
        yield run_finding(
            "RUN022",
            f"no column of train_dataset ({_shown(columns)}) is an argument of the model's forward, so train() would "
            "raise; tokenize the data, or set remove_unused_columns=False",
            evidence={"columns": list(columns or ()), "error": type(error).__name__},
        )
        return
    if not can_sample(peek):
        return
    try:
        with random_numbers_kept():
            batch = peek.collate_fn([peek.dataset[0]])
    except Exception as error:
        columns = getattr(peek.dataset, "column_names", None)
        yield run_finding(
            "RUN022",
            f"the collator fails on the first example with {type(error).__name__}: {_first_line(error)}; its columns "
            f"are {_shown(columns)}",
            evidence={"error": type(error).__name__, "columns": list(columns or ())},
        )
        return
    yield from _no_loss(trainer, batch)
    yield from batch_findings(peek, trainer.model, args, getattr(trainer, "processing_class", None))


def _no_loss(trainer: Any, batch: Any) -> Iterator[Finding]:
    """A stock Trainer needs labels in the batch, or a model that gives a loss without them."""
    from transformers import Trainer

    stock = type(trainer).compute_loss is Trainer.compute_loss and type(trainer).training_step is Trainer.training_step
    if not stock or getattr(trainer, "compute_loss_func", None) is not None or not hasattr(batch, "keys"):
        return
    names = getattr(trainer, "label_names", None) or ["labels"]
    if getattr(trainer, "can_return_loss", False) or any(name in batch for name in names):
        return
    if "PreTrainedModel" not in {kind.__name__ for kind in type(trainer.model).__mro__}:
        return  # a model of one's own may make its loss of whatever it gets
    yield run_finding(
        "RUN022",
        f"the batches hold {_shown(list(batch.keys()))} and no {names[0]}, so the model returns no loss and train() "
        "would raise; use DataCollatorForLanguageModeling(tokenizer, mlm=False), or add the column",
        fix="data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False)",
        evidence={"keys": list(batch.keys())},
    )


def _shown(names: Any) -> str:
    return ", ".join(map(str, list(names)[:8])) if names else "none"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no text"])[0][:200]
