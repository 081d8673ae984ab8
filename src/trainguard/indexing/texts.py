"""Small readings of expressions, shared by the readers of functions, classes and modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from trainguard.indexing.raw import Value

LONGEST_SOURCE = 160  # characters of a default, an annotation or a constant that are worth keeping
LONGEST_MESSAGE = 240
LONG = "…"

_INNER_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

# Calls that only tell: what they are given is neither used nor stored.
_TELLING = re.compile(r"(^|\.)(warn|warning|warning_once|warning_advice|info|debug|error|print|warn_once|_warn)$")


def dotted(node: ast.expr | None) -> str | None:
    """`a.b.c` of a chain of names, None for anything else. Subscripts (`Generic[T]`) count as what they subscript."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Name):
            parts.append(node.id)
            return ".".join(reversed(parts))
        else:
            return None


def source(node: ast.expr | None) -> str | None:
    """The source of an expression, `…` (which is no expression) where nobody would read it; None of none."""
    if node is None:
        return None
    text = ast.unparse(node)
    return text if len(text) <= LONGEST_SOURCE else LONG


def literal(node: ast.expr | None) -> tuple[bool, Value]:
    """Whether an expression is a plain literal, and its value."""
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str | int | float | bool)):
        return True, node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return True, -value
    return False, None


def text_of(node: ast.expr | None) -> str | None:
    """The value of a string literal."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def texts_of(node: ast.expr | None) -> list[str] | None:
    """The strings of a list, tuple or set of string literals (starred ones and others are left out)."""
    if (
        isinstance(node, ast.Call)
        and dotted(node.func) in {"list", "set", "tuple", "frozenset", "sorted"}
        and node.args
    ):
        node = node.args[0]
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return None
    return [text for item in node.elts if (text := text_of(item)) is not None]


def literals_of(node: ast.expr | None, constants: Mapping[str, ast.expr]) -> list[Value] | None:
    """The literals of a list, tuple or set that holds nothing else; a name stands for the module's constant."""
    if isinstance(node, ast.Name):
        node = constants.get(node.id)
    if isinstance(node, ast.Dict):
        keys = [literal(key) for key in node.keys]
        return [value for _, value in keys] if all(known for known, _ in keys) else None
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return None
    values = [literal(item) for item in node.elts]
    return [value for _, value in values] if all(known for known, _ in values) else None


def message_of(node: ast.expr | None) -> str:
    """A message as a reader gets it, `{…}` for what is filled in; empty where it is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(message_of(part) if isinstance(part, ast.Constant) else _filled(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return message_of(node.left) + message_of(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return message_of(node.func.value)
    return ""


def _filled(node: ast.expr) -> str:
    if isinstance(node, ast.FormattedValue):
        known, value = literal(node.value)
        if known:
            return str(value)
    return "{…}"


def tells(node: ast.AST) -> ast.Call | None:
    """The call, where a node is one that warns or logs."""
    if isinstance(node, ast.Call) and _TELLING.search(dotted(node.func) or ""):
        return node
    return None


@lru_cache(maxsize=256)
def nodes_of(node: ast.AST) -> list[ast.AST]:
    """A node and all nodes below it, as `ast.walk` gives them; kept, since the same functions are asked for often."""
    found = [node]
    for one in found:
        for value in one.__dict__.values():
            if type(value) is list:
                found.extend(item for item in value if isinstance(item, ast.AST))
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                found.append(value)
    return found


def walk_statements(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of a body, without those of functions and classes inside it."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _INNER_SCOPES):
            stack.extend(_children(node))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """`ast.iter_child_nodes`, at a third of its time."""
    for value in node.__dict__.values():
        if isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    yield item
        elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
            yield value


def ends_in_raise(body: Sequence[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)


def import_target(node: ast.ImportFrom, name: str) -> str:
    return f"{'.' * node.level}{node.module or ''}:{name}"
