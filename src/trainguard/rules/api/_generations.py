"""Whether the batches of GRPO and RLOO hold all completions of a prompt, where the number of processes is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.libraries.argument_facts import GENERATING, Since
from trainguard.rules.api._option_values import as_made, combinations, first_if_all, has_own_checks, holds_for
from trainguard.rules.api._trainer_conflicts import Problem
from trainguard.rules.base import Subject

# trl 1.16.0, trainer/grpo_config.py and rloo_config.py `__post_init__`; the same since 0.20 and 0.22.
_SINCE = {"GRPOConfig": Since("trl", "0.20.0"), "RLOOConfig": Since("trl", "0.22.0")}
_GENERATIONS = {"GRPOConfig": 8, "RLOOConfig": 2}
_BATCH: Mapping[str, Any] = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "steps_per_generation": None,
    "generation_batch_size": None,
}


def generation_problems(subject: Subject, script: ScriptFacts) -> Iterator[Problem]:
    """The configurations whose generation batch is no multiple of `num_generations` on a machine with one GPU."""
    if subject.job is None or not _is_one_process(subject.job):
        return
    for config in script.training.configs:
        owner = min(GENERATING & config.class_names, default="")
        if not owner or not holds_for(_SINCE[owner], subject):
            continue
        if has_own_checks(script, config.class_names, config.kind):
            continue
        read = as_made(config, script)
        found = first_if_all(combinations(read, {**_BATCH, "num_generations": _GENERATIONS[owner]}), _is_broken)
        if found is None or not found.given & {"per_device_train_batch_size", "num_generations"}:
            continue
        values, given = found.values, found.given
        at = "num_generations" if "num_generations" in given else "per_device_train_batch_size"
        steps = "steps_per_generation" if values["steps_per_generation"] else "gradient_accumulation_steps"
        yield Problem(
            f"a generation batch of {_size(values)} completions (per_device_train_batch_size "
            f"{values['per_device_train_batch_size']} x 1 GPU x {steps} {values[steps]}) is no multiple of "
            f"num_generations={values['num_generations']}: it holds all completions of a prompt; raise "
            f"{steps} or lower num_generations",
            read(at)[1],
            f"{steps}={values['num_generations']}",
        )


def _is_one_process(job: JobFacts) -> bool:
    return job.remote and job.flavor is not None and job.flavor.gpu_count == 1


def _size(values: Mapping[str, Any]) -> int:
    steps = values["steps_per_generation"] or values["gradient_accumulation_steps"]
    return int(values["per_device_train_batch_size"] * steps)


def _is_broken(values: Mapping[str, Any]) -> bool:
    if values["generation_batch_size"] is not None or values["num_generations"] < 2:
        return False
    sizes = (values["per_device_train_batch_size"], values["gradient_accumulation_steps"])
    return all(isinstance(size, int) and size > 0 for size in sizes) and _size(values) % values["num_generations"] != 0
