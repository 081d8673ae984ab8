"""The options of a configuration as plain Python values, where they are certain.

A rule about values gets every combination of values that its options may have, and speaks where all are bad.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from packaging.version import InvalidVersion, Version

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.training import Config
from trainguard.facts.values import (
    ABSENT,
    Class,
    Constant,
    Function,
    Instance,
    Items,
    Symbol,
    Table,
    Value,
    options,
)
from trainguard.findings import Location
from trainguard.libraries.argument_facts import GIVEN, REQUIRED, Since
from trainguard.rules.base import Subject

Read: TypeAlias = Callable[[str], tuple[Value, Location]]

_MAX_COMBINATIONS = 64
# Methods and functions that never give back None.
_MAKERS = {"from_pretrained", "from_config", "get_peft_model", "load_dataset", "FastLanguageModel.get_peft_model"}
# Whose classes the rules know; a class of the same name elsewhere (setfit.TrainingArguments) is another.
_PACKAGES = {"transformers", "trl", "peft"}
_OWN_CHECKS = ("__init__", "__post_init__", "__new__")


class _Unknown:
    """Something that cannot be told."""


UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class Combination:
    """One combination of values that options may have. `places` says where each stands, or would stand."""

    values: Mapping[str, Any]
    given: frozenset[str]


def plain(value: Value) -> Any:
    """The Python value that `value` certainly is; GIVEN for something that is certainly not None, else UNKNOWN."""
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Items) and value.complete:
        return [GIVEN if (item := plain(each)) is UNKNOWN else item for each in value.items]
    if isinstance(value, Table) and value.complete:
        return {key: GIVEN if (item := plain(each)) is UNKNOWN else item for key, each in value.entries.items()}
    if isinstance(value, Function | Class):
        return GIVEN
    if isinstance(value, Instance) and _makes_something(value.call):
        return GIVEN
    return UNKNOWN


def _makes_something(call: Call) -> bool:
    if call.written_name in _MAKERS:
        return True
    return isinstance(call.callee, Symbol | Class) and call.name[:1].isupper()


def combinations(read: Read, defaults: Mapping[str, Any]) -> Iterator[Combination]:
    """Every combination of values that the options named by `defaults` may have.

    Nothing where one of them cannot be told, or is not given and has no default that all releases share (REQUIRED).
    """
    columns: list[list[tuple[Any, bool]]] = []
    for name, default in defaults.items():
        column = []
        for option in options(read(name)[0]):
            value = default if option is ABSENT else plain(option)
            if value is UNKNOWN or value is REQUIRED:
                return
            column.append((value, option is not ABSENT))
        columns.append(column)
    names = list(defaults)
    for count, row in enumerate(itertools.product(*columns)):
        if count == _MAX_COMBINATIONS:
            raise TooManyError
        values = {name: value for name, (value, _) in zip(names, row, strict=True)}
        yield Combination(values, frozenset(name for name, (_, given) in zip(names, row, strict=True) if given))


class TooManyError(Exception):
    """An option may have more values than are worth trying."""


def first_if_all(found: Iterator[Combination], bad: Callable[[Mapping[str, Any]], bool]) -> Combination | None:
    """The first combination, where all are bad; None where one is not, or there is none."""
    try:
        every = list(found)
    except TooManyError:
        return None
    return every[0] if every and all(_holds(bad, each.values) for each in every) else None


def _holds(bad: Callable[[Mapping[str, Any]], bool], values: Mapping[str, Any]) -> bool:
    try:
        return bool(bad(values))
    except (TypeError, ValueError, ArithmeticError):  # a value of another type: the type is another rule's business
        return False


# -- what is read --------------------------------------------------------------


def as_made(config: Config, script: ScriptFacts) -> Read:
    """The options as the constructor of `config` gets them: what is assigned later is not checked again."""
    if not isinstance(config.call.callee, Symbol | Class) or config.call.written_name.startswith("parse_"):
        return as_used(config)
    return of_call(config.call, script)


def as_used(config: Config) -> Read:
    """The options as a trainer gets them, with what was assigned after the construction."""

    def read(name: str) -> tuple[Value, Location]:
        option = config.option(name)
        return option.value, option.where

    return read


def of_call(call: Call, script: ScriptFacts) -> Read:
    """The keyword arguments of a call, and what a class of the script sets for fields of its own."""

    def read(name: str) -> tuple[Value, Location]:
        value = call.argument(name)
        if value is ABSENT:
            value = script.resolver.class_default(call, name)
        return value, call.argument_location(name)

    return read


def renamed(read: Read, names: Sequence[str]) -> Read:
    """`read`, which looks for an option under the first of its names that is given: an older spelling of it."""

    def look(name: str) -> tuple[Value, Location]:
        found = read(name)
        if name == names[0]:
            for other in names[1:]:
                if found[0] is not ABSENT:
                    return found
                found = read(other)
        return found

    return look


def has_own_checks(script: ScriptFacts, names: frozenset[str], kind: Value) -> bool:
    """Whether what is made may be something else than the library's: a class of the script, or of another package, that
    only has its name, or one that may change options before the library's checks see them.
    """
    kinds = options(kind)
    if not all(_may_be_library(script, option) for option in kinds):
        return True
    if not any(isinstance(option, Class) for option in kinds):
        return False
    classes = (node for node in ast.walk(script.syntax.tree) if isinstance(node, ast.ClassDef) and node.name in names)
    return any(isinstance(s, ast.FunctionDef) and s.name in _OWN_CHECKS for node in classes for s in node.body)


def _may_be_library(script: ScriptFacts, kind: Value) -> bool:
    """Whether a class is the library's or derives from it, as far as can be told; its name alone does not say so."""
    if isinstance(kind, Symbol):
        return "." not in kind.path or kind.package in _PACKAGES
    if not isinstance(kind, Class):
        return not isinstance(kind, Function)
    waiting, seen = [kind], {kind.node}
    while waiting:
        for base in script.resolver.bases(waiting.pop()):
            if not isinstance(base, Class):
                if _may_be_library(script, base):
                    return True
            elif base.node not in seen:
                seen.add(base.node)
                waiting.append(base)
    return False


# -- for which releases ----------------------------------------------------------


def version_of(subject: Subject, library: str) -> str | None:
    """The release of `library` that the job installs, None where nothing says so: the newest."""
    interfaces = getattr(getattr(subject, "api", None), "interfaces", None)
    found = interfaces.version(library) if interfaces is not None else None
    return found if isinstance(found, str) else None


def holds_for(since: Since, subject: Subject) -> bool:
    """Whether the installed release is one for which a fact is true; the newest release where it is not known."""
    version = version_of(subject, since.package)
    if version is None:
        return not since.until
    return _is_between(since.since, version, since.until)


@lru_cache(maxsize=4096)
def _is_between(since: str, version: str, until: str) -> bool:
    try:
        number = Version(version)
    except InvalidVersion:
        return False
    if since and number < Version(since):
        return False
    return not until or number <= Version(until)


def show(value: Any) -> str:
    """A value as it would be written in a script, for a message."""
    if value is GIVEN:
        return "..."
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(show(each) for each in value)}]"
    return str(value)
