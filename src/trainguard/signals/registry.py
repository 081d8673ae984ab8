"""Finds the signals. Fails closed: a file that is broken is reported, never skipped."""

from __future__ import annotations

import importlib
import pkgutil
import re
import traceback
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias

from trainguard import signals as package
from trainguard.errors import BrokenRuleError
from trainguard.findings import SEVERITIES, InternalError
from trainguard.signals.base import Signal, State
from trainguard.signals.codes import RUN_CODES

HEADINGS = ("What it sees", "Why it costs you", "What it is not", "What to do")
# The modules that are no detectors.
PARTS = frozenset({"base", "codes", "registry", "samples", "watching"})
_CODE = re.compile(r"RUN\d{3}")
AnySignal: TypeAlias = type[Signal[Any]]


@dataclass(frozen=True, slots=True)
class Registry:
    """The signals in order of code, and the files that could not be used."""

    signals: tuple[AnySignal, ...]
    errors: tuple[InternalError, ...]

    def by_code(self) -> dict[str, AnySignal]:
        return {signal.code: signal for signal in self.signals}


@cache
def discover() -> Registry:
    """Imports the modules of `trainguard.signals` once and collects the signals that they define."""
    found: dict[str, AnySignal] = {}
    errors: list[InternalError] = []
    for each in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if each in PARTS or each.startswith("_"):
            continue
        origin = f"{package.__name__}.{each}"
        try:
            signal = _validated(importlib.import_module(origin))
            if signal.code in found:
                raise BrokenRuleError(f"{signal.code} is defined twice, also in {found[signal.code].__module__}")
            found[signal.code] = signal
        except (Exception, SystemExit) as error:  # whatever a broken file raises, the others still watch
            message = f"{type(error).__name__}: {error}"
            errors.append(InternalError(origin=origin, message=message, traceback=traceback.format_exc()))
    return Registry(tuple(found[code] for code in sorted(found)), tuple(errors))


def _validated(module: ModuleType) -> AnySignal:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Signal) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise BrokenRuleError(f"a signal's file defines exactly one Signal class, this one {len(classes)}")
    signal = classes[0]
    for attribute in ("code", "name", "severity", "state_type"):
        if not getattr(signal, attribute, None):
            raise BrokenRuleError(f"{signal.__name__} has no {attribute}")
    if not _CODE.fullmatch(signal.code) or signal.severity not in SEVERITIES:
        raise BrokenRuleError(f"{signal.__name__} has code {signal.code!r} and severity {signal.severity!r}")
    if RUN_CODES.get(signal.code) != (signal.name, signal.severity):
        raise BrokenRuleError(f"{signal.code} is not {RUN_CODES.get(signal.code)}, as the codes have it")
    if not issubclass(signal.state_type, State):
        raise BrokenRuleError(f"{signal.code}.state_type is no State")
    missing = [heading for heading in HEADINGS if f"*{heading}*" not in (signal.__doc__ or "")]
    if missing:
        raise BrokenRuleError(f"{signal.code}'s docstring lacks the headings {', '.join(missing)}")
    return signal
