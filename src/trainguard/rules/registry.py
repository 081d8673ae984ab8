"""Finds the rules. Fails closed: a rule file that is broken is reported, never skipped."""

from __future__ import annotations

import importlib
import pkgutil
import re
import traceback
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from trainguard import rules as rules_package
from trainguard.errors import BrokenRuleError
from trainguard.findings import SEVERITIES, InternalError
from trainguard.rules.base import KINDS_BESIDE_SCRIPTS, Kind, Rule

HEADINGS = ("What it does", "Why it costs you", "Example", "Use instead")
_CODE = re.compile(r"[A-Z]{2,5}\d{3}")


@dataclass(frozen=True, slots=True)
class Registry:
    """The rules in order of code, and the rule files that could not be used."""

    rules: tuple[Rule, ...]
    errors: tuple[InternalError, ...]

    def by_code(self) -> dict[str, Rule]:
        return {rule.code: rule for rule in self.rules}


@cache
def discover(kind: Kind | None = None) -> Registry:
    """Imports the modules of `trainguard.rules` once and collects the rules they define.

    With a `kind`, only the rules about subjects of that kind: the files of the others are not opened, since a check of
    one script needs no rule about checkpoints.
    """
    found: dict[str, Rule] = {}
    errors: list[InternalError] = []
    for module_name in _module_names(kind):
        try:
            module = importlib.import_module(module_name)
            for rule_class in _rule_classes(module):
                rule = _validated(rule_class)
                if kind is not None and kind not in rule.kinds:
                    continue
                if rule.code in found:
                    raise BrokenRuleError(f"{rule.code} is defined twice, also in {type(found[rule.code]).__module__}")
                found[rule.code] = rule
        except (Exception, SystemExit) as error:  # whatever a broken file raises, the others still speak
            message = f"{type(error).__name__}: {error}"
            errors.append(InternalError(origin=module_name, message=message, traceback=traceback.format_exc()))
    return Registry(tuple(found[code] for code in sorted(found)), tuple(errors))


def _module_names(kind: Kind | None) -> list[str]:
    prefix = rules_package.__name__ + "."
    areas = [area for area in pkgutil.iter_modules(rules_package.__path__, prefix) if area.ispkg]
    names: list[str] = []
    for area in areas:
        if kind is None or _may_ask_about(area.name.rpartition(".")[2], kind):
            package = importlib.import_module(area.name)
            walked = pkgutil.iter_modules(package.__path__, area.name + ".")
            names += [module.name for module in walked if not module.ispkg and _is_rule_file(module.name)]
    return sorted(names)


def _may_ask_about(area: str, kind: Kind) -> bool:
    if area == "security":
        return True
    return area == kind if area in KINDS_BESIDE_SCRIPTS else kind == "script"


def _is_rule_file(module_name: str) -> bool:
    stem = module_name.rpartition(".")[2]
    return not stem.startswith("_")


def _rule_classes(module: ModuleType) -> list[type[Rule]]:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Rule) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise BrokenRuleError(f"a rule file defines exactly one Rule class, this one {len(classes)}")
    return classes


def _validated(rule_class: type[Rule]) -> Rule:
    for attribute in ("code", "name", "severity", "area", "VALID", "INVALID"):
        if not getattr(rule_class, attribute, None):
            raise BrokenRuleError(f"{rule_class.__name__} has no {attribute}")
    if not _CODE.fullmatch(rule_class.code):
        raise BrokenRuleError(f"{rule_class.__name__}.code is {rule_class.code!r}, expected such as JOB001")
    if rule_class.severity not in SEVERITIES:
        raise BrokenRuleError(f"{rule_class.code}.severity is {rule_class.severity!r}, expected {SEVERITIES}")
    missing = [heading for heading in HEADINGS if f"*{heading}*" not in (rule_class.__doc__ or "")]
    if missing:
        raise BrokenRuleError(f"{rule_class.code}'s docstring lacks the headings {', '.join(missing)}")
    return rule_class()
