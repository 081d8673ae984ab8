"""API007: None for an argument that the library compares or computes with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import ABSENT, Value, is_none, text
from trainguard.findings import Finding, Location
from trainguard.libraries.argument_nones import REFUSES_NONE, NoneFact
from trainguard.rules.api._adam import brings_optimizer, uses_adam
from trainguard.rules.api._option_values import Read, as_made, as_used, has_own_checks, holds_for, of_call
from trainguard.rules.base import Example, Rule, Subject


class NoneNotAccepted(Rule):
    """`None` for an argument that is compared or computed with.

    *What it does*

    Fires when an argument of a training configuration or of `LoraConfig` is certainly `None` (written so, or a
    variable that can only be `None`) and the library fails on it, since it compares it with a number, computes with
    it or looks it up. Which arguments these are was found by running the libraries.

    *Why it costs you*

    The error comes from inside the library, often only at the first step: `'>' not supported between instances of
    'NoneType' and 'int'`, without the name of the argument.

    *Example*

    ```python
    TrainingArguments("out", num_train_epochs=None, max_steps=500)
    ```

    *Use instead*

    ```python
    TrainingArguments("out", max_steps=500)
    ```
    """

    code = "API007"
    name = "none-not-accepted"
    severity = "error"
    area = "api"

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or ("None" not in script.text and not script.arguments):
            return
        for fact, read in _questions(script, subject):
            if not _is_read(fact, read, script):
                continue
            for argument in fact.arguments:
                value, where = read(argument)
                if is_none(value):
                    yield self._finding(argument, fact, where)

    def _finding(self, argument: str, fact: NoneFact, where: Location) -> Finding:
        return self.finding(
            f"{argument}=None fails: the library {fact.why}; leave {argument} out to have its default",
            where=where,
            fix=f"no {argument}",
        )

    _ARGS = 'from transformers import TrainingArguments\n{}args = TrainingArguments("out", {})\n'
    VALID = (
        Example(script=_ARGS.format("", "max_steps=500")),
        Example(script=_ARGS.format("", "eval_steps=None, save_total_limit=None"), why="These may be None."),
        Example(
            script=_ARGS.format("epochs = 3 if full else None\n", "num_train_epochs=epochs"),
            why="It may be a number.",
        ),
    )
    INVALID = (
        Example(
            script=_ARGS.format("", "num_train_epochs=None, max_steps=500"),
            findings=(
                (
                    2,
                    "num_train_epochs=None fails: the library compares it or computes with it; leave num_train_epochs "
                    "out to have its default",
                ),
            ),
        ),
        Example(
            script=_ARGS.format("EPOCHS = None\n", "**{'num_train_epochs': EPOCHS}"),
            findings=(
                (
                    3,
                    "num_train_epochs=None fails: the library compares it or computes with it; leave num_train_epochs "
                    "out to have its default",
                ),
            ),
            why="The variable can only be None.",
        ),
    )


def _is_read(fact: NoneFact, read: Read, script: ScriptFacts) -> bool:
    """Whether the library looks at the arguments of `fact` in this configuration at all."""
    if fact.adam and (brings_optimizer(script) or not uses_adam(read)):
        return False
    if not fact.strategy:
        return True
    strategy = read(fact.strategy)[0]
    return strategy is ABSENT or text(strategy) == "steps"


def _questions(script: ScriptFacts, subject: Subject) -> Iterator[tuple[NoneFact, Read]]:
    words = script.words
    asked = [f for f in REFUSES_NONE if not words.isdisjoint(f.arguments) and holds_for(f.where, subject)]
    for config in script.training.configs:
        if has_own_checks(script, config.class_names, config.kind):
            continue
        for fact in asked:
            if fact.owners & config.class_names and not fact.package:
                yield fact, _not_mended(as_made(config, script), as_used(config))
    owners = {owner for fact in asked if fact.package for owner in fact.owners} & script.mentions
    for call in script.calls_named(*owners) if owners else ():
        for fact in asked:
            if fact.owners & call.names and fact.package == call.package:
                yield fact, of_call(call, script)


def _not_mended(made: Read, used: Read) -> Read:
    """What the constructor gets, where it is not set to something else before it is used."""

    def read(name: str) -> tuple[Value, Location]:
        value, where = made(name)
        return (value, where) if is_none(used(name)[0]) else used(name)

    return read
