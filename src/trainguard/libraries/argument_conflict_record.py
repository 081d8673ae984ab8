"""What a conflict of arguments is: one check of a library's own, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainguard.libraries.argument_facts import Since


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One combination of arguments of the classes `owners`.

    `defaults` are the arguments that it reads, the first the one to point at. `message` is filled in with their
    values. `made` tells that the constructor refuses it, so that what is assigned later does not matter. `package`:
    the call must come from it, for names that others have too. `source` cites the check.
    """

    key: str
    owners: frozenset[str]
    defaults: Mapping[str, Any]
    refused: Callable[[Mapping[str, Any]], bool]
    message: str
    fix: str
    where: Since
    source: str
    made: bool = True
    severity: Literal["error", "warn"] = "error"
    package: str = ""


def switched_on(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    """The predicate that all of these switches are on."""
    return lambda values: all(values[name] is True for name in names)
