"""A trainer of a script with the configuration that it is given, for checks that a trainer makes itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.facts.values import ABSENT, UNKNOWN, Class, Constant, Instance, Symbol, Value, is_none, options
from trainguard.findings import Location
from trainguard.libraries.argument_facts import TRAINERS
from trainguard.rules.api._option_values import Read, as_used, has_own_checks

_PACKAGES = ("transformers", "trl")


@dataclass(frozen=True, slots=True)
class TrainerUse:
    """A trainer of transformers or trl, or a class of the script that only extends one. `config` None: its defaults."""

    call: Call
    name: str
    config: Config | None

    @property
    def read(self) -> Read:
        """The options of its configuration; all ABSENT where it makes its own."""
        if self.config is not None:
            return as_used(self.config)
        return self._absent

    def _absent(self, _: str) -> tuple[Value, Location]:
        return ABSENT, self.call.location

    def argument(self, name: str) -> Value:
        """An argument that stands behind `args`: by keyword; UNKNOWN where it may have been given by position."""
        value = self.call.argument(name)
        if value is ABSENT and self.call.positional_count > TRAINERS[self.name][0] + 1:
            return UNKNOWN
        return value

    @property
    def model(self) -> Value:
        return self.call.argument("model", 0)


def trainer_uses(script: ScriptFacts) -> Iterator[TrainerUse]:
    """The trainers of a script whose class and configuration are certain."""
    configs = {config.call.node: config for config in script.training.configs}
    for call in script.training.trainers:
        found = call.names & TRAINERS.keys()
        if len(found) != 1 or not _is_the_libraries(call, script):
            continue
        name = min(found)
        given = call.argument("args", TRAINERS[name][0])
        if given is ABSENT or is_none(given):
            yield TrainerUse(call, name, None)
        config = configs.get(given.call.node) if isinstance(given, Instance) else None
        if config is not None and not has_own_checks(script, config.class_names, config.kind):
            yield TrainerUse(call, name, config)


def _is_the_libraries(call: Call, script: ScriptFacts) -> bool:
    callee = call.callee
    if isinstance(callee, Symbol):
        return callee.package in _PACKAGES
    return isinstance(callee, Class) and not has_own_checks(script, call.names, callee)


def is_certainly_none(value: Value) -> bool:
    """Whether an argument is not given, or None in every case."""
    return all(option is ABSENT or is_none(option) for option in options(value))


def is_certainly_given(value: Value) -> bool:
    """Whether an argument is certainly something else than None: an object that a call of a class makes, a literal."""
    return all(_is_something(option) for option in options(value))


def _is_something(value: Value) -> bool:
    if isinstance(value, Instance):
        return isinstance(value.call.callee, Symbol) and value.call.name[:1].isupper()
    if isinstance(value, Constant):
        return value.value is not None
    return value.__class__.__name__ in ("Function", "Class", "Items", "Table")


def made_by(value: Value, *names: str) -> bool:
    """Whether a value is certainly what a call of one of `names` gave back."""
    return all(isinstance(option, Instance) and option.call.written_name in names for option in options(value))


def same_name(call: Call, first: str, second: str) -> bool:
    """Whether two arguments are one variable; `first` may be the first positional one."""
    nodes = {keyword.arg: keyword.value for keyword in call.node.keywords}
    one, other = nodes.get(first) or (call.node.args[0] if call.node.args else None), nodes.get(second)
    if other is None and len(call.node.args) > 1:
        other = call.node.args[1]
    return isinstance(one, ast.Name) and isinstance(other, ast.Name) and one.id == other.id
