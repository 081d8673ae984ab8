"""Attributes: of modules, of instances, of classes of the script, and assignments to them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.structure import Block, Scope, Store
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Choice,
    Class,
    Function,
    Instance,
    Items,
    Member,
    ParsedArguments,
    Symbol,
    Table,
    Value,
    choice,
    options,
)

if TYPE_CHECKING:
    from trainguard.facts.resolver import Resolver


class Attributes:
    """Follows values through attributes."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def attribute(self, owner: Value, name: str, node: ast.expr | None = None, block: Block | None = None) -> Value:
        """`owner.name`: of a module, an instance, a parsed command line, a class of the script."""
        if isinstance(owner, Choice):
            return choice([self.attribute(option, name, node, block) for option in owner.choices])
        if isinstance(owner, Symbol):
            if owner.path == "self" and block is not None:
                return self._self_attribute(name, block)
            return Symbol(f"{owner.path}.{name}")
        if isinstance(owner, Instance):
            return self.instance_attribute(owner, name)
        if isinstance(owner, ParsedArguments):
            stored = self._stores(owner, name)
            return choice([*stored, self._resolver.parsers.value(owner, name)]) if not stored else choice(stored)
        if isinstance(owner, Class):
            return self.class_attribute(owner, name)
        if isinstance(owner, Table) and name in owner.entries:
            return owner.entries[name]
        return Member(owner, name)

    def class_of(self, call: Call) -> Class | None:
        return next((option for option in options(call.callee) if isinstance(option, Class)), None)

    def _self_attribute(self, name: str, block: Block) -> Value:
        scope: Scope | None = block.scope
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        if scope is None or not isinstance(scope.node, ast.ClassDef):
            return Member(Symbol("self"), name)
        return self.class_attribute(Class(scope.node, scope), name)

    def class_attribute(self, owner: Class, name: str) -> Value:
        """An attribute of a class of the script or of `self` in it: class body, methods, `self.name = …`."""
        if name in owner.scope.bindings:
            return self._property(self._field_default(self._resolver.bound(name, owner.scope, None, None)))
        stores = [
            store
            for store in self._resolver.structure.attribute_stores.get(name, [])
            if isinstance(store.base, ast.Name) and self._method_class(store.block) is owner.node
        ]
        if stores:
            return choice([self.stored(store) for store in stores])
        for base in owner.node.bases:
            inherited = self._resolver.evaluate(base, owner.scope.block.parent)  # type: ignore[union-attr, arg-type]
            if isinstance(inherited, Class) and inherited.node is not owner.node:
                return self.class_attribute(inherited, name)
        return Member(Symbol("self"), name)

    def _property(self, value: Value) -> Value:
        """What a property gives back; any other value as it is."""
        decorators = getattr(value.node, "decorator_list", []) if isinstance(value, Function) else []
        if isinstance(value, Function) and any(_last_name(d) in ("property", "cached_property") for d in decorators):
            return self._resolver.functions.returned(value)
        return value

    def _method_class(self, block: Block) -> ast.AST | None:
        scope: Scope | None = block.scope
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        return scope.node if scope is not None else None

    def _field_default(self, value: Value) -> Value:
        """`field(default=…)` and pydantic's `Field(…)` stand for their default."""
        if isinstance(value, Instance) and value.call.name in ("field", "Field", "HfArg"):
            default = value.call.argument("default", 0 if value.call.name == "Field" else None)
            factory = value.call.argument("default_factory")
            if isinstance(factory, Function):
                return self._resolver.functions.returned(factory)
            if isinstance(factory, Symbol) and factory.name in ("list", "dict"):
                return Items(()) if factory.name == "list" else Table({})
            return default if default is not ABSENT else UNKNOWN
        return value

    def instance_attribute(self, owner: Instance, name: str) -> Value:
        call = owner.call
        stored = self._stores(owner, name)
        if stored:
            return choice(stored)
        given = call.argument(name)
        if given is not ABSENT and given is not UNKNOWN:
            return given
        local = self.class_of(call)
        if local is not None:
            index = self._field_index(local, name)
            if index is not None and call.argument(name, index) is not ABSENT:
                return call.argument(name, index)
            found = self.class_attribute(local, name)
            return Member(owner, name) if isinstance(found, Member) else found
        return Member(owner, name)

    def _field_index(self, owner: Class, name: str) -> int | None:
        """The position of a dataclass field in its constructor."""
        if "__init__" in owner.scope.bindings:
            return None
        fields = [
            s.target.id
            for s in owner.node.body
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        ]
        return fields.index(name) if name in fields else None

    def stores_on(self, owner: Value, name: str) -> list[Store]:
        """The assignments `x.name = …` whose `x` is `owner`."""
        return [
            store
            for store in self._resolver.structure.attribute_stores.get(name, [])
            if self._resolver.is_live(store.block) and _is_one_of(owner, self._resolver.evaluate(store.base, store.block))
        ]

    def is_set_dynamically(self, owner: Value) -> bool:
        """Whether attributes of `owner` are set by names that cannot be told: `setattr(owner, key, value)`."""
        for call in self._resolver.calls_by_written_name.get("setattr", []):
            key = call.node.args[1] if len(call.node.args) == 3 else None
            if not isinstance(key, ast.Constant) and call.live and _is_one_of(owner, call.positional(0)):
                return True
        return False

    def _stores(self, owner: Value, name: str) -> list[Value]:
        return [self.stored(store) for store in self.stores_on(owner, name)]

    def stored(self, store: Store) -> Value:
        return self._resolver.evaluate(store.value, store.block) if store.value is not None else UNKNOWN


def _is_one_of(owner: Value, value: Value) -> bool:
    for option in options(value):
        if option is owner:
            return True
        if isinstance(option, Instance) and isinstance(owner, Instance) and option.call is owner.call:
            return True
        if isinstance(option, ParsedArguments) and isinstance(owner, ParsedArguments) and option == owner:
            return True
    return False


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
