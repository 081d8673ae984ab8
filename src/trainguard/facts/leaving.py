"""Whether control can come out of a statement at its end, told by the text alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Context managers that end an exception, by their last name (contextlib.suppress, pytest.raises).
_SWALLOWING = {"suppress", "raises", "ignored"}
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_OWN_BODY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def leaves(statement: ast.stmt, *, by_raising: bool = True) -> bool:
    """Whether nothing after `statement` in its block can run.

    `by_raising` False leaves out `raise` and exits of the process, which a `with` around may end.
    """
    if isinstance(statement, ast.Return | ast.Continue | ast.Break):
        return True
    if isinstance(statement, ast.Raise):
        return by_raising
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return by_raising and exits_process(statement.value)
    if isinstance(statement, ast.If):
        return _any(statement.body, by_raising) and _any(statement.orelse, by_raising)
    if isinstance(statement, ast.Try | ast.TryStar):
        return _try_leaves(statement, by_raising)
    if isinstance(statement, ast.With | ast.AsyncWith):
        return not may_swallow(statement) and _any(statement.body, by_raising=False)
    if isinstance(statement, ast.While):
        endless = isinstance(statement.test, ast.Constant) and bool(statement.test.value)
        return endless and not breaks(statement)
    if isinstance(statement, ast.Match):
        irrefutable = any(isinstance(c.pattern, ast.MatchAs) and c.pattern.pattern is None for c in statement.cases)
        return irrefutable and all(_any(case.body, by_raising) for case in statement.cases)
    return False


def _any(statements: list[ast.stmt], by_raising: bool) -> bool:
    return any(leaves(statement, by_raising=by_raising) for statement in statements)


def _try_leaves(statement: ast.Try | ast.TryStar, by_raising: bool) -> bool:
    if _any(statement.finalbody, by_raising):
        return True
    through = _any(statement.body, by_raising) or _any(statement.orelse, by_raising)
    return through and all(_any(handler.body, by_raising) for handler in statement.handlers)


def handlers_leave(statement: ast.Try | ast.TryStar) -> bool:
    """Whether what follows a `try` runs only if its body ran to the end."""
    return all(_any(handler.body, by_raising=True) for handler in statement.handlers)


def falls_off(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    """Whether a function may end without a `return`."""
    return not isinstance(function, ast.Lambda) and not _any(function.body, by_raising=True)


def breaks(loop: ast.For | ast.AsyncFor | ast.While) -> bool:
    """Whether a `break` ends `loop`; one of a loop inside does not."""
    return any(isinstance(node, ast.Break) for node in _own_statements(loop.body))


def _own_statements(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    pending: list[ast.AST] = list(statements)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, _LOOPS):
            pending.extend(node.orelse)
        elif not isinstance(node, _OWN_BODY):
            inner = (getattr(node, name, []) for name in ("body", "orelse", "finalbody", "handlers", "cases"))
            pending.extend(child for part in inner if isinstance(part, list) for child in part)


def may_swallow(statement: ast.With | ast.AsyncWith) -> bool:
    """Whether a `with` is known to end exceptions of its body."""
    return any(_last_name(item.context_expr) in _SWALLOWING for item in statement.items)


def _last_name(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def exits_process(call: ast.Call) -> bool:
    """Whether a call ends the process by its name alone: `sys.exit`, `os._exit`, `exit`, `quit`."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in {"exit", "quit"}
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and (function.value.id, function.attr) in {("sys", "exit"), ("os", "_exit"), ("os", "abort")}
    )
