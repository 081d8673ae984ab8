"""Options whose values a library checks elsewhere than it declares them: what a script gives that is not accepted."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from trainguard.facts.api_calls import BoundCall, Given
from trainguard.facts.api_calls_binding import Target
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import ABSENT, Constant, Items, Value, options
from trainguard.libraries.api.query import Found
from trainguard.libraries.api.records import Class
from trainguard.libraries.api.signatures import Signatures
from trainguard.libraries.argument_choices import ARGUMENTS, Choices, choices_for

_CHECKERS = {"transformers", "trl", "peft"}  # the packages whose trainers and adapters hold the checks
_OWN_CHECKS = {"__post_init__", "__setattr__", "__getattribute__"}  # a class of the script may mend an option there


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of an option, and the release of its library that decides."""

    known: Choices
    version: str

    @property
    def choices(self) -> tuple[str, ...]:
        return self.known.at(self.version) or ()

    def refused(self, value: Value) -> str | None:
        """The string that is certainly given and not accepted, or an item of a list; None if there is none."""
        first = None
        for option in options(value):
            words = option.items if isinstance(option, Items) and self.known.several else (option,)
            texts = (word.value for word in words if isinstance(word, Constant) and isinstance(word.value, str))
            bad = next((text for text in texts if not self.known.accepts(text, self.version)), None)
            if bad is None:
                return None
            first = first if first is not None else bad
        return first


def checked(signatures: Signatures, path: str, argument: str) -> Checked | None:
    """What the releases at hand check of an argument of a callable: of a class or the one above with the field."""
    if argument not in ARGUMENTS:
        return None
    interfaces = signatures.interfaces
    found = interfaces.find(path)
    if not isinstance(found, Found):
        return None
    owner = found
    if choices_for(found.path, argument) is None and isinstance(found.definition, Class):
        line, _ = interfaces.known_line(path)
        fields = (at for at in line if isinstance(at.definition, Class) and _has_field(at.definition, argument))
        owner = next(fields, found)
    known = choices_for(owner.path, argument)
    version = interfaces.versions.get(owner.package)
    return Checked(known, version) if known is not None and version is not None else None


def _has_field(owner: Class, argument: str) -> bool:
    return any(field.name == argument for field in owner.fields)


def is_certain(script: ScriptFacts, bound: BoundCall, given: Given, known: Choices) -> bool:
    """Whether the library's own check gets to see what this call is given, as it is given."""
    for name in known.unless:
        # False and None, or nothing at all, leave the check where it is.
        value = bound.call.argument(name)
        if value is not ABSENT and not all(o in (Constant(False), Constant(None)) for o in options(value)):
            return False
    if bound.targets[0].inherited and not script.words.isdisjoint(_OWN_CHECKS):
        return False
    if not known.by:
        return True
    return not _changed_later(script, bound.targets[0], given.name) and not _has_own_checker(script, known)


def _changed_later(script: ScriptFacts, target: Target, argument: str) -> bool:
    if "experimental" in target.path or not script.words.isdisjoint({"setattr", "INTEGRATION_TO_CALLBACK"}):
        return True
    return re.search(rf"\.{argument}\s*=[^=]", script.text) is not None


def _has_own_checker(script: ScriptFacts, known: Choices) -> bool:
    """Whether another class than the library's may read the option: one of the script's own, or of another package."""
    if "_register_custom_module" in script.words:
        return True
    for node in ast.walk(script.syntax.tree):
        if isinstance(node, ast.ClassDef) and _has_any(node, known.within):
            bases = (ast.unparse(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases)
            if any(base.endswith(known.by) for base in bases):
                return True
    for found in script.imports:
        name = (found.name or found.module).rpartition(".")[2]
        is_known = found.level == 0 and found.module.partition(".")[0] in _CHECKERS
        if name.endswith(known.by) and not is_known:
            return True
        if found.module.startswith(("trl.experimental", "unsloth")):  # they bring or patch trainers
            return True
    return False


def _has_any(node: ast.ClassDef, methods: tuple[str, ...]) -> bool:
    """Whether a class writes one of these methods itself; for none named, always."""
    return not methods or any(isinstance(s, ast.FunctionDef) and s.name in methods for s in node.body)


def place_of_text(node: ast.expr | None, value: str) -> ast.Constant | None:
    """The literal that is `value`: a node itself, or an item of the list that it writes."""
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    return next((item for item in items if isinstance(item, ast.Constant) and item.value == value), None)
