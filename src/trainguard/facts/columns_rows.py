"""The keys of rows that a script writes out: literals, and what its functions return for a row."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainguard.facts.columns_schema import Rows
from trainguard.facts.leaving import falls_off
from trainguard.facts.resolver import Resolver
from trainguard.facts.structure import Block, Position, position
from trainguard.facts.values import (
    ABSENT,
    Constant,
    Function,
    Items,
    Symbol,
    Table,
    Text,
    Value,
    options,
)
from trainguard.libraries.dataset_formats import ColumnKind

_KEY_CHANGES = {"pop", "popitem", "clear", "update", "setdefault"}

Kinds = dict[str, "ColumnKind | None"]


def kind_of_value(value: Value) -> ColumnKind | None:
    """What a value is; None where it cannot be told."""
    kinds = {_kind_of_one(option) for option in options(value)}
    return kinds.pop() if len(kinds) == 1 else None


def _kind_of_one(value: Value) -> ColumnKind | None:
    if isinstance(value, Text):
        return "text"
    if isinstance(value, Constant):
        if isinstance(value.value, str):
            return "text"
        return "number" if isinstance(value.value, int | float) else None
    if isinstance(value, Items) and value.items:
        first = value.items[0]
        if not isinstance(first, Table):
            return "list" if isinstance(first, Constant | Text | Items) else None
        if "role" in first.entries:
            return "chat"
        if "from" in first.entries and "value" in first.entries:
            return "turns"
        return "list" if first.complete else None
    return None


def of_table(value: Value) -> Kinds | None:
    """The keys of a dict of which all are known and certain, with what their values are."""
    if not isinstance(value, Table) or not value.complete or not value.entries:
        return None
    if any(ABSENT in options(entry) for entry in value.entries.values()):
        return None
    return {key: kind_of_value(entry) for key, entry in value.entries.items()}


def of_columns(value: Value) -> Kinds | None:
    """The keys of a dict of columns, with what their first cells are."""
    if of_table(value) is None:
        return None
    assert isinstance(value, Table)
    return {key: kind_of_value(_first_cell(entry)) for key, entry in value.entries.items()}


def _first_cell(value: Value) -> Value:
    return value.items[0] if isinstance(value, Items) and value.items else Symbol("")


def of_list(resolver: Resolver, node: ast.expr, block: Block) -> Kinds | None:
    """The keys of all rows of a list of dicts: a literal, a comprehension, or one of these many times over."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return of_list(resolver, node.left, block)
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        return of_table(resolver.evaluate(node.elt, block))
    value = resolver.evaluate(node, block)
    if not isinstance(value, Items) or not value.complete or not value.items:
        return None
    rows = [of_table(item) for item in value.items]
    first = rows[0]
    if first is None or any(row is None or row.keys() != first.keys() for row in rows):
        return None
    kinds = {key: {row[key] for row in rows if row is not None} for key in first}
    return {key: found.pop() if len(found) == 1 else None for key, found in kinds.items()}


# -- functions -----------------------------------------------------------------


def of_generator(resolver: Resolver, function: Function) -> Kinds | None:
    """The keys of what a generator of the script yields, where every `yield` gives the same."""
    block = function.scope.block
    if block is None or not function.scope.is_generator or isinstance(function.node, ast.Lambda):
        return None
    found: list[Kinds] = []
    for node in _own_nodes(function.node):
        if isinstance(node, ast.YieldFrom):
            return None
        if isinstance(node, ast.Yield):
            kinds = of_table(resolver.evaluate(node.value, block)) if node.value is not None else None
            if kinds is None:
                return None
            found.append(kinds)
    if not found or any(kinds.keys() != found[0].keys() for kinds in found):
        return None
    return {key: found[0][key] if len({kinds[key] for kinds in found}) == 1 else None for key in found[0]}


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions in it."""
    pending = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            pending.extend(ast.iter_child_nodes(node))


def of_function(resolver: Resolver, function: Function) -> Rows | None:
    """What a function of the script returns for a row; None where nothing can be told of it."""
    node = function.node
    block = function.scope.block
    if block is None or function.scope.is_generator or isinstance(node, ast.AsyncFunctionDef):
        return None
    if not isinstance(node, ast.Lambda) and node.decorator_list:
        return None
    arguments = [*node.args.posonlyargs, *node.args.args]
    row = arguments[0].arg if arguments else ""
    if _loses_keys(function, row):
        return None
    if isinstance(node, ast.Lambda):
        return _returned(resolver, node.body, block, row)
    live = [(value, at) for value, at in function.scope.returns if resolver.is_live(at)]
    found = [_returned(resolver, value, at, row) if value is not None else None for value, at in live]
    if not found or falls_off(node):
        return None
    return _one_of([rows for rows in found if rows is not None]) if all(found) else None


def _loses_keys(function: Function, row: str) -> bool:
    """Whether a function takes keys out of the row that it is given, or gives it another meaning."""
    if len(function.scope.bindings.get(row, ())) > 1:
        return True
    for node in ast.walk(function.node):
        if isinstance(node, ast.Delete) and any(_root(target) == row for target in node.targets):
            return True
        method = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        if method is not None and method.attr in _KEY_CHANGES and _root(method.value) == row:
            return True
    return False


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _returned(resolver: Resolver, node: ast.expr, block: Block, row: str) -> Rows | None:
    if isinstance(node, ast.IfExp):
        both = [_returned(resolver, part, block, row) for part in (node.body, node.orelse)]
        return _one_of([rows for rows in both if rows is not None]) if all(both) else None
    if isinstance(node, ast.Name) and row and node.id == row:
        return _changed_row(resolver, block, row, position(node))
    if isinstance(node, ast.Dict):
        spread = [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
        of_row = [value for value in spread if isinstance(value, ast.Name) and value.id == row]
        if of_row:
            own = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if value not in of_row]
            rest = ast.copy_location(ast.Dict([key for key, _ in own], [value for _, value in own]), node)
            found = _of_value(resolver.evaluate(rest, block)) if own else Rows()
            return None if found is None else Rows(found.certain, found.maybe, found.more, whole_row=True)
    return _of_value(resolver.evaluate(node, block))


def _of_value(value: Value) -> Rows | None:
    found: list[Rows] = []
    for option in options(value):
        if isinstance(option, Constant):  # None leaves every row as it is
            return None
        if not isinstance(option, Table):
            found.append(Rows(more=True))
            continue
        entries = option.entries
        maybe = frozenset(key for key, entry in entries.items() if ABSENT in options(entry))
        certain = {key: kind_of_value(entry) for key, entry in entries.items() if key not in maybe}
        found.append(Rows(certain, maybe, more=not option.complete))
    return _one_of(found)


def _changed_row(resolver: Resolver, block: Block, row: str, until: Position) -> Rows:
    """What `row["text"] = …` puts into the row that is returned."""
    certain: Kinds = {}
    maybe: set[str] = set()
    more = False
    scope = block.scope
    structure = resolver.structure
    stores = [store for several in structure.item_stores.values() for store in several] + structure.other_stores
    for store in stores:
        if _root(store.base) != row or store.block.scope is not scope or not isinstance(store.base, ast.Name):
            continue
        if store.key is None:
            more = True
        elif store.block.outermost is scope.block and store.position < until:
            value = resolver.evaluate(store.value, store.block) if store.value is not None else Symbol("")
            certain[store.key] = kind_of_value(value)
        else:
            maybe.add(store.key)
    return Rows(certain, frozenset(maybe) - certain.keys(), more, whole_row=True, same_row=True)


def _one_of(several: list[Rows]) -> Rows | None:
    """What a function returns that returns one of several things."""
    if not several or len({(rows.whole_row, rows.same_row) for rows in several}) != 1:
        return None
    names = dict.fromkeys(name for rows in several for name in (*rows.certain, *rows.maybe))
    always = [name for name in names if all(name in rows.certain for rows in several)]
    kinds = {name: {rows.certain[name] for rows in several} for name in always}
    return Rows(
        {name: found.pop() if len(found) == 1 else None for name, found in kinds.items()},
        frozenset(names.keys() - set(always)),
        any(rows.more for rows in several),
        several[0].whole_row,
        several[0].same_row,
    )
