"""Whether the failure of a call ends the job as a failure, or is swallowed on the way out.

Follows an exception from a call outwards, through `try` statements, `contextlib.suppress` and the callers of
the function, to the handler that stops it, and asks whether anything after that handler tells of the failure.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainguard.facts.calls import Call
from trainguard.facts.handlers import (
    BROAD_EXCEPTIONS,
    calls_in,
    catches,
    endings,
    exception_names,
    never_fails,
)
from trainguard.facts.structure import Block, Handler, position
from trainguard.facts.values import truth
from trainguard.findings import Location

if TYPE_CHECKING:
    from trainguard.facts.script import ScriptFacts

_MAX_CALLS = 6
_EXISTENCE_TESTS = {"exists", "isfile", "isdir", "is_file", "is_dir", "listdir", "glob", "iterdir", "file_exists"}
# Methods that leave a mark on what they are called on.
_MARKING = {"append", "add", "extend", "update", "set", "put", "write", "write_text", "setdefault"}
_CHECKING_NAMES = ("verify", "check", "assert", "ensure", "validate")


@dataclass(frozen=True, slots=True)
class Swallow:
    """What stops a failure for good: an `except` clause, or a `with suppress(…)` (`handler` is then None).

    `node` identifies it, `statements` is what runs instead, `statement` the whole `try` or `with`.
    """

    node: ast.AST
    statement: ast.stmt
    statements: tuple[ast.stmt, ...]
    block: Block
    where: Location
    written: str
    handler: Handler | None = None


def swallows(script: ScriptFacts, block: Block) -> Iterator[Swallow]:
    """What certainly stops a failure raised in `block` so that the script goes on or ends with 0."""
    yield from _outwards(script, block, frozenset())


def _outwards(script: ScriptFacts, start: Block, seen: frozenset[ast.AST]) -> Iterator[Swallow]:
    for block in start.ancestors():
        verdict: Literal["through", "stopped", "unknown"] | Swallow = "through"
        if block.kind == "try" and isinstance(block.owner, ast.Try):
            verdict = _at_try(script, block.owner)
        elif block.kind == "with" and isinstance(block.owner, ast.With | ast.AsyncWith):
            verdict = _at_with(script, block.owner, block)
        if isinstance(verdict, Swallow):
            yield verdict
        if verdict != "through":
            return
    function = start.scope.node
    if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function not in seen and len(seen) < _MAX_CALLS:
        for call in _callers(script, function):
            yield from _outwards(script, call.block, seen | {function})


def _callers(script: ScriptFacts, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Call]:
    resolver = script.resolver
    calls = resolver.calls_by_written_name.get(function.name, [])
    return [call for call in calls if call.live and call.block.scope.node is not function]


def _at_try(script: ScriptFacts, statement: ast.Try) -> Literal["through", "unknown"] | Swallow:
    for handler in script.handlers:
        if handler.statement is not statement:
            continue
        names = catches(script, handler)
        if names is None:
            return "unknown"
        if not names & BROAD_EXCEPTIONS:
            continue
        ways = endings(script, handler.node.body, handler.block)
        if ways == {"fails"}:
            if any(_is_general(catches(script, h)) for h in script.handlers if h.statement is statement):
                return "through"
            continue
        if "fails" in ways or _is_told_later(script, handler, "returns" in ways):
            return "unknown"
        return _handler_swallow(script, handler)
    return "through"


def _is_general(names: frozenset[str] | None) -> bool:
    return names is None or bool(names & {"Exception", "BaseException"})


def _handler_swallow(script: ScriptFacts, handler: Handler) -> Swallow:
    node = handler.node
    if node.type is not None:
        where, written = script.resolver.location(node.type), f"except {ast.unparse(node.type)}"[:80]
    else:
        line, column = position(node)
        where, written = script.location(line, column + 1, line, column + len("except") + 1), "except"
    return Swallow(node, handler.statement, tuple(node.body), handler.block, where, written, handler)


def _at_with(
    script: ScriptFacts, statement: ast.With | ast.AsyncWith, block: Block
) -> Literal["through", "unknown"] | Swallow:
    for call in calls_in(script, [item.context_expr for item in statement.items]):
        if call.name != "suppress" or call.package not in ("contextlib", None):
            continue
        names: set[str] = set()
        for index in range(call.positional_count):
            names |= exception_names(call.positional(index)) or set()
        if names & BROAD_EXCEPTIONS and not _raises_after(script, statement, block, set()):
            written = ast.unparse(call.node)[:80]
            return Swallow(call.node, statement, (), block, call.location, f"with {written}")
    return "through"


# -- whether it is told later ------------------------------------------------------


def _is_told_later(script: ScriptFacts, handler: Handler, returns: bool) -> bool:
    """Whether what comes after a handler may still end the job as a failure, or tries again for ever."""
    block = handler.block
    for around in block.ancestors():
        if around.kind == "loop" and isinstance(around.owner, ast.While) and around.parent is not None:
            endless = truth(script.resolver.evaluate(around.owner.test, around.parent))
            if endless:
                return True
    marked = _names_marked(handler.node)
    if _raises_after(script, handler.statement, block, marked) or marked & _names_that_fail(script, handler):
        return True
    function = block.scope.node
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    told_by_value = returns or _has_return(handler.statement.body) or _has_return(handler.statement.orelse)
    told_by_value |= any(
        value is not None and _mentioned(value) & marked for value, _ in block.scope.returns if value is not None
    )
    return told_by_value and _value_is_used(script, function, handler)


def _names_marked(handler: ast.ExceptHandler) -> set[str]:
    """The names by which a handler can tell of the failure: what it assigns, appends to or sets."""
    names: set[str] = set()
    for node in ast.walk(handler):
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            names |= _mentioned(node) - {"self"}
        elif isinstance(node, ast.AugAssign):
            names |= _mentioned(node.target) - {"self"}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names |= _mentioned(node.func.value) - {"self"} if node.func.attr in _MARKING else set()
    return names


def _raises_after(script: ScriptFacts, statement: ast.stmt, block: Block, marked: set[str]) -> bool:
    """Whether the function goes on to raise or exit where the failure, or what was marked, may be the reason."""
    body = getattr(block.scope.node, "body", [])
    if not isinstance(body, list):
        return False
    related = marked | _mentioned(statement)
    loops = [around.owner for around in block.ancestors() if around.kind == "loop" and around.owner is not None]
    return any(
        _fails_in(script, node, block, related, after=(statement.end_lineno or 0, statement.end_col_offset or 0))
        for node in body
    ) or any(_fails_in(script, loop, block, related, after=(0, 0), skip=statement) for loop in loops)


def _fails_in(
    script: ScriptFacts,
    node: ast.AST,
    block: Block,
    related: set[str],
    *,
    after: tuple[int, int],
    skip: ast.AST | None = None,
) -> bool:
    stack = [node]
    while stack:
        current = stack.pop()
        if current is skip or isinstance(
            current, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.ExceptHandler
        ):
            continue
        later = position(current) >= after
        if isinstance(current, ast.If) and later and not _is_about(current.test, related):
            continue
        if later and isinstance(current, ast.Raise | ast.Assert):
            return True
        if later and isinstance(current, ast.Expr) and not never_fails(script, [current], block):
            return True
        if later and isinstance(current, ast.Call) and _written(current).lstrip("_").startswith(_CHECKING_NAMES):
            return True
        stack.extend(ast.iter_child_nodes(current))
    return False


def _is_about(test: ast.expr, related: set[str]) -> bool:
    names = _mentioned(test)
    return bool(names & (related | _EXISTENCE_TESTS))


def _names_that_fail(script: ScriptFacts, handler: Handler) -> set[str]:
    """The names that a condition of a raise or an exit, or the code of an exit, mentions anywhere."""
    names: set[str] = set()
    own = set(ast.walk(handler.node))
    for node in ast.walk(script.syntax.tree):
        if node in own:
            continue
        if isinstance(node, ast.Call) and _written(node) in ("exit", "_exit", "SystemExit", "Exit"):
            names |= set().union(*(_mentioned(argument) for argument in node.args), set())
        elif isinstance(node, ast.Assert) or (
            isinstance(node, ast.If)
            and any(
                isinstance(inner, ast.Raise) or (isinstance(inner, ast.Call) and _written(inner) in ("exit", "_exit"))
                for inner in ast.walk(node)
            )
        ):
            names |= _mentioned(node.test)
    return names


# -- the value of a function ---------------------------------------------------------


def _value_is_used(script: ScriptFacts, function: ast.FunctionDef | ast.AsyncFunctionDef, handler: Handler) -> bool:
    """Whether a caller may learn of the failure from what the function returns."""
    callers = _callers(script, function)
    if not callers:
        return True
    dropped = {
        node.value.value if isinstance(node.value, ast.Await) else node.value
        for node in ast.walk(script.syntax.tree)
        if isinstance(node, ast.Expr)
    }
    # `asyncio.run(main())` gives the value back, and drops it like `main()`.
    dropped |= {
        a for call in list(dropped) if isinstance(call, ast.Call) and _written(call) == "run" for a in call.args
    }
    exits = {argument for c in script.calls if c.name in ("exit", "SystemExit", "_exit") for argument in c.node.args}
    for call in callers:
        if call.node in dropped or (call.node in exits and _returns_success(handler.node)):
            continue
        return True
    return False


def _returns_success(handler: ast.ExceptHandler) -> bool:
    returned = [node for node in ast.walk(handler) if isinstance(node, ast.Return)]
    return bool(returned) and all(
        node.value is None or (isinstance(node.value, ast.Constant) and node.value.value in (None, 0, False))
        for node in returned
    )


def _has_return(statements: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Return) for statement in statements for node in ast.walk(statement))


def _written(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _mentioned(node: ast.AST) -> set[str]:
    """The names and attributes in a node, those of modules and builtins among them."""
    return {
        inner.id if isinstance(inner, ast.Name) else inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name | ast.Attribute)
    } - {"print", "Exception", "RuntimeError", "str", "len"}
