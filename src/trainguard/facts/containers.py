"""Dicts and lists that change after they were made: `options["x"] = …`, `.update(…)`, `.append(…)`, by any name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.reaching import Use
from trainguard.facts.structure import Binding, Block, Escape, Position, Scope, Store, position
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Choice,
    Class,
    Constant,
    Function,
    Items,
    Member,
    Symbol,
    Table,
    Value,
    choice,
    merged,
    options,
)

if TYPE_CHECKING:
    from trainguard.facts.resolver import Resolver

# A dict or list that is changed in more places than this is data, not options.
_MAX_MUTATIONS = 200
_MUTATING = {
    *("update", "setdefault", "append", "extend", "pop", "popitem", "clear", "insert", "remove", "sort", "reverse"),
    *("add", "discard", "appendleft", "popleft", "extendleft", "difference_update", "intersection_update"),
}
# Functions and methods that leave what they are given as it is, by last name.
_READING = {
    *("dict", "list", "tuple", "set", "frozenset", "len", "print", "pprint", "str", "repr", "bool", "isinstance"),
    *("sorted", "enumerate", "zip", "range", "sum", "any", "all", "min", "max", "map", "filter", "iter", "reversed"),
    *("dumps", "dump", "safe_dump", "deepcopy", "copy", "join", "format", "startswith", "endswith", "get", "info"),
    *("log", "debug", "warning", "error", "from_list", "from_dict", "DataFrame", "parse_args", "update", "extend"),
    *("id", "type", "vars"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Mutation:
    """A change of a dict or list: a store into it, a call of one of its methods, or what cannot be told (neither)."""

    position: Position
    block: Block
    store: Store | None = None
    call: Call | None = None
    inner: bool = False  # of something that it holds: `options["a"]["b"] = …`
    augmented: bool = False  # `options |= …`: a binding of this name, a change under the others


class Containers:
    """The changes of the dicts and lists of a script."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    @cached_property
    def _mutations(self) -> list[tuple[ast.expr, _Mutation]]:
        """All changes with the expression that is changed, in the order of the text."""
        found: list[tuple[ast.expr, _Mutation]] = []
        structure = self._resolver.structure
        stores = [store for several in structure.item_stores.values() for store in several]
        for several in structure.attribute_stores.values():
            stores += [store for store in several if isinstance(store.base, ast.Name)]
        stores += structure.other_stores
        found += [(store.base, _Mutation(store.position, store.block, store=store)) for store in stores]
        found += [(s.base, _Mutation(s.position, s.block, store=s, augmented=True)) for s in structure.augmented]
        for method in _MUTATING:
            for call in self._resolver.calls_by_written_name.get(method, []):
                if isinstance(call.node.func, ast.Attribute):
                    found.append((call.node.func.value, _Mutation(position(call.node), call.block, call=call)))
        return sorted(found, key=lambda pair: pair[1].position)

    @cached_property
    def _by_name(self) -> dict[str, list[_Mutation]]:
        """The changes of what stands in a name, deep ones too."""
        table: dict[str, list[_Mutation]] = defaultdict(list)
        for base, mutation in self._mutations:
            root, inner = base, False
            while isinstance(root, ast.Subscript):
                root, inner = root.value, True
            if isinstance(root, ast.Name):
                table[root.id].append(replace(mutation, inner=inner))
        return table

    @cached_property
    def _changed_attributes(self) -> frozenset[str]:
        """The attributes in which a dict or list is changed: `self.options["x"] = …`."""
        found = set()
        for base, _ in self._mutations:
            root = base
            while isinstance(root, ast.Subscript):
                root = root.value
            if isinstance(root, ast.Attribute):
                found.add(root.attr)
        return frozenset(found)

    @property
    def changed(self) -> Iterator[ast.expr]:
        """All expressions that a dict or list is changed by."""
        return (base for base, _ in self._mutations)

    @cached_property
    def changed_namespaces(self) -> list[tuple[ast.expr, Block]]:
        """The objects whose attributes are set by unknown names: `x.__dict__.update(…)`, `vars(x)[…] = …`."""
        found = []
        for base, mutation in self._mutations:
            if isinstance(base, ast.Attribute) and base.attr == "__dict__":
                found.append((base.value, mutation.block))
            elif isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == "vars":
                found += [(argument, mutation.block) for argument in base.args]
        return found

    def in_attribute(self, value: Value, name: str) -> Value:
        """A value that stands in the attribute `name` of something, as other places may have changed it."""
        return _weakened(value) if name in self._changed_attributes else value

    def apply(self, value: Value, name: str, binding: Binding, use: Use) -> Value:
        """`value`, bound to `name`, with the changes that a use may see."""
        if isinstance(value, Choice):
            return choice([self.apply(option, name, binding, use) for option in value.choices])
        if not isinstance(value, Table | Items):
            return value
        mutations = self._by_name.get(name, [])
        if len(mutations) > _MAX_MUTATIONS:
            return UNKNOWN
        changed = False
        for mutation in mutations:
            certain = None if mutation.augmented else self._is_seen(mutation, name, binding, use)
            if certain is not None:
                changed = True
                value = self._changed(value, mutation, certain=certain)
        if changed and binding.kind == "parameter" and isinstance(value, Table | Items):
            value = replace(value, complete=False)  # a default is shared between calls
        return _weakened(value) if self._changed_elsewhere(name, binding, use) else value

    def _is_seen(self, mutation: _Mutation, name: str, binding: Binding, use: Use) -> bool | None:
        """Whether a change certainly (True) or maybe (False) comes between the binding and the use; None if not."""
        if mutation.block.scope is not use.scope:
            if _is_shadowed(name, mutation.block.scope, use.scope) or not self._resolver.is_live(mutation.block):
                return None
            return False
        if mutation.position < binding.position or not use.may_see(mutation.block, mutation.position):
            return None
        if not self._resolver.is_live(mutation.block):
            return None
        return use.follows(mutation.position) and use.certainly_after(mutation.block)

    # -- by other names ----------------------------------------------------------

    def _changed_elsewhere(self, name: str, binding: Binding, use: Use) -> bool:
        """Whether what `name` holds may be changed by another name for it, or by what it is given to."""
        if self._escapes_to_change(name, binding.position, use, frozenset({name})):
            return True
        other = binding.value.id if isinstance(binding.value, ast.Name) else None
        return other is not None and self._changed_as(other, binding.position, use, frozenset({name}))

    def _changed_as(
        self, name: str, since: Position, use: Use, seen: frozenset[str], loops: Collection[Block] = ()
    ) -> bool:
        """Whether something is changed under the name `name` between a place and the use.

        What stands before the place in one of the `loops` around it comes after it too.
        """
        if name in seen:
            return False
        for mutation in self._by_name.get(name, []):
            elsewhere = mutation.block.scope is not use.scope
            if elsewhere and not _is_shadowed(name, mutation.block.scope, use.scope):
                return True
            if elsewhere or not use.may_see(mutation.block, mutation.position):
                continue
            if mutation.position > since or any(loop in mutation.block.ancestors() for loop in loops):
                return True
        return self._escapes_to_change(name, since, use, seen | {name})

    def _escapes_to_change(self, name: str, since: Position, use: Use, seen: frozenset[str]) -> bool:
        for escape in self._resolver.structure.escapes.get(name, []):
            if escape.block.scope is use.scope:
                if escape.position < since or not use.may_see(escape.block, escape.position):
                    continue
            elif _is_shadowed(name, escape.block.scope, use.scope):
                continue
            if self._may_change(escape, use, seen):
                return True
        return False

    def _may_change(self, escape: Escape, use: Use, seen: frozenset[str]) -> bool:
        if escape.kind == "alias":
            loops = [block for block in escape.block.ancestors() if block.kind == "loop"]
            return escape.target is not None and self._changed_as(escape.target, escape.position, use, seen, loops)
        if escape.kind == "attribute":
            return escape.target in self._changed_attributes
        if escape.kind == "return":
            return escape.block.scope is not use.scope
        if escape.kind == "element":
            return any(not isinstance(base, ast.Name) or self._is_held(base, m) for base, m in self._mutations)
        return escape.call is not None and self._is_changed_by(escape.call, escape)

    def _is_held(self, base: ast.Name, mutation: _Mutation) -> bool:
        """Whether a name may stand for something out of a list: of a loop, an unpacking, a parameter."""
        bindings = mutation.block.scope.bindings.get(base.id, [])
        return any(b.kind not in ("assign", "import") or isinstance(b.value, ast.Subscript) for b in bindings)

    def _is_changed_by(self, node: ast.Call, escape: Escape) -> bool:
        call = self._resolver.call_of(node, escape.block)
        if call.written_name in _READING or call.name in _READING:
            return False
        return any(self._callee_changes(option, escape) for option in options(call.callee))

    def _callee_changes(self, callee: Value, escape: Escape) -> bool:
        if isinstance(callee, Function) and isinstance(callee.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return self._function_changes(callee)
        if isinstance(callee, Class):
            return any(not isinstance(base, ast.Name) or base.id != "self" for base, _ in self._mutations)
        # A library's class or function is taken to copy the options that it is given by name.
        return escape.keyword is None and (isinstance(callee, Symbol | Member) or callee is UNKNOWN)

    def _function_changes(self, callee: Function) -> bool:
        """Whether a function of the script changes one of its parameters, or hands it on."""
        names = {n for n, bound in callee.scope.bindings.items() if any(b.kind == "parameter" for b in bound)}
        return any(name in self._by_name or self._resolver.structure.escapes.get(name) for name in names)

    # -- one change ----------------------------------------------------------------

    def _changed(self, value: Value, mutation: _Mutation, *, certain: bool) -> Value:
        if isinstance(value, Table):
            return self._changed_table(value, mutation, certain=certain)
        if isinstance(value, Items):
            more = _appended(mutation)
            if more is None:
                return Items((), complete=False)
            return Items((*value.items, *more.items), value.complete and certain and more.complete)
        return value

    def _changed_table(self, table: Table, mutation: _Mutation, *, certain: bool) -> Value:
        entries = dict(table.entries)
        changes = self._entries(table, mutation)
        if changes is None:
            return _weakened(table)
        for key, new in changes.entries.items():
            entries[key] = new if certain else choice([entries.get(key, ABSENT), new])
        return Table(entries, table.complete and changes.complete)

    def _entries(self, table: Table, mutation: _Mutation) -> Table | None:
        """The entries that a change sets; a key that it takes out is ABSENT. None where that cannot be told."""
        if mutation.inner:
            return None
        if mutation.store is not None:
            store = mutation.store
            if store.key is None:
                return None
            return Table({store.key: ABSENT if store.deleted else self._resolver.attributes.stored(store)})
        call = mutation.call
        if call is None:
            return None
        if call.written_name in ("setdefault", "pop"):
            key = call.positional(0)
            if not isinstance(key, Constant) or not isinstance(key.value, str):
                return None
            if call.written_name == "pop":
                return Table({key.value: ABSENT})
            default = Constant(None) if call.positional(1) is ABSENT else call.positional(1)
            had = options(table.entries.get(key.value, ABSENT if table.complete else UNKNOWN))
            return Table({key.value: choice([default if option is ABSENT else option for option in had])})
        return _updated(call, table) if call.written_name == "update" else None


def _updated(call: Call, table: Table) -> Table | None:
    first = call.positional(0)
    if call.may_have_more or not (first is ABSENT or (isinstance(first, Table) and first.complete)):
        return None
    more = merged(first.entries, call.keywords) if isinstance(first, Table) else call.keywords
    return Table({key: value for key, value in merged(table.entries, more).items() if key in more})


def _appended(mutation: _Mutation) -> Items | None:
    """What a change adds to the end of a list; None for any other change."""
    call = mutation.call
    if mutation.inner or call is None or call.written_name not in ("append", "extend", "add"):
        return None
    first = call.positional(0)
    if call.written_name != "extend":
        return Items((first,))
    return first if isinstance(first, Items) else Items((), complete=False)


def _weakened(value: Value) -> Value:
    """A dict or list of which any part may have changed."""
    if isinstance(value, Choice):
        return choice([_weakened(option) for option in value.choices])
    if isinstance(value, Table):
        return Table({key: choice([entry, UNKNOWN]) for key, entry in value.entries.items()}, complete=False)
    if isinstance(value, Items):
        return Items(tuple(choice([item, UNKNOWN]) for item in value.items), complete=False)
    return value


def _is_shadowed(name: str, inner: Scope, outer: Scope) -> bool:
    """Whether `name` in the scope `inner` is another than in `outer`."""
    for scope in _scopes_up_to(inner, outer):
        if scope is None or (name in scope.bindings and name not in scope.outer_names):
            return True
    return False


def _scopes_up_to(inner: Scope, outer: Scope) -> Iterator[Scope | None]:
    scope: Scope | None = inner
    while scope is not outer:
        yield scope
        if scope is None:
            return
        scope = scope.parent
