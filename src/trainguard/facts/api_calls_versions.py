"""Conditions that ask which release of a library is installed: `Version(transformers.__version__) >= Version("5")`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from packaging.version import InvalidVersion, Version

from trainguard.facts.structure import Binding

Lookup: TypeAlias = Callable[[str], Binding | None]  # the one binding of a name, None if there are several or none

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_MAKES_VERSION = {"parse", "Version", "parse_version", "LooseVersion", "StrictVersion"}
_PARTS = {"major", "minor", "micro", "release", "base_version"}
_MAX_DEPTH = 8
# What a condition about a library's abilities is made of, by the names that people give such things.
_ABILITY = re.compile(
    r"hasattr|getattr|callable|signature|getfullargspec|fields|dir|find_spec|find_loader|TYPE_CHECKING|"
    r"is_\w+_available|\w*[vV]ersion\w*|\w*VERSION\w*|\w*_(?:GREATER|GTE?|LTE?|AVAILABLE|SUPPORTED|INSTALLED)\w*|"
    r"\w*_available|(?:HAS|HAVE|supports?|SUPPORTS?|accepts?)_\w+|__dataclass_fields__|model_fields|"
    r"parameters|co_varnames|__code__|__dict__|__annotations__|modules"
)


class VersionTests:
    """Judges conditions. `versions` are the versions of the job, by import name; `lookup` finds a name's binding."""

    def __init__(self, versions: Mapping[str, str], paths: Callable[[ast.expr], str | None], lookup: Lookup) -> None:
        self._versions = versions
        self._path = paths
        self._lookup = lookup

    # -- what a condition asks -------------------------------------------------------

    def asks_abilities(self, test: ast.AST, depth: int = 0) -> bool:
        """Whether a condition depends on what a library is or can do, by the names in it."""
        if depth > 3:
            return False
        for node in ast.walk(test):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if not name:
                continue
            if _ABILITY.fullmatch(name):
                return True
            if isinstance(node, ast.Name) and (binding := self._lookup(name)) is not None:
                source = _source(binding)
                if binding.block.kind == "handler":  # `HAS_X = False` where an import has failed
                    return True
                if source is not None and self.asks_abilities(source, depth + 1):
                    return True
        return False

    def verdict(self, test: ast.expr, depth: int = 0) -> bool | None:
        """What a condition about versions is for this job; None where that cannot be told."""
        if depth > _MAX_DEPTH:
            return None
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.verdict(test.operand, depth + 1)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            return _joined(test.op, [self.verdict(part, depth + 1) for part in test.values])
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            return self._compared(test, depth)
        if isinstance(test, ast.Name | ast.Attribute) and getattr(test, "attr", getattr(test, "id", "")) == (
            "TYPE_CHECKING"
        ):
            return False
        if isinstance(test, ast.Name) and (binding := self._lookup(test.id)) is not None and binding.kind == "assign":
            return self.verdict(binding.value, depth + 1) if binding.value is not None else None
        return None

    def _compared(self, test: ast.Compare, depth: int) -> bool | None:
        compare = _COMPARISONS.get(type(test.ops[0]))
        left, right = self._value(test.left, depth), self._value(test.comparators[0], depth)
        if compare is None or left is None or right is None:
            return None
        if isinstance(left, Version) != isinstance(right, Version):
            return None
        try:
            return bool(compare(left, right))
        except TypeError:
            return None

    # -- values --------------------------------------------------------------------

    def _value(self, node: ast.expr, depth: int) -> Any:
        """A version, text, number or tuple that is certain; None for anything else."""
        if depth > _MAX_DEPTH:
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str | int) else None
        if isinstance(node, ast.Tuple):
            items = [self._value(item, depth + 1) for item in node.elts]
            return None if None in items else tuple(items)
        if isinstance(node, ast.Name):
            binding = self._lookup(node.id)
            if binding is not None and binding.kind == "assign" and binding.value is not None:
                return self._value(binding.value, depth + 1)
        if isinstance(node, ast.Call):
            return self._called(node, depth)
        if isinstance(node, ast.Attribute) and node.attr in _PARTS:
            owner = self._value(node.value, depth + 1)
            return getattr(owner, node.attr) if isinstance(owner, Version) else None
        return self._library_version(node)

    def _called(self, node: ast.Call, depth: int) -> Any:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if len(node.args) != 1 or node.keywords:
            return None
        if name == "version":  # importlib.metadata
            text = self._value(node.args[0], depth + 1)
            return self._versions.get(text.replace("-", "_").lower()) if isinstance(text, str) else None
        text = self._value(node.args[0], depth + 1) if name in _MAKES_VERSION else None
        try:
            return Version(text) if isinstance(text, str) else None
        except InvalidVersion:
            return None

    def _library_version(self, node: ast.expr) -> str | None:
        path = self._path(node)
        library, _, rest = path.partition(".") if path is not None else ("", "", "")
        return self._versions.get(library) if rest == "__version__" else None


def _joined(op: ast.boolop, verdicts: list[bool | None]) -> bool | None:
    decisive = isinstance(op, ast.Or)
    if decisive in verdicts:
        return decisive
    return None if None in verdicts else not decisive


def _source(binding: Binding) -> ast.AST | None:
    """The text that a name was bound by, as far as it says what the name is about."""
    if binding.kind == "assign":
        return binding.value
    return binding.node if isinstance(binding.node, ast.FunctionDef) else None
