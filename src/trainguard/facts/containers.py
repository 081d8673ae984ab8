"""Dicts and lists that grow after they were made: `options["x"] = …`, `.update(…)`, `.append(…)`."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.structure import Binding, Block, Position, Scope, position
from trainguard.facts.values import ABSENT, UNKNOWN, Constant, Items, Table, Value, choice

if TYPE_CHECKING:
    from trainguard.facts.resolver import Resolver

# A dict or list that is changed in more places than this is data, not options.
_MAX_MUTATIONS = 200


@dataclass(frozen=True, slots=True)
class _Mutation:
    """A change of a named dict or list: `entries` set, or `items` appended. `unknown` if it cannot be told."""

    position: Position
    block: Block
    entries: Table | None = None
    items: Items | None = None
    unknown: bool = False


class Containers:
    """The changes of the named dicts and lists of a script."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    @cached_property
    def _by_name(self) -> dict[str, list[_Mutation]]:
        table: dict[str, list[_Mutation]] = defaultdict(list)
        for stores in self._resolver.structure.item_stores.values():
            for store in stores:
                if isinstance(store.base, ast.Name):
                    entries = Table({store.key: self._resolver.attributes.stored(store)})
                    table[store.base.id].append(_Mutation(store.position, store.block, entries=entries))
        for method in ("update", "setdefault", "append", "extend"):
            for call in self._resolver.calls_by_written_name.get(method, []):
                if isinstance(call.node.func, ast.Attribute) and isinstance(call.node.func.value, ast.Name):
                    table[call.node.func.value.id].append(_mutation(method, call))
        return {name: sorted(found, key=lambda m: m.position) for name, found in table.items()}

    def apply(
        self, value: Value, name: str, binding: Binding, scope: Scope, block: Block | None, at: Position | None
    ) -> Value:
        """`value`, bound to `name`, with the changes that a use at `at` may see (None: from another scope, later)."""
        if not isinstance(value, Table | Items) or name not in self._by_name:
            return value
        if len(self._by_name[name]) > _MAX_MUTATIONS:
            return UNKNOWN
        for mutation in self._by_name[name]:
            if mutation.block.scope is not scope and self._shadowed(name, mutation.block.scope, scope):
                continue
            same = mutation.block.scope is scope
            if same and not (binding.position < mutation.position and (at is None or mutation.position < at)):
                continue
            if not self._resolver.is_live(mutation.block):
                continue
            around = set(block.ancestors()) if block is not None else {scope.block}
            value = _apply(value, mutation, certain=same and mutation.block.outermost in around)
        return value

    def _shadowed(self, name: str, inner: Scope, outer: Scope) -> bool:
        scope: Scope | None = inner
        while scope is not None and scope is not outer:
            if name in scope.bindings:
                return True
            scope = scope.parent
        return scope is None


def _mutation(method: str, call: Call) -> _Mutation:
    at, block = position(call.node), call.block
    if method == "append":
        return _Mutation(at, block, items=Items((call.positional(0),)))
    if method == "extend":
        more = call.positional(0)
        return _Mutation(at, block, items=more if isinstance(more, Items) else None, unknown=not isinstance(more, Items))
    if method == "setdefault":
        key = call.positional(0)
        known = isinstance(key, Constant) and isinstance(key.value, str)
        entries = Table({key.value: choice([call.positional(1)])}) if known else None  # type: ignore[attr-defined]
        return _Mutation(at, block, entries=entries, unknown=not known)
    entries = dict(call.keywords)
    first = call.positional(0)
    unknown = call.may_have_more or not (first is ABSENT or (isinstance(first, Table) and first.complete))
    if isinstance(first, Table):
        entries = {**first.entries, **entries}
    return _Mutation(at, block, entries=Table(entries), unknown=unknown)


def _apply(value: Value, mutation: _Mutation, *, certain: bool) -> Value:
    if isinstance(value, Table):
        entries = dict(value.entries)
        for key, new in (mutation.entries.entries if mutation.entries else {}).items():
            entries[key] = new if certain else choice([entries.get(key, ABSENT), new])
        return Table(entries, value.complete and not mutation.unknown)
    if isinstance(value, Items):
        more = mutation.items.items if mutation.items else ()
        return Items((*value.items, *more), value.complete and certain and not mutation.unknown)
    return value
