"""Expressions and library functions whose result follows from their parts alone."""

from __future__ import annotations

import ast
import builtins
import operator
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trainguard.facts.documents import LOADERS, loaded
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Constant,
    Items,
    ParsedArguments,
    Symbol,
    Table,
    Text,
    Value,
    choice,
    from_python,
    merged,
    options,
    truth,
)

if TYPE_CHECKING:
    from trainguard.facts.calls import Call

Evaluate = Callable[[ast.expr], Value]

# A computed string or number larger than this is of no use to a rule.
_MAX_TEXT = 100_000
_MAX_NUMBER = 10**30

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_STRING_METHODS = {"strip", "lstrip", "rstrip", "lower", "upper", "title", "replace", "removeprefix", "removesuffix"}


def is_builtin(name: str) -> bool:
    return hasattr(builtins, name)


def evaluate(node: ast.expr, inner: Evaluate) -> Value:
    """A literal, operator or f-string; UNKNOWN for all else."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return _items(node.elts, inner)
    if isinstance(node, ast.Dict):
        return _table(node, inner)
    if isinstance(node, ast.JoinedStr):
        return _joined([_template_part(part, inner) for part in node.values])
    if isinstance(node, ast.UnaryOp):
        return _unary(node, inner)
    if isinstance(node, ast.BinOp):
        return binary(node.op, inner(node.left), inner(node.right))
    if isinstance(node, ast.Compare):
        return _compare(node, inner)
    return UNKNOWN


def _items(elements: list[ast.expr], inner: Evaluate) -> Value:
    items: list[Value] = []
    complete = True
    for element in elements:
        if isinstance(element, ast.Starred):
            spread = inner(element.value)
            if isinstance(spread, Items):
                items.extend(spread.items)
                complete &= spread.complete
            else:
                complete = False
        else:
            items.append(inner(element))
    return Items(tuple(items), complete)


def _table(node: ast.Dict, inner: Evaluate) -> Value:
    entries: dict[str, Value] = {}
    complete = True
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            spread = inner(value)
            if isinstance(spread, Table):
                entries = merged(entries, spread.entries)
                complete &= spread.complete
            else:
                complete = False
            continue
        name = inner(key)
        if isinstance(name, Constant) and isinstance(name.value, str):
            entries[name.value] = inner(value)
        else:
            complete = False  # a table holds string keys only
    return Table(entries, complete)


def _template_part(node: ast.expr, inner: Evaluate) -> Value:
    if isinstance(node, ast.FormattedValue):
        value = inner(node.value)
        plain = node.format_spec is None and node.conversion == -1
        if plain and isinstance(value, Constant) and isinstance(value.value, str | int | float):
            return Constant(str(value.value))
        return value if plain and isinstance(value, Text) else UNKNOWN
    return inner(node)


def _joined(parts: list[Value]) -> Value:
    flat: list[str | None] = []
    for part in parts:
        if isinstance(part, Constant) and isinstance(part.value, str):
            flat.append(part.value)
        elif isinstance(part, Text):
            flat.extend(part.parts)
        else:
            flat.append(None)
    merged: list[str | None] = []
    for piece in flat:
        if piece is not None and merged and merged[-1] is not None:
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    if all(piece is not None for piece in merged):
        return Constant("".join(piece for piece in merged if piece is not None)[:_MAX_TEXT])
    return Text(tuple(merged))


def _unary(node: ast.UnaryOp, inner: Evaluate) -> Value:
    value = inner(node.operand)
    if isinstance(node.op, ast.Not):
        verdict = truth(value)
        return UNKNOWN if verdict is None else Constant(not verdict)
    if isinstance(value, Constant) and isinstance(value.value, int | float):
        if isinstance(node.op, ast.Invert):
            return UNKNOWN
        return Constant(-value.value if isinstance(node.op, ast.USub) else +value.value)
    return UNKNOWN


def binary(op: ast.operator, left: Value, right: Value) -> Value:
    """`left op right`: of numbers, strings, lists, dicts (`|`) and paths (`/`)."""
    found = [_binary(op, a, b) for a in options(left) for b in options(right)]
    return choice(found)


def _binary(op: ast.operator, left: Value, right: Value) -> Value:
    if isinstance(left, Table) and isinstance(right, Table) and isinstance(op, ast.BitOr):
        return Table(merged(left.entries, right.entries), left.complete and right.complete)
    if isinstance(left, Items) and isinstance(right, Items) and isinstance(op, ast.Add):
        return Items((*left.items, *right.items), left.complete and right.complete)
    if isinstance(op, ast.Add) and _is_text(left) and (_is_text(right) or not isinstance(right, Constant)):
        return _joined([left, right])
    if isinstance(op, ast.Add) and _is_text(right):
        return _joined([left, right])
    if isinstance(op, ast.Div) and _is_text(left):
        return _path([left, right])
    if isinstance(op, ast.Mod) and isinstance(left, Constant) and isinstance(left.value, str):
        head = left.value.partition("%")[0]
        return Text((head, None))
    if isinstance(left, Constant) and isinstance(right, Constant) and type(op) in _OPERATORS:
        return _computed(_OPERATORS[type(op)], left.value, right.value)
    return UNKNOWN


def _is_text(value: Value) -> bool:
    return isinstance(value, Text) or (isinstance(value, Constant) and isinstance(value.value, str))


def _computed(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Value:
    if not all(isinstance(side, int | float) and abs(side) < _MAX_NUMBER for side in (left, right)):
        return UNKNOWN
    try:
        return Constant(function(left, right))
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN


def _compare(node: ast.Compare, inner: Evaluate) -> Value:
    if len(node.ops) != 1:
        return UNKNOWN
    left, right = inner(node.left), inner(node.comparators[0])
    if _is_main_guard(left, right) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        return Constant(isinstance(node.ops[0], ast.Eq))
    compare = _COMPARISONS[type(node.ops[0])]
    results = [_compared(compare, a, b) for a in options(left) for b in options(right)]
    return choice(results)


def _is_main_guard(left: Value, right: Value) -> bool:
    """`__name__ == "__main__"`: a job runs the script, it does not import it."""
    sides = (left, right)
    named = any(isinstance(side, Symbol) and side.name == "__name__" for side in sides)
    return named and Constant("__main__") in sides


def _compared(compare: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    known = _plain(right)
    if isinstance(left, Constant) and known is not UNKNOWN:
        try:
            return Constant(bool(compare(left.value, known)))
        except TypeError:
            return UNKNOWN
    return UNKNOWN


def _plain(value: Value) -> Any:
    if isinstance(value, Constant):
        return value.value
    if isinstance(value, Items) and value.complete and all(isinstance(i, Constant) for i in value.items):
        return [i.value for i in value.items if isinstance(i, Constant)]
    if isinstance(value, Table) and value.complete:
        unsure = any(ABSENT in options(entry) and entry is not ABSENT for entry in value.entries.values())
        return UNKNOWN if unsure else [key for key, entry in value.entries.items() if entry is not ABSENT]
    return UNKNOWN


def item(owner: Value, key: Value) -> Value:
    """`owner[key]` of a dict, list or tuple that is known."""
    if isinstance(owner, Table) and isinstance(key, Constant) and isinstance(key.value, str):
        found = owner.entries.get(key.value, UNKNOWN)
        return choice([option for option in options(found) if option is not ABSENT])
    index = key.value if isinstance(key, Constant) and isinstance(key.value, int) else None
    if isinstance(owner, Items) and owner.complete and index is not None:
        return owner.items[index] if -len(owner.items) <= index < len(owner.items) else UNKNOWN
    if isinstance(owner, ParsedArguments) and isinstance(key, Constant) and key.value == 0:
        return owner
    return UNKNOWN


def method(owner: Value, name: str, call: Call) -> Value | None:
    """What a method of a plain value returns; None where it is not one that is known."""
    if isinstance(owner, Table) and name in ("get", "pop"):
        key = call.positional(0)
        if isinstance(key, Constant) and isinstance(key.value, str):
            default = call.positional(1)
            missing = (Constant(None) if default is ABSENT else default) if owner.complete else UNKNOWN
            found = owner.entries.get(key.value, missing)
            return choice([missing if option is ABSENT else option for option in options(found)])
        return UNKNOWN
    if isinstance(owner, Constant) and isinstance(owner.value, str):
        return _string_method(owner.value, name, call)
    return None


def _string_method(owner: str, name: str, call: Call) -> Value | None:
    given = [call.positional(i) for i in range(call.positional_count)]
    if name == "format":
        return Text((owner.partition("{")[0], None)) if "{" in owner else Constant(owner)
    if name == "join":
        parts = given[0] if given else UNKNOWN
        known = [i.value for i in parts.items if isinstance(i, Constant)] if isinstance(parts, Items) else []
        whole = isinstance(parts, Items) and parts.complete and len(known) == len(parts.items)
        return Constant(owner.join(map(str, known))) if whole else UNKNOWN
    if name == "split" and all(isinstance(g, Constant) for g in given):
        return from_python(owner.split(*[g.value for g in given if isinstance(g, Constant)][:1]))
    if name in _STRING_METHODS and all(isinstance(g, Constant) and isinstance(g.value, str) for g in given):
        try:
            return Constant(getattr(owner, name)(*[g.value for g in given if isinstance(g, Constant)]))
        except TypeError:
            return UNKNOWN
    return None


def function(callee: Symbol, call: Call) -> Value | None:
    """What a well-known function returns; None where it is not one that is known."""
    path = callee.path
    if path == "builtins.dict":
        return _dict(call)
    if path in ("builtins.list", "builtins.tuple", "builtins.set", "builtins.frozenset", "builtins.sorted"):
        return _collected(path, call)
    if path in ("builtins.str", "pathlib.Path", "builtins.int", "builtins.float", "builtins.bool"):
        return _converted(path, call)
    if path in ("os.path.join", "pathlib.Path.joinpath"):
        return _path([call.positional(index) for index in range(call.positional_count)])
    if path in ("os.getenv", "os.environ.get"):
        default = call.argument("default", 1)
        return choice([Constant(None) if default is ABSENT else default, UNKNOWN])
    if path == "textwrap.dedent":
        first = call.positional(0)
        dedent = isinstance(first, Constant) and isinstance(first.value, str)
        return Constant(textwrap.dedent(first.value)) if dedent else UNKNOWN  # type: ignore[attr-defined]
    if path in LOADERS:
        return loaded(call.positional(0), LOADERS[path])
    if callee.name in ("SimpleNamespace", "EasyDict", "Munch", "Namespace", "DotMap", "AttrDict"):
        return Table(call.keywords, not call.may_have_more) if call.keywords else None
    return None


def _collected(path: str, call: Call) -> Value:
    """`list(…)` and its kin: of what is known to be in them, in the order that the result has."""
    first = call.positional(0)
    if first is ABSENT:
        return Items(())
    if not isinstance(first, Items):
        return UNKNOWN
    if path.endswith("sorted"):
        known = [item.value for item in first.items if isinstance(item, Constant)]
        if call.keywords or call.may_have_more or len(known) != len(first.items):
            return Items(first.items, complete=False)
        try:
            return Items(tuple(Constant(item) for item in sorted(known)), first.complete)
        except TypeError:
            return UNKNOWN
    return Items(tuple(options(choice(list(first.items)))), first.complete) if path.endswith("set") else first


def _path(parts: list[Value]) -> Value:
    """Parts joined as `os.path.join` and `/` of paths do: an absolute part starts anew."""
    joined: list[Value] = []
    for part in parts:
        known = part.value if isinstance(part, Constant) and isinstance(part.value, str) else ""
        if known.startswith("/"):
            joined = [part]
        else:
            ends = joined and isinstance(joined[-1], Constant) and str(joined[-1].value).endswith("/")
            joined += [part] if not joined or ends else [Constant("/"), part]
    return _joined(joined)


def _dict(call: Call) -> Value:
    first = call.positional(0)
    entries = dict(call.keywords)
    if isinstance(first, Table):
        return Table(merged(first.entries, entries), first.complete and not call.may_have_more)
    return Table(entries, first is ABSENT and not call.may_have_more)


def _converted(path: str, call: Call) -> Value:
    first = call.positional(0)
    name = path.rpartition(".")[2]
    if name == "Path" and call.positional_count > 1:
        return _path([call.positional(index) for index in range(call.positional_count)])
    if name in ("str", "Path") and (isinstance(first, Text) or _is_text(first)):
        return first
    if not isinstance(first, Constant):
        return UNKNOWN
    try:
        return Constant(getattr(builtins, name)(first.value)) if name != "Path" else UNKNOWN
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN


def entry_node(node: ast.expr, key: str) -> ast.expr | None:
    """Where the value of `key` stands in a dict literal or `dict(…)` call."""
    if isinstance(node, ast.Dict):
        for name, value in zip(node.keys, node.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                return value
    if isinstance(node, ast.Call):
        return next((keyword.value for keyword in node.keywords if keyword.arg == key), None)
    return None
