"""Classes of a script: their bases and what derives from them, and which fields a call of one sets."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING

from trainguard.facts.structure import Block
from trainguard.facts.values import Class, Symbol

if TYPE_CHECKING:
    from trainguard.facts.resolver import Resolver

# Methods and bases that make attributes something else than what the class body says.
_OPAQUE_METHODS = {"__getattribute__", "__new__"}
_OPAQUE_BASES = ("Enum", "Flag")
# Of one class in this file; scripts have one or two. Longer lines are generated.
MAX_ANCESTORS = 25
# Bases of libraries whose constructor takes no fields by name.
_WITHOUT_FIELDS = {"object", "ABC", "Protocol", "Generic", "Exception", "Module", "Dataset", "Thread"}


class Classes:
    """The classes of one script."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._lines: dict[ast.ClassDef, list[Class]] = {}
        self._derived: dict[ast.ClassDef, list[Class]] = {}
        self._fields_of: dict[ast.ClassDef, list[str | None]] = {}

    @cached_property
    def _all(self) -> list[Class]:
        scopes = self._resolver.structure.scopes
        return [Class(node, scope) for node, scope in scopes.items() if isinstance(node, ast.ClassDef)]

    def line(self, owner: Class) -> list[Class]:
        """The class and its ancestors in this file, nearest first."""
        if owner.node not in self._lines:
            found = {owner.node: owner}
            waiting = [owner]
            while waiting and len(found) < MAX_ANCESTORS:
                for base in self._resolver.bases(waiting.pop(0)):
                    if isinstance(base, Class) and base.node not in found:
                        found[base.node] = base
                        waiting.append(base)
            self._lines[owner.node] = list(found.values())
        return self._lines[owner.node]

    def derived(self, owner: Class) -> list[Class]:
        """The classes of this file that derive from `owner`."""
        if owner.node not in self._derived:
            others = (other for other in self._all if other.node is not owner.node and other.node.bases)
            found = [other for other in others if any(member.node is owner.node for member in self.line(other))]
            self._derived[owner.node] = found
        return self._derived[owner.node]

    def is_opaque(self, owner: Class) -> bool:
        """Whether attributes are not what the class body says: enumerations, `__getattribute__`, metaclasses."""
        return any(
            _OPAQUE_METHODS & member.scope.bindings.keys()
            or any(keyword.arg == "metaclass" for keyword in member.node.keywords)
            or any(isinstance(b, Symbol) and b.name.endswith(_OPAQUE_BASES) for b in self._resolver.bases(member))
            for member in self.line(owner)
        )

    def takes_fields(self, owner: Class) -> bool:
        """Whether a call sets attributes by the names of its arguments: a dataclass, or a class of a library."""
        line = self.line(owner)
        if any("__init__" in member.scope.bindings for member in line):
            return False
        return any(_is_dataclass(member.node) or self._has_outer_base(member) for member in line)

    def _has_outer_base(self, owner: Class) -> bool:
        bases = self._resolver.bases(owner)
        return any(not isinstance(base, Class) and getattr(base, "name", "") not in _WITHOUT_FIELDS for base in bases)

    def field_position(self, owner: Class, name: str) -> int | None:
        """The position of a dataclass field in its constructor; None for one that is given by name only."""
        names: list[str] = []
        for member in reversed(self.line(owner)):
            for field in self._fields(member.node):
                if field is None:  # `_: KW_ONLY`
                    return names.index(name) if name in names else None
                if field not in names:
                    names.append(field)
        return names.index(name) if name in names else None

    def _fields(self, node: ast.ClassDef) -> list[str | None]:
        if node not in self._fields_of:
            self._fields_of[node] = _fields(node)
        return self._fields_of[node]

    def is_in_constructor(self, block: Block) -> bool:
        """Whether the statements of `block` run whenever an instance is made."""
        name = getattr(block.scope.node, "name", "")
        return name in ("__init__", "__post_init__") and block.outermost is block.scope.block


def _is_dataclass(node: ast.ClassDef) -> bool:
    called = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    names = {d.attr if isinstance(d, ast.Attribute) else getattr(d, "id", "") for d in called}
    return bool(names & {"dataclass", "dataclasses", "define", "attrs", "frozen", "s"})


def _fields(node: ast.ClassDef) -> list[str | None]:
    """The names of the fields that a constructor takes by position, in order; None for `_: KW_ONLY`."""
    found: list[str | None] = []
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        annotation = ast.unparse(statement.annotation)
        if "KW_ONLY" in annotation:
            found.append(None)
        elif "ClassVar" not in annotation and not _is_left_out(statement.value):
            found.append(statement.target.id)
    return found


def _is_left_out(value: ast.expr | None) -> bool:
    """`field(init=False)`."""
    keywords = value.keywords if isinstance(value, ast.Call) else []
    return any(k.arg == "init" and isinstance(k.value, ast.Constant) and not k.value.value for k in keywords)
