"""What assignments bind and store, and where a value may come under another name: the memory of the pass of `walk`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from trainguard.facts.structure import (
    Binding,
    BindingKind,
    Block,
    Escape,
    EscapeKind,
    Position,
    Scope,
    Store,
    Structure,
    position,
)


class Binder:
    """Takes notes of names, stores and escapes; keeps the nodes that are still to be visited."""

    def __init__(self, tree: ast.Module) -> None:
        scope = Scope("module", tree, None)
        scope.block = Block("body", None, scope, tree)
        self.found = Structure(module=scope)
        self.found.scopes[tree] = scope
        self.stack: list[tuple[ast.AST, Block]] = []
        self.nonlocals: set[tuple[Scope, str]] = set()
        self.deferred: list[Binding] = []
        self.root = scope.block

    def _push(self, nodes: Iterator[ast.AST] | Sequence[ast.AST | None], block: Block) -> None:
        # What has no fields (`Load`, `Add`, `Pass`) has nothing to visit.
        self.stack += [(node, block) for node in nodes if node is not None and node._fields][::-1]

    def _bind(self, binding: Binding) -> None:
        scope = binding.block.scope
        if (scope, binding.name) in self.nonlocals:
            self.deferred.append(binding)
        elif binding.name in scope.outer_names:
            outer = scope
            while outer.parent is not None:
                outer = outer.parent
            outer.bindings[binding.name].append(binding)
        else:
            scope.bindings[binding.name].append(binding)

    def _bind_nonlocals(self) -> None:
        """Only now are all names of the functions around known."""
        for binding in self.deferred:
            scope = binding.block.scope.parent
            while scope is not None and (
                scope.kind != "function" or binding.name not in scope.bindings or binding.name in scope.outer_names
            ):
                scope = scope.parent
            if scope is not None:
                scope.bindings[binding.name].append(binding)
                scope.bindings[binding.name].sort(key=lambda b: b.position)

    def _targets(
        self, target: ast.expr, value: ast.expr | None, kind: BindingKind, block: Block, at: Position | None = None
    ) -> None:
        """Binds what an assignment target names; nested unpackings beyond the first level bind as unknown.

        A name is bound `at` the end of the value, so that the value itself sees what was bound before.
        """
        at = at or (end_of(value) if value is not None else position(target))
        if isinstance(target, ast.Name):
            self._bind(Binding(target.id, kind, target, block, at, value=value))
        elif isinstance(target, ast.Attribute):
            self._store(target, value if kind == "assign" else None, block, at)
            self._push([target.value], block)
        elif isinstance(target, ast.Subscript):
            self._store(target, value if kind == "assign" else None, block, at)
            self._push([target.value, target.slice], block)
        elif isinstance(target, ast.Starred):
            self._targets(target.value, None, "other", block, at)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value, kind, block, at)

    def _unpack(
        self, target: ast.Tuple | ast.List, value: ast.expr | None, kind: BindingKind, block: Block, at: Position
    ) -> None:
        parts = value.elts if isinstance(value, ast.Tuple | ast.List) and kind == "assign" else None
        starred = any(isinstance(e, ast.Starred) for e in [*target.elts, *(parts or [])])
        for index, element in enumerate(target.elts):
            if parts is not None and not starred and index < len(parts):
                self._targets(element, parts[index], kind, block, at)
            elif isinstance(element, ast.Name) and kind == "assign" and not starred:
                binding = Binding(element.id, "unpack", element, block, at, value=value, index=index)
                self._bind(binding)
            else:
                self._targets(element, None, "other", block, at)

    def _store(
        self,
        target: ast.Attribute | ast.Subscript,
        value: ast.expr | None,
        block: Block,
        place: Position,
        *,
        deleted: bool = False,
    ) -> None:
        found = self.found
        if isinstance(target, ast.Attribute):
            store = Store(target.value, target.attr, value, block, place, target, deleted)
            found.attribute_stores[target.attr].append(store)
            return
        key = target.slice.value if isinstance(target.slice, ast.Constant) else None
        known = key if isinstance(key, str) else None
        store = Store(target.value, known, value, block, place, target, deleted)
        (found.other_stores if known is None else found.item_stores[known]).append(store)

    # -- what else may change a value ------------------------------------------

    def _assigned(self, target: ast.expr, value: ast.expr | None, block: Block) -> None:
        if isinstance(target, ast.Name):
            self._escape(value, "alias", block, target=target.id)
        elif isinstance(target, ast.Attribute):
            self._escape(value, "attribute", block, target=target.attr)
        else:
            self._escape(value, "element", block)

    def _escape(self, value: ast.expr | None, kind: EscapeKind, block: Block, target: str | None = None) -> None:
        if isinstance(value, ast.IfExp):
            self._escape(value.body, kind, block, target)
            self._escape(value.orelse, kind, block, target)
        elif isinstance(value, ast.BoolOp):
            for part in value.values:
                self._escape(part, kind, block, target)
        elif isinstance(value, ast.Name):
            self.found.escapes[value.id].append(Escape(kind, block, position(value), target))


def end_of(node: ast.stmt | ast.expr) -> Position:
    """The place of the last character of a node, which is not before any name in it."""
    return (node.end_lineno or node.lineno, (node.end_col_offset or node.col_offset + 1) - 1)
