"""What a run will do, before anything is loaded: examples, steps, schedule, checkpoints. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainguard.facts.checkpoint.prunable import ALWAYS_KEPT
from trainguard.facts.config.schema import RunConfig

# Bytes of a weight by the number format that it is trained in; AdamW keeps two float32 moments for each trained one
# (torch 2.13, optim/adamw.py: exp_avg and exp_avg_sq have the weight's format, which for trained weights is float32).
_FLOAT32 = 4
_MOMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSize:
    """How much training data there is: `tokens` of one pass, `exact` where a tokenizer counted them."""

    examples: int
    tokens: int | None = None
    exact: bool = False
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How many weights the model has, and how many of them are trained; None where the files do not tell."""

    all: int | None = None
    trained: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The numbers of a run. None where they cannot be told before the data is tokenized.

    `steps` are optimizer steps of this file alone, `step_before` those that the lineage has made before it.
    `approximate` says that packing or an estimate of lengths stands behind `steps`. `checkpoint_bytes` is an estimate.
    `standing` are the whole checkpoints that lie in the output folder already and that pruning may replace,
    `begin_kept` says that the one with which this file began is among them: it is not replaced.
    """

    model: str
    method: str
    precision: str
    examples: int | None
    tokens: int | None
    tokens_exact: bool
    cut: int
    max_length: int
    packing: bool
    processes: int
    batch_size: int
    gradient_accumulation: int
    epochs: float
    steps_per_epoch: int | None
    steps: int | None
    approximate: bool
    learning_rate: float
    scheduler: str
    warmup_steps: int | None
    eval_every: int | None
    eval_strategy: str
    save_every: int | None
    save_strategy: str
    saves: int | None
    keep: int | None
    checkpoint_bytes: int | None
    output_dir: str
    step_before: int = 0
    standing: int = 0
    begin_kept: bool = False
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def effective_batch(self) -> int:
        """Examples behind one optimizer step, over all processes."""
        return self.batch_size * self.gradient_accumulation * self.processes

    @property
    def needed_bytes(self) -> int | None:
        """What the checkpoints of one time take beyond those that stand now: those that are kept, and the one being
        written. The two newest are kept whatever `keep` is, and the one with which the file began (prunable.py).
        """
        if self.checkpoint_bytes is None or self.save_strategy == "no":
            return None
        most = self.standing + max(self.saves or 1, 1)
        kept = min(max(self.keep, ALWAYS_KEPT + self.begin_kept), most) if self.keep is not None else most
        return self.checkpoint_bytes * max(kept + 1 - self.standing, 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "notes": list(self.notes), "effective_batch": self.effective_batch}


def make_plan(
    run: RunConfig,
    size: DataSize | None,
    weights: Weights,
    *,
    output_dir: str,
    processes: int = 1,
    step_before: int = 0,
    last_checkpoint_bytes: int | None = None,
    standing: int = 0,
    begin_kept: bool = False,
) -> Plan:
    """The plan of a run. `size` is None for data that is not on this disk; `processes` is WORLD_SIZE.

    `last_checkpoint_bytes` is the size of a checkpoint that the same run has saved, which no estimate beats; `standing`
    and `begin_kept` are as in Plan.
    """
    sequences = _sequences(run, size)
    steps_per_epoch = None if sequences is None else epoch_steps(
        sequences, run.batch_size, run.gradient_accumulation, processes
    )  # fmt: skip
    steps = run.max_steps
    if steps is None and steps_per_epoch is not None:
        steps = math.ceil(run.epochs * steps_per_epoch)
    save_every = interval(run.save.steps, steps) if run.save.strategy == "steps" else steps_per_epoch
    return Plan(
        model=run.base_model or "",
        method=run.method,
        precision=run.precision,
        examples=size.examples if size is not None else None,
        tokens=size.tokens if size is not None else None,
        tokens_exact=size is not None and size.exact,
        cut=size.cut if size is not None else 0,
        max_length=run.max_length,
        packing=run.packing,
        processes=processes,
        batch_size=run.batch_size,
        gradient_accumulation=run.gradient_accumulation,
        epochs=run.epochs,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        approximate=run.packing and run.max_steps is None,
        learning_rate=run.learning_rate,
        scheduler=run.scheduler,
        warmup_steps=warmup_steps(run.warmup, steps),
        eval_strategy=run.eval.strategy if run.eval.data is not None else "no",
        eval_every=_eval_every(run, steps, steps_per_epoch),
        save_strategy=run.save.strategy,
        save_every=save_every if run.save.strategy != "no" else None,
        saves=_saves(run, steps, save_every),
        keep=run.save.keep,
        checkpoint_bytes=last_checkpoint_bytes or _checkpoint_bytes(run, weights),
        output_dir=output_dir,
        step_before=step_before,
        standing=standing,
        begin_kept=begin_kept,
    )


def epoch_steps(sequences: int, batch_size: int, gradient_accumulation: int, processes: int) -> int:
    """Optimizer steps of one pass over the data, as the Trainer counts them.

    Each process gets as many batches as the others (accelerate 1.15, data_loader.py, `BatchSamplerShard.__len__` with
    even_batches), and what remains of an accumulation is a step too (transformers 5.23, trainer.py,
    `set_initial_training_values`).
    """
    batches = math.ceil(math.ceil(sequences / batch_size) / processes)
    return max(math.ceil(batches / gradient_accumulation), 1) if sequences else 0


def interval(given: float | None, steps: int | None) -> int | None:
    """An interval in steps; below 1 it is a share of all steps (transformers 5.23, `TrainerState.compute_steps`)."""
    if given is None:
        return None
    if given >= 1:
        return int(given)
    return math.ceil(steps * given) if steps is not None else None


def warmup_steps(given: float, steps: int | None) -> int | None:
    """Steps of the warm-up; below 1 a share (transformers 5.23, `TrainingArguments.get_warmup_steps`)."""
    if given >= 1:
        return int(given)
    return math.ceil(steps * given) if steps is not None else 0 if given == 0 else None


def _sequences(run: RunConfig, size: DataSize | None) -> int | None:
    if size is None:
        return None
    if not run.packing:
        return size.examples
    return max(math.ceil(size.tokens / run.max_length), 1) if size.tokens else None


def _eval_every(run: RunConfig, steps: int | None, steps_per_epoch: int | None) -> int | None:
    if run.eval.data is None or run.eval.strategy == "no":
        return None
    if run.eval.strategy == "epoch":
        return steps_per_epoch
    return interval(run.eval.steps if run.eval.steps is not None else run.logging_steps, steps)


def _saves(run: RunConfig, steps: int | None, every: int | None) -> int | None:
    if run.save.strategy == "no":
        return 0
    return math.ceil(steps / every) if steps is not None and every else None


def _checkpoint_bytes(run: RunConfig, weights: Weights) -> int | None:
    """Weights that are saved, and the moments of those that are trained."""
    trained = weights.all if run.method == "full" else weights.trained
    if trained is None:
        return None
    moments = 0 if run.trainer_arguments.get("save_only_model") else _MOMENTS
    return trained * _FLOAT32 * (1 + moments)


def trained_weights(shapes: Mapping[str, tuple[int, ...]], run: RunConfig) -> Weights:
    """The weights of a model by the shapes of its tensors, and those of the adapter that the run puts on it.

    An adapter on a layer of (out, in) has r * (in + out) weights (Hu et al. 2021, LoRA, section 4.1). Its size is told
    for all-linear and for lists of names; a regular expression is peft's to read.
    """
    everything = sum(math.prod(shape) for shape in shapes.values())
    if run.method == "full":
        return Weights(all=everything, trained=everything)
    targets = run.lora.target_modules
    trained = 0
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        last = module.rpartition(".")[2]
        if kind != "weight" or len(shape) != 2:
            continue
        if last in run.lora.modules_to_save:
            trained += math.prod(shape)
        elif (last not in _NOT_LINEAR and targets == "all-linear") or (isinstance(targets, list) and last in targets):
            trained += run.lora.r * sum(shape)
    return Weights(all=everything, trained=trained or None)


# Matrices that all-linear leaves out: embeddings, and the head (peft 0.21, `_maybe_include_all_linear_layers`).
_NOT_LINEAR = frozenset({"embed_tokens", "lm_head", "wte", "wpe", "word_embeddings", "embed_in", "embed_out"})
