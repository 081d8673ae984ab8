"""What a run has promised, from the flags of `trainguard watch` and from the configuration of a guarded run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.errors import UsageError
from trainguard.report.visible import visible
from trainguard.sources.declared import from_arguments

if TYPE_CHECKING:
    from trainguard.facts.config.schema import RunConfig


def read_run_config(path: Path) -> RunConfig:
    """The configuration of the run that is watched. Raises UsageError where it has problems."""
    from trainguard.facts.config.reading import read_config

    facts = read_config(path, environment=os.environ)
    if facts.run is None:
        problem = facts.problems[0]
        where = f" line {problem.line}:" if problem.line else ""
        name = f" {problem.key or problem.field}" if problem.key or problem.field else ""
        raise UsageError(
            visible(
                f"--config {path}:{where}{name} is {problem.got}, expected {problem.expected}; see `trainguard check`"
            )
        )
    return facts.run


def declared_by(run: RunConfig) -> dict[str, Any]:
    """What a configuration promises, under the names of `watch_metrics`."""
    declared = from_arguments(
        {
            "max_steps": run.max_steps or -1,
            "num_train_epochs": run.epochs,
            "learning_rate": run.learning_rate,
            "lr_scheduler_type": run.scheduler,
            "lr_scheduler_kwargs": run.scheduler_arguments,
            "warmup_steps": run.warmup,
            "max_grad_norm": run.max_grad_norm,
            "gradient_accumulation_steps": run.gradient_accumulation,
            "logging_steps": run.logging_steps,
            "logging_strategy": "steps",
            "eval_steps": run.eval.steps,
            "eval_strategy": run.eval.strategy,
            "save_steps": run.save.steps,
            "save_strategy": run.save.strategy,
        }
    )
    declared["peft"] = run.method != "full"
    if run.precision == "fp16":
        declared["fp16"] = True
    return declared


def thresholds_by(run: RunConfig) -> Mapping[str, Mapping[str, float]]:
    """The thresholds that a configuration sets, by code and key."""
    return run.guard.thresholds
