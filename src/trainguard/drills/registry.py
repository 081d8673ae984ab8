"""Finds the drills. Fails closed: a drill file that is broken is an error, never skipped."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from trainguard import drills as package
from trainguard.drills.base import Drill
from trainguard.drills.catalogue import EDGE_CASES
from trainguard.errors import TrainguardError


class BrokenDrillError(TrainguardError):
    """A drill file breaks the contract of a drill. Exit code 3."""


@cache
def discover() -> tuple[Drill, ...]:
    """All drills in order of number. Raises BrokenDrillError for a file that is none."""
    found: dict[int, Drill] = {}
    for area in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if not area.ispkg:
            continue
        folder = importlib.import_module(area.name)
        for module in pkgutil.iter_modules(folder.__path__, area.name + "."):
            if module.name.rpartition(".")[2].startswith("_"):
                continue
            drill = _drill(module.name)
            if drill.number in found:
                raise BrokenDrillError(f"{module.name}: number {drill.number} is that of another drill too")
            if drill.area != area.name.rpartition(".")[2]:
                raise BrokenDrillError(f"{module.name}: its area is {drill.area!r}")
            found[drill.number] = drill
    return tuple(found[number] for number in sorted(found))


def _drill(name: str) -> Drill:
    module = importlib.import_module(name)
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Drill) and value.__module__ == name
    ]
    if len(classes) != 1:
        raise BrokenDrillError(f"{name}: a drill file defines exactly one Drill, this one {len(classes)}")
    drill = classes[0]()
    case = EDGE_CASES.get(getattr(drill, "number", 0))
    if case is None:
        raise BrokenDrillError(f"{name}: {classes[0].__name__} has no number of the catalogue")
    if not set(drill.guards) <= set(case.codes):
        raise BrokenDrillError(f"{name}: guards {drill.guards} are not among the codes of row {case.number}")
    return drill
