"""Compares what the facts say of a program with what it does: the facts may not know, but must never be wrong.

The programs are those of this folder; they are run here as the tests that they are. What they are given:
`cond()` is true or false by a list of answers, `show(value)` notes a value with its line, `Thing(…)` is a library's
class with attributes by the names of its arguments, `call(f, …)` calls, `mutate(x)` changes a dict or list, and
`ignore(…)` takes anything and returns None.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from trainguard.facts.script import read_script
from trainguard.facts.values import ABSENT, UNKNOWN, Constant, Items, Table, Text, Value, options

GIVEN = "from h import call, cond, ignore, mutate, show, Thing\n"
_ENOUGH = 60  # answers after which an endless program is stopped


class Stopped(BaseException):
    """A program that asks `cond()` for ever."""


class Thing:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


class Run:
    """One run of a program with given answers; `shown` are the lines and values of `show`."""

    def __init__(self, source: str, answers: Sequence[bool]) -> None:
        self.shown: list[tuple[int, Any]] = []
        self._answers = iter(answers)
        self._asked = 0
        names = {"__name__": "__main__", "show": self.show, "cond": self.cond, "Thing": Thing}
        names |= {"mutate": mutate, "call": lambda f, *a, **k: f(*a, **k), "ignore": lambda *a, **k: None}
        program = compile(source.replace(GIVEN, "\n", 1), "<program>", "exec", dont_inherit=True)
        try:
            exec(program, names)  # noqa: S102 - a program of this folder, not a script under inspection
        except (Exception, SystemExit, Stopped):
            return  # what it showed until then counts

    def cond(self, *_: Any) -> bool:
        self._asked += 1
        if self._asked > _ENOUGH:
            raise Stopped
        return bool(next(self._answers, self._asked % 3 == 0))

    def show(self, value: Any = None) -> Any:
        shown = copy.deepcopy(value) if isinstance(value, dict | list) else value
        self.shown.append((sys._getframe(1).f_lineno, shown))
        return value


def mutate(changed: Any) -> None:
    if isinstance(changed, dict):
        changed["x"] = "mutated"
    elif isinstance(changed, list):
        changed.append("mutated")


def wrong(source: str, answers: int = 5) -> Iterator[str]:
    """What the facts say of a program that is not so, over all runs with that many answers of `cond()`."""
    calls = {call.line: call for call in read_script(source, arguments=()).calls if call.written_name == "show"}
    for given in product([False, True], repeat=answers):
        for line, shown in Run(source, given).shown:
            if line not in calls:
                continue
            said = calls[line].positional(0)
            if not calls[line].live:
                yield f"line {line} is said never to run, and did"
            elif not allows(said, shown):
                yield f"line {line} is said to show {said!r}, and showed {shown!r}"


def allows(value: Value, shown: Any) -> bool:
    """Whether a value of the facts may be what a run showed."""
    return any(_allows_one(option, shown) for option in options(value))


def _allows_one(value: Value, shown: Any) -> bool:
    if value is ABSENT:
        return False
    if value is UNKNOWN:
        return True
    if isinstance(value, Constant):
        if type(value.value) is not type(shown):
            return str(shown) == value.value and not isinstance(shown, bool | int | float | type(None))  # a path
        return bool(value.value == shown)
    if isinstance(value, Text):
        pattern = "".join(".*" if part is None else re.escape(part) for part in value.parts)
        return re.fullmatch(pattern, str(shown), re.DOTALL) is not None
    if isinstance(value, Items):
        return isinstance(shown, list | tuple | set | frozenset) and _allows_items(value, list(shown))
    if isinstance(value, Table):
        return _allows_table(value, shown if isinstance(shown, dict) else getattr(shown, "__dict__", {}))
    return True  # objects: what is known of them is asked by their attributes


def _allows_items(value: Items, shown: list[Any]) -> bool:
    if not value.complete:
        return True
    return len(shown) == len(value.items) and all(map(allows, value.items, shown))


def _allows_table(value: Table, shown: dict[str, Any]) -> bool:
    for key, entry in value.entries.items():
        missing = {ABSENT, UNKNOWN} & {option for option in options(entry) if option in (ABSENT, UNKNOWN)}
        if not (allows(entry, shown[key]) if key in shown else missing):
            return False
    return not value.complete or shown.keys() <= value.entries.keys()
