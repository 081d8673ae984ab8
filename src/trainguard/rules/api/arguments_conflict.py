"""API006: arguments that the library refuses together, or that defeat each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.findings import Finding, Location
from trainguard.libraries.argument_conflict_record import Conflict
from trainguard.libraries.argument_conflicts import CONFLICTS
from trainguard.rules.api._generations import generation_problems
from trainguard.rules.api._option_values import (
    Read,
    as_made,
    as_used,
    combinations,
    first_if_all,
    has_own_checks,
    holds_for,
    of_call,
    renamed,
    show,
)
from trainguard.rules.api._trainer_conflicts import TRAINER_CONFLICTS
from trainguard.rules.api._trainers import trainer_uses
from trainguard.rules.base import Example, Rule, Subject

# Older or newer spellings of an option, of which a release takes one.
_SPELLINGS = {
    "eval_strategy": ("eval_strategy", "evaluation_strategy"),  # transformers 4.41
    "gradient_checkpointing": ("gradient_checkpointing", "activation_checkpointing"),  # transformers 5.23
    "use_cpu": ("use_cpu", "no_cuda"),  # transformers 4.34
    "max_length": ("max_length", "max_seq_length"),  # trl 0.16
}
# Each check with its options in every spelling: one of them is written where it is set.
_WITH_NAMES = [
    (conflict, frozenset(name for option in conflict.defaults for name in _SPELLINGS.get(option, (option,))))
    for conflict in CONFLICTS
]
_CALLS = {owner for conflict in CONFLICTS if conflict.package for owner in conflict.owners} | {
    "BitsAndBytesConfig",
    "ModelConfig",
}
_CALL_PACKAGES = {"peft", "transformers", "trl"}


class ArgumentsConflict(Rule):
    """Arguments that the library refuses together.

    *What it does*

    Knows the checks that transformers, trl and peft make of their own arguments, and fires where the script certainly
    fails one: `fp16` with `bf16`, `load_best_model_at_end` with strategies that differ or steps that are no multiple
    of each other, `eval_strategy` without an `eval_dataset`, `packing` with a data collator, batches of GRPO that do
    not hold all completions of a prompt, an adapter on an adapter, and some thirty more. A release that does not make
    the check is not judged by it. Two combinations are only a warning, since one of the arguments is ignored:
    `max_steps` with `num_train_epochs`, and `gradient_checkpointing` with `use_cache=True`.

    *Why it costs you*

    The library raises when the configuration or the trainer is made: after the machine was started, the packages were
    installed and often after the model was loaded.

    *Example*

    ```python
    TrainingArguments("out", load_best_model_at_end=True, eval_strategy="steps", eval_steps=200, save_steps=500)
    ```

    *Use instead*

    ```python
    TrainingArguments("out", load_best_model_at_end=True, eval_strategy="steps", eval_steps=250, save_steps=500)
    ```
    """

    code = "API006"
    name = "arguments-conflict"
    severity = "error"
    area = "api"

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None:
            return
        patched = any(name.partition(".")[0] == "unsloth" for name in _imported(script))
        for conflict, read, fallback in _questions(subject, script):
            if patched and conflict.where.package == "trl":
                continue
            finding = self._judge(conflict, read, fallback)
            if finding is not None:
                yield finding
        if patched:  # unsloth replaces the trainers of trl and adapts their arguments
            return
        for problem in generation_problems(subject, script):
            yield self.finding(problem.message, where=problem.where, fix=problem.fix)
        for use in trainer_uses(script):
            for entry in TRAINER_CONFLICTS:
                if use.name in entry.trainers and holds_for(entry.where, subject):
                    found = entry.find(use)
                    if found is not None:
                        yield self.finding(found.message, where=found.where, fix=found.fix)

    def _judge(self, conflict: Conflict, read: Read, fallback: Location) -> Finding | None:
        for names in _SPELLINGS.values():
            read = renamed(read, names)
        found = first_if_all(combinations(read, conflict.defaults), conflict.refused)
        if found is None or not found.given:
            return None
        shown = {name: show(value) for name, value in found.values.items()}
        places = [read(name)[1] for name in conflict.defaults if name in found.given]
        finding = self.finding(
            conflict.message.format_map(shown),
            where=places[0] if places else fallback,
            fix=conflict.fix.format_map(shown),
        )
        return replace(finding, severity=conflict.severity)

    _ARGS = "from transformers import TrainingArguments\nargs = TrainingArguments({})\n"
    _TRAINER = (
        "from transformers import Trainer, TrainingArguments\n"
        'args = TrainingArguments("out", {})\n'
        "trainer = Trainer(model, args, train_dataset=data{})\n"
    )
    VALID = (
        Example(script=_ARGS.format('"out", fp16=not ampere, bf16=ampere'), why="Only one of them will be true."),
        Example(
            script=_ARGS.format('"out", load_best_model_at_end=True, eval_strategy="epoch", save_strategy="epoch"'),
        ),
        Example(
            script=_ARGS.format(
                '"out", load_best_model_at_end=True, eval_strategy="steps", eval_steps=50, save_steps=100'
            ),
        ),
        Example(script=_TRAINER.format('eval_strategy="epoch"', ", eval_dataset=held_out")),
        Example(
            script=_TRAINER.format('eval_strategy="epoch"', ", **datasets"), why="The dataset may be among the rest."
        ),
        Example(
            script=(
                "from trl import GRPOConfig\n"
                'args = GRPOConfig("out", per_device_train_batch_size=2, num_generations=8)\n'
            ),
            why="On how many GPUs it runs cannot be told.",
        ),
    )
    INVALID = (
        Example(
            script=_ARGS.format('"out", fp16=True, bf16=True'),
            findings=(
                (
                    2,
                    "fp16=True and bf16=True are refused together: a run has one precision; keep bf16=True on Ampere "
                    "and newer GPUs, else fp16=True",
                ),
            ),
        ),
        Example(
            script=_ARGS.format('"out", load_best_model_at_end=True, eval_strategy="epoch"'),
            findings=(
                (
                    2,
                    "load_best_model_at_end=True is refused where models are saved and evaluated at different times: "
                    'save_strategy is "steps", eval_strategy "epoch"; set both to the same',
                ),
            ),
        ),
        Example(
            script=_ARGS.format(
                '"out", load_best_model_at_end=True, eval_strategy="steps", eval_steps=200, save_steps=500'
            ),
            findings=(
                (
                    2,
                    "load_best_model_at_end=True needs save_steps to be a multiple of eval_steps, and 500 is none of "
                    "200: the best model would not have been saved",
                ),
            ),
        ),
        Example(
            script=_TRAINER.format('eval_strategy="epoch"', ""),
            findings=(
                (
                    2,
                    'eval_strategy="epoch" is refused, since the Trainer is given no eval_dataset; pass one, or set '
                    'eval_strategy="no"',
                ),
            ),
        ),
        Example(
            script=(
                "from trl import GRPOConfig\n"
                'args = GRPOConfig("out", per_device_train_batch_size=2, num_generations=8)\n'
            ),
            job={"flavor": "a10g-small"},
            findings=(
                (
                    2,
                    "a generation batch of 2 completions (per_device_train_batch_size 2 x 1 GPU x "
                    "gradient_accumulation_steps 1) is no multiple of num_generations=8: it holds all completions of "
                    "a prompt; raise gradient_accumulation_steps or lower num_generations",
                ),
            ),
            why="The machine has one GPU.",
        ),
    )


def _imported(script: ScriptFacts) -> Iterator[str]:
    return (each.module or "" for each in script.imports)


def _questions(subject: Subject, script: ScriptFacts) -> Iterator[tuple[Conflict, Read, Location]]:
    """Each check that concerns a configuration of the script, with how to read that configuration."""
    words = script.words
    asked = [c for c, names in _WITH_NAMES if not words.isdisjoint(names) and holds_for(c.where, subject)]
    for config in script.training.configs:
        if has_own_checks(script, config.class_names, config.kind):
            continue
        for conflict in asked:
            if conflict.owners & config.class_names and not conflict.package:
                yield conflict, _read(conflict, config, script), config.call.location
    for call in _calls(script):
        for conflict in asked:
            if conflict.owners & call.names and conflict.package in ("", call.package):
                yield conflict, of_call(call, script), call.location


def _read(conflict: Conflict, config: Config, script: ScriptFacts) -> Read:
    return as_made(config, script) if conflict.made else as_used(config)


def _calls(script: ScriptFacts) -> Iterator[Call]:
    names = [name for name in _CALLS if name in script.mentions]
    return (call for call in script.calls_named(*names) if call.package in _CALL_PACKAGES) if names else iter(())
