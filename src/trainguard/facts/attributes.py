"""Attributes: of modules, of instances, of classes of the script, and assignments to them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.classes import Classes
from trainguard.facts.reaching import Use, at_end, use_in
from trainguard.facts.structure import Block, Scope, Store, position
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
        self._classes = Classes(resolver)

    def attribute(self, owner: Value, name: str, node: ast.expr | None = None, block: Block | None = None) -> Value:
        """`owner.name`: of a module, an instance, a parsed command line, a class of the script.

        `node` and `block` are where it is read; without them every assignment to it may have run before.
        """
        if isinstance(owner, Choice):
            return choice([self.attribute(option, name, node, block) for option in owner.choices])
        if isinstance(owner, Symbol):
            around = self._class_around(block) if owner.path == "self" else None
            if around is not None:
                return self._kept(self._of_self(around, name), name)
            return Symbol(f"{owner.path}.{name}")
        if isinstance(owner, Instance | ParsedArguments | Class):
            return self._kept(self._with_stores(self._initial(owner, name), owner, name, node, block), name)
        if isinstance(owner, Table) and name in owner.entries:
            return owner.entries[name]
        return Member(owner, name)

    def _kept(self, value: Value, name: str) -> Value:
        return self._resolver.containers.in_attribute(value, name)

    def class_of(self, call: Call) -> Class | None:
        return next((option for option in options(call.callee) if isinstance(option, Class)), None)

    # -- what a class sets ---------------------------------------------------------

    def _initial(self, owner: Value, name: str) -> Value:
        """An attribute as the constructor, the class or the command line sets it."""
        if isinstance(owner, ParsedArguments):
            return self._resolver.parsers.value(owner, name)
        if isinstance(owner, Class):
            return self.class_attribute(owner, name)
        assert isinstance(owner, Instance)
        local = self.class_of(owner.call)
        if local is not None:
            found = self._of_instance(owner, local, name)
            return Member(owner, name) if isinstance(found, Member) else found
        given = owner.call.argument(name)
        return given if given is not ABSENT and given is not UNKNOWN else Member(owner, name)

    def class_attribute(self, owner: Class, name: str) -> Value:
        """An attribute of a class of the script: its body, its bases', `self.name = …` in its methods."""
        if self._classes.is_opaque(owner):
            return Member(owner, name)
        body = self._body_value(owner, name)
        stores = list(self._own_stores(self._classes.line(owner), name))
        if body is None and not stores:
            return Member(Symbol("self"), name)
        return choice([*([body] if body is not None else []), *(self.stored(store) for store in stores)])

    def _of_self(self, owner: Class, name: str) -> Value:
        """`self.name` in a method: also what classes derived from this one and calls of them set."""
        family = [owner, *self._classes.derived(owner)]
        if any(self._classes.is_opaque(member) or self._is_property(member, name) for member in family[1:]):
            return UNKNOWN
        found = [value for member in family if not isinstance(value := self.class_attribute(member, name), Member)]
        foreign = [store for store in self._stores_of(name) if self._is_set_on(store, family)]
        found += [self.stored(store) for store in foreign]
        if not found:
            return Member(Symbol("self"), name)
        if any(self._classes.takes_fields(member) for member in family):
            found += self._given_to(family, name)
        if self._is_set_by_unknown_names([Symbol("self"), *family]):
            found.append(UNKNOWN)
        return choice(found)

    def _of_instance(self, owner: Instance, local: Class, name: str) -> Value:
        if self._classes.is_opaque(local) or self._is_property(local, name):
            return self.class_attribute(local, name)
        given = self._given_field(owner.call, local, name)
        stores = list(self._own_stores(self._classes.line(local), name))
        if not stores:
            return given if given is not ABSENT else self.class_attribute(local, name)
        body = self._body_value(local, name) if given is ABSENT else given
        values = [self._stored_by(store, owner.call) for store in stores]
        always = any(self._classes.is_in_constructor(store.block) for store in stores)
        return choice(values if always or body is None else [body, *values])

    def _given_field(self, call: Call, local: Class, name: str) -> Value:
        """What a call of a class without `__init__` gives a field: of a dataclass, or of a library's class."""
        if not self._classes.takes_fields(local):
            return ABSENT
        return call.argument(name, self._classes.field_position(local, name))

    def _given_to(self, family: list[Class], name: str) -> Iterator[Value]:
        nodes = {member.node for member in family}
        for member in family:
            calls = self._resolver.calls_by_written_name.get(member.node.name, [])
            for call in calls:
                local = self.class_of(call)
                if local is not None and local.node in nodes:
                    given = self._given_field(call, local, name)
                    yield from () if given is ABSENT else (given,)
            if self._resolver.structure.uses[member.node.name] > len(calls):
                yield UNKNOWN  # made elsewhere: by a parser, a factory, a derived class

    def _stored_by(self, store: Store, call: Call) -> Value:
        """What a store in a constructor stores for one call: `self.name = name` is what that call passes."""
        function = store.block.scope.node
        if isinstance(store.value, ast.Name) and isinstance(function, ast.FunctionDef) and function.name == "__init__":
            owner = self.class_of(call)
            names = [argument.arg for argument in function.args.args]
            bound = store.block.scope.bindings.get(store.value.id, [])
            own = owner is not None and self._class_around(store.block, exact=owner)
            if own and store.value.id in names[1:] and len(bound) == 1:
                given = call.argument(store.value.id, names.index(store.value.id) - 1)
                if given is not ABSENT:
                    return given
                return self._resolver.functions.default(function, store.value.id)
        return self.stored(store)

    def _body_value(self, owner: Class, name: str) -> Value | None:
        for member in self._classes.line(owner):
            if name in member.scope.bindings:
                if self._is_property(member, name):
                    return self._property(member, name)
                return self._field_default(self._resolver.bound(name, at_end(member.scope)))
        return None

    def _is_property(self, owner: Class, name: str) -> bool:
        bindings = (b for member in self._classes.line(owner) for b in member.scope.bindings.get(name, []))
        return any(_is_getter(binding.node) for binding in bindings)

    def _property(self, owner: Class, name: str) -> Value:
        """What a property gives back."""
        for binding in owner.scope.bindings[name]:
            if _is_getter(binding.node) and isinstance(binding.node, ast.FunctionDef):
                getter = Function(binding.node, self._resolver.structure.scopes[binding.node])
                return self._resolver.functions.result(getter)
        return UNKNOWN

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

    # -- stores --------------------------------------------------------------------

    def _stores_of(self, name: str) -> list[Store]:
        stores = self._resolver.structure.attribute_stores.get(name, [])
        return [store for store in stores if self._resolver.is_live(store.block)]

    def _own_stores(self, line: list[Class], name: str) -> Iterator[Store]:
        """The stores `self.name = …` in the methods of a class and its bases."""
        nodes = {member.node for member in line}
        for store in self._stores_of(name):
            around = self._class_around(store.block)
            if around is not None and around.node in nodes and isinstance(store.base, ast.Name):
                yield store

    def _is_set_on(self, store: Store, family: list[Class]) -> bool:
        """Whether a store outside of the methods of some classes may be on an instance of them, or on one itself."""
        nodes = {member.node for member in family}
        around = self._class_around(store.block)
        if around is not None and around.node in nodes and isinstance(store.base, ast.Name):
            return False
        for option in options(self._resolver.evaluate(store.base, store.block)):
            owner = self.class_of(option.call) if isinstance(option, Instance) else option
            if owner is UNKNOWN or (isinstance(owner, Class) and owner.node in nodes):
                return True
        return False

    def _with_stores(self, value: Value, owner: Value, name: str, node: ast.expr | None, block: Block | None) -> Value:
        """`value` with the assignments `x.name = …` applied that a read at `node` may see."""
        local = self.class_of(owner.call) if isinstance(owner, Instance) else owner
        if isinstance(local, Class) and self._is_property(local, name):
            return value
        own = set(self._own_stores(self._classes.line(local), name)) if isinstance(local, Class) else set()
        for store in self._stores_of(name):
            if store in own:
                continue
            whole = self._resolver.evaluate(store.base, store.block)
            if not self._may_be(owner, whole):
                continue
            use = _use_in(store.block.scope, block, position(node)) if node is not None and block is not None else None
            if use is not None and not (use.may_see(store.block, store.position) or _outlives(owner, store.block)):
                continue
            stored = self.stored(store)
            certain = use is not None and use.follows(store.position) and use.certainly_after(store.block)
            value = stored if certain and _is_the_only(owner, whole, store) else choice([value, stored])
        if isinstance(owner, Instance | ParsedArguments) and self.is_set_dynamically(owner):
            return choice([value, UNKNOWN])
        return value

    def _may_be(self, owner: Value, whole: Value) -> bool:
        """Whether an assignment to an attribute of `whole` may be one to an attribute of `owner`."""
        if _is_one_of(owner, whole):
            return True
        if isinstance(owner, Instance):
            local = self.class_of(owner.call)
            line = {member.node for member in self._classes.line(local)} if local is not None else set()
            return any(isinstance(option, Class) and option.node in line for option in options(whole))
        return False

    def stores_on(self, owner: Value, name: str) -> list[Store]:
        """The assignments `x.name = …` whose `x` is `owner`."""
        return [
            store
            for store in self._stores_of(name)
            if _is_one_of(owner, self._resolver.evaluate(store.base, store.block))
        ]

    def is_set_dynamically(self, owner: Value) -> bool:
        """Whether attributes of `owner` are set by names that cannot be told: `setattr(owner, key, value)`."""
        local = self.class_of(owner.call) if isinstance(owner, Instance) else None
        selves: list[Value] = [Symbol("self"), *self._classes.line(local)] if local is not None else []
        return self._is_set_by_unknown_names([owner, *selves])

    def _is_set_by_unknown_names(self, owners: list[Value]) -> bool:
        for call in self._resolver.calls_by_written_name.get("setattr", []):
            key = call.node.args[1] if len(call.node.args) == 3 else None
            told = isinstance(key, ast.Constant) or not call.live
            if not told and any(_is_one_of(owner, call.positional(0)) for owner in owners):
                return True
        for base, block in self._resolver.containers.changed_namespaces:
            whole = self._resolver.evaluate(base, block)
            if any(_is_one_of(owner, whole) for owner in owners):
                return True
        return False

    def stored(self, store: Store) -> Value:
        return self._resolver.evaluate(store.value, store.block) if store.value is not None else UNKNOWN

    def _class_around(self, block: Block | None, exact: Class | None = None) -> Class | None:
        """The class in whose method a block stands."""
        scope: Scope | None = block.scope if block is not None else None
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        if scope is None or not isinstance(scope.node, ast.ClassDef) or (exact and scope.node is not exact.node):
            return None
        return Class(scope.node, scope)


def _use_in(scope: Scope, block: Block, at: tuple[int, int]) -> Use | None:
    """The use as seen from `scope`; None where that scope is not around it."""
    around: Scope | None = block.scope
    while around is not None and around is not scope:
        around = around.parent
    return use_in(scope, block, at) if around is not None else None


def _outlives(owner: Value, block: Block) -> bool:
    """Whether an object may be met by a statement of a function in one call, and again in the next."""
    made = owner.call.block.scope if isinstance(owner, Instance | ParsedArguments) else None
    return block.scope.kind == "function" and made is not block.scope


def _is_the_only(owner: Value, whole: Value, store: Store) -> bool:
    """Whether a store is on `owner` and no other: one call may make many instances."""
    if isinstance(whole, Choice) or not isinstance(owner, Instance | ParsedArguments):
        return False
    made = owner.call.block
    loops = [around for around in made.ancestors() if around.kind == "loop"]
    return made.scope is store.block.scope and all(loop in store.block.ancestors() for loop in loops)


def _is_one_of(owner: Value, value: Value) -> bool:
    for option in options(value):
        if option is owner or option is UNKNOWN:
            return True
        if isinstance(option, Instance) and isinstance(owner, Instance) and option.call is owner.call:
            return True
        if isinstance(option, Class) and isinstance(owner, Class) and option.node is owner.node:
            return True
        if isinstance(option, ParsedArguments | Symbol) and type(owner) is type(option) and option == owner:
            return True
    return False


def _is_getter(node: ast.AST) -> bool:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(_last_name(decorator) in ("property", "cached_property") for decorator in decorators)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
