"""What an expression of a script is known to be, without running it.

`ABSENT` (not given), `UNKNOWN` (given, cannot tell) and `Constant(None)` are three different values.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainguard.facts.calls import Call
    from trainguard.facts.structure import Scope


class Value:
    """Base of all values. Compare with `is ABSENT` / `is UNKNOWN`, or ask the helpers below."""

    __slots__ = ()


class _Marker(Value):
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ABSENT = _Marker("ABSENT")
UNKNOWN = _Marker("UNKNOWN")


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Value):
    """None, a bool, a number, a string or bytes. Unlike in Python, 1, 1.0 and True are three values."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and type(self.value) is type(other.value) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True, slots=True)
class Text(Value):
    """A string of which only parts are known; None stands for a hole."""

    parts: tuple[str | None, ...]

    @property
    def prefix(self) -> str:
        return (self.parts[0] or "") if self.parts else ""


@dataclass(frozen=True, slots=True)
class Items(Value):
    """A list, tuple or set literal. `complete` is False where there may be more items."""

    items: tuple[Value, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Table(Value):
    """A dict with string keys. `complete` is False where there may be other keys."""

    entries: Mapping[str, Value]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Symbol(Value):
    """Something imported or built in, by its dotted path: `transformers.TrainingArguments`."""

    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def package(self) -> str:
        return self.path.partition(".")[0]


@dataclass(frozen=True, slots=True, eq=False)
class Function(Value):
    """A function of the script."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Class(Value):
    """A class of the script."""

    node: ast.ClassDef
    scope: Scope = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Instance(Value):
    """What a call returned, where nothing else is known of it."""

    call: Call


@dataclass(frozen=True, slots=True)
class Member(Value):
    """An attribute or method of a value."""

    owner: Value
    name: str


@dataclass(frozen=True, slots=True)
class Partial(Value):
    """`functools.partial(target, …)`: a callable with arguments already given."""

    target: Value
    call: Call


@dataclass(frozen=True, slots=True)
class ParsedArguments(Value):
    """What a command-line parser returns: an argparse namespace, or one dataclass of an HfArgumentParser."""

    call: Call
    dataclass: Value | None = None


@dataclass(frozen=True, slots=True)
class Choice(Value):
    """One of several values; which one cannot be told."""

    choices: tuple[Value, ...]


# A value that may be more things than this is of no use to a rule; texts put together in loops would be thousands.
_MAX_CHOICES = 64


def choice(values: list[Value]) -> Value:
    """The value that is one of `values`: flattened, without repeats."""
    if len(values) == 1:
        return values[0]
    flat: list[Value] = []
    for value in values:
        for option in options(value):
            if not any(_same(option, seen) for seen in flat):
                if len(flat) == _MAX_CHOICES:
                    return UNKNOWN
                flat.append(option)
    if not flat:
        return UNKNOWN
    return flat[0] if len(flat) == 1 else Choice(tuple(flat))


def _same(a: Value, b: Value) -> bool:
    if isinstance(a, Instance) and isinstance(b, Instance):
        return a.call is b.call
    return a is b or a == b


def options(value: Value) -> tuple[Value, ...]:
    """The values that `value` may be, UNKNOWN and ABSENT among them."""
    return value.choices if isinstance(value, Choice) else (value,)


def merged(entries: Mapping[str, Value], more: Mapping[str, Value]) -> dict[str, Value]:
    """`{**entries, **more}`: a key that may be missing in `more` keeps what it has in `entries`."""
    found = dict(entries)
    for key, new in more.items():
        if ABSENT in options(new):
            kept = [option for option in options(new) if option is not ABSENT]
            found[key] = choice([*kept, entries.get(key, ABSENT)])
        else:
            found[key] = new
    return found


def truth(value: Value) -> bool | None:
    """Whether `value` is true in a condition; None where it cannot be told. ABSENT is false."""
    verdicts = {_truth_of_one(option) for option in options(value)}
    return verdicts.pop() if len(verdicts) == 1 else None


def _truth_of_one(value: Value) -> bool | None:
    if value is ABSENT:
        return False
    if isinstance(value, Constant):
        return bool(value.value)
    if isinstance(value, Text):
        return True if any(value.parts) else None
    if isinstance(value, Items):
        return True if value.items else (False if value.complete else None)
    if isinstance(value, Table):
        if any(ABSENT not in options(entry) for entry in value.entries.values()):
            return True
        return False if value.complete and all(entry is ABSENT for entry in value.entries.values()) else None
    if isinstance(value, Function | Class):
        return True
    return None


def may_be_true(value: Value) -> bool:
    """Whether `value` is true or cannot be told to be false."""
    return truth(value) is not False


def is_none(value: Value) -> bool:
    return isinstance(value, Constant) and value.value is None


def may_be_given(value: Value) -> bool:
    """Whether an argument may have been given something else than None."""
    return any(option is not ABSENT and not is_none(option) for option in options(value))


def constant(value: Value) -> Any:
    """The Python constant that `value` certainly is, or UNKNOWN or ABSENT."""
    if isinstance(value, Constant):
        return value.value
    return ABSENT if value is ABSENT else UNKNOWN


def text(value: Value) -> str | None:
    """The string that `value` certainly is, or None."""
    return value.value if isinstance(value, Constant) and isinstance(value.value, str) else None


def texts(value: Value) -> frozenset[str] | None:
    """All strings that `value` may be or hold (a string, a list of strings); None where that cannot be told.

    ABSENT and None give the empty set.
    """
    found: set[str] = set()
    for option in options(value):
        if option is ABSENT or is_none(option):
            continue
        if isinstance(option, Constant) and isinstance(option.value, str):
            found.add(option.value)
        elif isinstance(option, Items) and option.complete:
            inner = texts(choice(list(option.items))) if option.items else frozenset()
            if inner is None:
                return None
            found |= inner
        else:
            return None
    return frozenset(found)


def certain_texts(value: Value) -> frozenset[str]:
    """The strings that `value` may be as far as they are known, leaving out what cannot be told."""
    found: set[str] = set()
    for option in options(value):
        if isinstance(option, Constant) and isinstance(option.value, str):
            found.add(option.value)
        elif isinstance(option, Items):
            for item in option.items:
                found |= certain_texts(item)
    return frozenset(found)


def number(value: Value) -> int | float | None:
    """The number that `value` certainly is, or None. Booleans are not numbers."""
    if isinstance(value, Constant) and isinstance(value.value, int | float) and not isinstance(value.value, bool):
        return value.value
    return None


def from_python(value: Any) -> Value:
    """The value of a plain Python object, such as parsed JSON, YAML or TOML."""
    if isinstance(value, Mapping):
        entries = {key: from_python(item) for key, item in value.items() if isinstance(key, str)}
        return Table(entries, complete=len(entries) == len(value))
    if isinstance(value, list | tuple):
        return Items(tuple(from_python(item) for item in value))
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return Constant(value)
    return UNKNOWN
