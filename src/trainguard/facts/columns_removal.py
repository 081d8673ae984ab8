"""Lists of column names: literals, `dataset.column_names`, and what is left of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.columns_schema import Columns, Removal
from trainguard.facts.structure import Block
from trainguard.facts.values import ABSENT, Items, Table, Value, is_none, text

if TYPE_CHECKING:
    from trainguard.facts.columns import DatasetColumns

_UNKNOWN = Removal(unknown=True)
# Functions that give back the names that they are given.
_SAME_NAMES = {"list", "set", "sorted", "tuple", "frozenset"}


def listed(value: Value) -> frozenset[str] | None:
    """The names of a literal list, or of one string."""
    if (one := text(value)) is not None:
        return frozenset({one})
    if not isinstance(value, Items) or not value.complete:
        return None
    names = [text(item) for item in value.items]
    return frozenset(name for name in names if name is not None) if None not in names else None


def names_of_mapping(value: Value) -> Mapping[str, str] | None:
    """A literal dict of names."""
    if not isinstance(value, Table) or not value.complete or not value.entries:
        return None
    names = {key: text(entry) for key, entry in value.entries.items()}
    return {key: name for key, name in names.items() if name} if all(names.values()) else None


def removal(reader: DatasetColumns, call: Call, receiver: ast.expr, value: Value) -> Removal:
    """What the argument `value` of a method of `receiver` names."""
    if value is ABSENT or is_none(value):
        return Removal()
    if (names := listed(value)) is not None:
        return Removal(names)
    node = _node_of(call)
    return _of_expression(reader, node, call.block, receiver) if node is not None else _UNKNOWN


def _node_of(call: Call) -> ast.expr | None:
    for keyword in call.node.keywords:
        if keyword.arg in ("remove_columns", "column_names"):
            return keyword.value
    return call.node.args[0] if call.written_name == "remove_columns" and call.node.args else None


def _of_expression(reader: DatasetColumns, node: ast.expr, block: Block, receiver: ast.expr, depth: int = 0) -> Removal:
    if depth > 4:
        return _UNKNOWN
    if isinstance(node, ast.Name):
        value = reader.single_value(node, block)
        # A name for the columns of a table may have been bound when the table's name meant another one.
        return _of_expression(reader, value[0], value[1], ast.Constant(None), depth + 1) if value else _UNKNOWN
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SAME_NAMES and node.args:
        return _of_expression(reader, node.args[0], block, receiver, depth + 1)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys":
        return _of_expression(reader, node.func.value, block, receiver, depth + 1)
    if isinstance(node, ast.Attribute) and node.attr in ("column_names", "features"):
        return _of_table(reader, node.value, block, receiver)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        return _less(_of_expression(reader, node.left, block, receiver, depth + 1), reader, node.right, block)
    if isinstance(node, ast.ListComp):
        return _filtered(reader, node, block, receiver, depth)
    return _UNKNOWN


def _of_table(reader: DatasetColumns, node: ast.expr, block: Block, receiver: ast.expr) -> Removal:
    plain = node
    if isinstance(plain, ast.Subscript) and isinstance(plain.slice, ast.Constant):
        plain = plain.value  # the splits of a set have the same columns
    named_alike = isinstance(plain, ast.Name) and ast.dump(receiver) in (ast.dump(plain), ast.dump(node))
    data = reader.read(node, block)
    if not isinstance(data, Columns):
        return _UNKNOWN
    # Splits that the script puts together itself may differ from one another.
    whole = reader.read(receiver, block)
    alike = isinstance(whole, Columns) or not whole.tables
    return Removal(of=data, same=named_alike and alike)


def _less(found: Removal, reader: DatasetColumns, node: ast.expr, block: Block) -> Removal:
    kept = listed(reader.resolver.evaluate(node, block))
    if kept is None or found.unknown or found.of is None:
        return _UNKNOWN
    return Removal(found.names - kept, found.of, found.kept | kept, found.same)


def _filtered(reader: DatasetColumns, node: ast.ListComp, block: Block, receiver: ast.expr, depth: int) -> Removal:
    """`[name for name in dataset.column_names if name not in ("text",)]`."""
    generator = node.generators[0]
    target = generator.target
    plain = len(node.generators) == 1 and isinstance(target, ast.Name) and isinstance(node.elt, ast.Name)
    if not plain or not isinstance(target, ast.Name) or not isinstance(node.elt, ast.Name) or node.elt.id != target.id:
        return _UNKNOWN
    found = _of_expression(reader, generator.iter, block, receiver, depth + 1)
    for test in generator.ifs:
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or ast.dump(test.left) != ast.dump(node.elt):
            return _UNKNOWN
        right = test.comparators[0]
        if not isinstance(test.ops[0], ast.NotIn | ast.NotEq):
            return _UNKNOWN
        found = _less(found, reader, right, block)
    return found
