"""What the opcodes of a pickle would make, as values that stand for it. Nothing is imported and nothing is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Global:
    """Something imported by name; `module` or `name` is "?" where the pickle does not say it in plain words."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Call:
    """What calling `function` with `arguments` would give. `pairs` are items that are set on it afterwards."""

    function: Any
    arguments: Any
    pairs: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class PickledDict:
    """A dict as pairs: keys may be anything, also what Python cannot hash."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """An object that lies outside of the pickle; torch's storages are such."""

    identity: Any


class Unknown:
    """A value that does not matter here."""


UNKNOWN = Unknown()
"""The one value of its kind."""


def pairs_of(value: Any) -> list[tuple[Any, Any]] | None:
    """The items of a dict or OrderedDict, None for other values."""
    if isinstance(value, PickledDict):
        return value.pairs
    if isinstance(value, Call) and value.function == Global("collections", "OrderedDict"):
        first = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else None
        given = [item for item in first if isinstance(item, list | tuple)] if isinstance(first, list) else []
        return [(item[0], item[1]) for item in given if len(item) == 2] + value.pairs
    return None
