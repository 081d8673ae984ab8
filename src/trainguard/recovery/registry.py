"""Finds the policies. Fails closed: a kind without a policy, or with two, is an error and no guess."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import get_args

from trainguard.recovery import policies as package
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Kind

HEADINGS = ("What it does", "Why")
_PARTS = frozenset({"base"})


@cache
def policies() -> tuple[Policy, ...]:
    """One of each, by name. Raises TypeError for a file that defines no policy, or one that is not whole."""
    found = []
    for name in sorted(each.name for each in pkgutil.iter_modules(package.__path__)):
        if name in _PARTS or name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{name}")
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Policy) and value.__module__ == module.__name__
        ]
        if len(classes) != 1:
            raise TypeError(f"{module.__name__} defines {len(classes)} policies, expected one")
        missing = [each for each in HEADINGS if f"*{each}*" not in (classes[0].__doc__ or "")]
        if missing:
            raise TypeError(f"{classes[0].__name__}'s docstring lacks {', '.join(missing)}")
        found.append(classes[0]())
    return tuple(sorted(found, key=lambda each: each.name))


@cache
def by_kind() -> Mapping[Kind, Policy]:
    """The policy of each kind. Raises TypeError where a kind has none or two."""
    found: dict[Kind, Policy] = {}
    for policy in policies():
        for kind in policy.kinds:
            if kind in found:
                raise TypeError(f"{kind} has two policies, {found[kind].name} and {policy.name}")
            found[kind] = policy
    missing = [kind for kind in get_args(Kind) if kind not in found]
    if missing:
        raise TypeError(f"no policy for {', '.join(missing)}")
    return found
