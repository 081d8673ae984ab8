"""Shorthands for tests of the script facts."""

from __future__ import annotations

from collections.abc import Sequence

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts, read_script
from trainguard.facts.training import Training
from trainguard.facts.values import Value


def calls_of(source: str, name: str = "show", arguments: Sequence[str] | None = ()) -> list[Call]:
    """The calls of a function by its written name, in the order of the text."""
    return [call for call in read_script(source, arguments=arguments).calls if call.written_name == name]


def shown(source: str, arguments: Sequence[str] | None = ()) -> list[Value]:
    """What the facts say of the first argument of each `show(…)`."""
    return [call.positional(0) for call in calls_of(source, arguments=arguments)]


def training_of(source: str, arguments: Sequence[str] | None = ()) -> Training:
    return read_script(source, arguments=arguments).training


def options_of(source: str, name: str, arguments: Sequence[str] | None = ()) -> list[Value]:
    """What each configuration of a script says of an option."""
    return [option.value for option in training_of(source, arguments).option(name)]


def written_names(script: ScriptFacts) -> set[str]:
    return {call.written_name for call in script.calls}
