"""API009: a number that no run survives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.script import ScriptFacts
from trainguard.findings import Finding, Location
from trainguard.libraries.argument_ranges import RANGES, Range
from trainguard.rules.api._adam import brings_optimizer, uses_adam
from trainguard.rules.api._option_values import (
    Read,
    as_made,
    as_used,
    combinations,
    first_if_all,
    has_own_checks,
    holds_for,
    of_call,
    show,
)
from trainguard.rules.base import Example, Rule, Subject


class ArgumentOutOfRange(Rule):
    """A number for an argument that no run survives.

    *What it does*

    Fires when an argument of a training configuration or of `LoraConfig` is certainly a number that fails, or with
    which nothing is learned: a `learning_rate` of 0 and below or 1 and above, a batch size or a number of accumulation
    steps below 1, a share outside of 0 to 1 (`warmup_ratio`, the betas of Adam, `lora_dropout`), a LoRA rank below 1,
    fewer than two `num_generations`. A learning rate is not judged where the script brings its own optimizer.

    *Why it costs you*

    Some of these raise when the first batch is made, after model and data were loaded; the others train for hours and
    give back the model that went in.

    *Example*

    ```python
    TrainingArguments("out", learning_rate=2e5, per_device_train_batch_size=0)
    ```

    *Use instead*

    ```python
    TrainingArguments("out", learning_rate=2e-5, per_device_train_batch_size=8)
    ```
    """

    code = "API009"
    name = "argument-out-of-range"
    severity = "error"
    area = "api"

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None:
            return
        asked = [entry for entry in RANGES if entry.argument in script.words and holds_for(entry.where, subject)]
        for entry, read, call_place in _questions(script, asked):
            if entry.optimizer and (brings_optimizer(script) or not uses_adam(read)):
                continue
            found = first_if_all(combinations(read, entry.defaults), entry.is_out)
            if found is None or entry.argument not in found.given:
                continue
            value = show(found.values[entry.argument])
            yield self.finding(
                f"{entry.argument}={value} {entry.why}; take {entry.allowed}",
                where=read(entry.argument)[1] or call_place,
                fix=f"{entry.argument}={entry.instead}",
            )

    _ARGS = 'from transformers import TrainingArguments\nargs = TrainingArguments("out", {})\n'
    VALID = (
        Example(script=_ARGS.format("learning_rate=2e-5, per_device_train_batch_size=1, warmup_ratio=0.1")),
        Example(script=_ARGS.format("learning_rate=rate, gradient_accumulation_steps=batch // 8")),
        Example(script=_ARGS.format("learning_rate=2e-5 if full else 0"), why="Only one of the two is wrong."),
        Example(
            script=(
                "from prodigyopt import Prodigy\nfrom transformers import Trainer, TrainingArguments\n"
                'args = TrainingArguments("out", learning_rate=1.0)\n'
                "Trainer(model, args, optimizers=(Prodigy(model.parameters()), None)).train()\n"
            ),
            why="Prodigy wants a learning rate of 1.",
        ),
        Example(
            script="from peft import LoraConfig\nLoraConfig(r=16, lora_alpha=32, lora_dropout=0.05)\n",
        ),
    )
    INVALID = (
        Example(
            script=_ARGS.format("learning_rate=2e5"),
            findings=((2, "learning_rate=200000.0 makes the first step destroy the weights; take a number above 0 and "
                       "below 1, such as 2e-5"),),
        ),
        Example(
            script=_ARGS.format("per_device_train_batch_size=0"),
            findings=((2, "per_device_train_batch_size=0 is refused: a batch has at least one example; take 1 or "
                       "more"),),
        ),
        Example(
            script="from peft import LoraConfig\nLoraConfig(r=0, lora_alpha=16)\n",
            findings=((2, "r=0 is refused: an adapter has at least rank 1; take 1 or more, such as 16"),),
        ),
    )  # fmt: skip


def _questions(script: ScriptFacts, asked: list[Range]) -> Iterator[tuple[Range, Read, Location]]:
    for config in script.training.configs:
        own = has_own_checks(script, config.class_names, config.kind)
        for entry in asked:
            if entry.owners & config.class_names and not entry.package and not own:
                read = as_made(config, script) if entry.made else as_used(config)
                yield entry, read, config.call.location
    owners = {owner for entry in asked if entry.package for owner in entry.owners} & script.mentions
    for call in script.calls_named(*owners) if owners else ():
        for entry in asked:
            if entry.owners & call.names and entry.package and entry.package == call.package:
                yield entry, of_call(call, script), call.location
