"""What `except` clauses do: what they catch, and whether the script goes on after them or fails."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias
from weakref import WeakKeyDictionary

from trainguard.facts.calls import Call
from trainguard.facts.structure import Block, Handler, position
from trainguard.facts.values import Class, Constant, Function, Items, Member, Symbol, Value, is_none, options, truth

if TYPE_CHECKING:
    from trainguard.facts.script import ScriptFacts

# How a list of statements can end. "fails": an exception or a non-zero exit; "ends": an exit with 0.
Ending: TypeAlias = Literal["falls", "fails", "ends", "returns", "loops"]

# Exceptions by which a training, a load, a save or a push fails. Others are narrow: their handlers are taken to
# know what they do (KeyboardInterrupt, ImportError, AttributeError, classes of the script).
BROAD_EXCEPTIONS = frozenset(
    {"BaseException", "Exception", "RuntimeError", "OutOfMemoryError", "MemoryError", "OSError", "IOError",
     "ValueError", "EnvironmentError", "ConnectionError", "TimeoutError", "FileNotFoundError", "PermissionError",
     "HTTPError", "HfHubHTTPError", "RepositoryNotFoundError", "RequestException", "DatasetNotFoundError", "CudaError",
     "DatasetGenerationError", "EntryNotFoundError", "GatedRepoError", "RevisionNotFoundError",
     "DataFilesNotFoundError"}
)  # fmt: skip

_EXITS = {"exit", "_exit", "quit", "abort", "SystemExit"}
# Names of functions that are made to end a run; what they do is not followed.
_ENDING_WORDS = (
    "exit",
    "abort",
    "fail",
    "fatal",
    "die",
    "kill",
    "terminate",
    "raise",
    "crash",
    "bail",
    "stop_job",
    "panic",
)
_REPORTING_OWNERS = (
    "log",
    "logger",
    "logging",
    "console",
    "run",
    "wandb",
    "trackio",
    "tracker",
    "mlflow",
    "accelerator",
)
_MAX_CALLS_DEEP = 4


# How the functions of a script end is asked again and again, and does not change.
_ENDINGS_OF_FUNCTIONS: WeakKeyDictionary[ScriptFacts, dict[ast.AST, frozenset[Ending]]] = WeakKeyDictionary()


# -- what is caught ------------------------------------------------------------


def catches(script: ScriptFacts, handler: Handler) -> frozenset[str] | None:
    """The last names of the exceptions that a handler catches; None where that cannot be told."""
    kind = handler.node.type
    if kind is None:
        return frozenset({"BaseException"})
    return exception_names(script.resolver.evaluate(kind, handler.block))


def exception_names(value: Value) -> frozenset[str] | None:
    """The last names of an exception class or a tuple of them; None where that cannot be told."""
    names: set[str] = set()
    for option in options(value):
        if isinstance(option, Symbol | Member):
            names.add(option.name)
        elif isinstance(option, Class):
            names.add(option.node.name)
        elif isinstance(option, Items) and option.complete:
            for item in option.items:
                inner = exception_names(item)
                if inner is None:
                    return None
                names |= inner
        else:
            return None
    return frozenset(names)


def catches_failures(script: ScriptFacts, handler: Handler) -> bool:
    """Whether a handler certainly catches errors by which a run fails, not only a narrow kind."""
    names = catches(script, handler)
    return names is not None and bool(names & BROAD_EXCEPTIONS)


# -- calls ---------------------------------------------------------------------


def calls_in(script: ScriptFacts, nodes: Iterable[ast.AST]) -> Iterator[Call]:
    """The live calls that stand in `nodes`, in the order of the text."""
    calls = script.calls
    for node in nodes:
        start, end = position(node), _end(node)
        for index in range(bisect_left(calls, start, key=_position), len(calls)):
            if _position(calls[index]) >= end:
                break
            if calls[index].live:
                yield calls[index]


def reached_calls(script: ScriptFacts, nodes: Iterable[ast.AST], depth: int = _MAX_CALLS_DEEP) -> Iterator[Call]:
    """The live calls in `nodes` and in the functions of the script that they call."""
    pending: list[tuple[Iterable[ast.AST], int]] = [(nodes, 0)]
    seen: set[ast.AST] = set()
    while pending:
        current, level = pending.pop()
        for call in calls_in(script, current):
            yield call
            for function in local_functions(call):
                if function.node not in seen and level < depth:
                    seen.add(function.node)
                    pending.append((_body(function), level + 1))


def local_functions(call: Call) -> list[Function]:
    """The functions of the script that a call may call."""
    return [option for option in options(call.callee) if isinstance(option, Function)]


def _body(function: Function) -> list[ast.AST]:
    body = function.node.body
    return list(body) if isinstance(body, list) else [body]


def _position(call: Call) -> tuple[int, int]:
    return position(call.node)


def _end(node: ast.AST) -> tuple[int, int]:
    return (getattr(node, "end_lineno", None) or 0, getattr(node, "end_col_offset", None) or 0)


# -- how statements end ----------------------------------------------------------


def goes_on(script: ScriptFacts, handler: Handler) -> bool:
    """Whether the script can go on after a handler, rather than fail."""
    return bool(endings(script, handler.node.body, handler.block) - {"fails"})


def never_fails(script: ScriptFacts, statements: Sequence[ast.stmt], block: Block) -> bool:
    """Whether none of the ways through `statements` raises or exits with a failure."""
    return "fails" not in endings(script, statements, block)


def endings(
    script: ScriptFacts, statements: Sequence[ast.stmt], block: Block, seen: frozenset[ast.AST] = frozenset()
) -> frozenset[Ending]:
    """All ways in which a list of statements can end, as far as reading can tell."""
    found: set[Ending] = set()
    for statement in statements:
        ways = _statement_endings(script, statement, block, seen)
        found |= ways - {"falls"}
        if "falls" not in ways:
            return frozenset(found)
    return frozenset(found | {"falls"})


def _statement_endings(
    script: ScriptFacts, node: ast.stmt, block: Block, seen: frozenset[ast.AST]
) -> frozenset[Ending]:
    if isinstance(node, ast.Raise):
        ending: Ending = "ends" if node.exc is not None and _is_clean_exit(script, node.exc, block) else "fails"
        return frozenset({ending})
    if isinstance(node, ast.Return):
        return _any_of([frozenset({"returns"}), _call_endings(script, node, seen) - {"falls"}])
    if isinstance(node, ast.Continue | ast.Break):
        return frozenset({"loops"})
    if isinstance(node, ast.Assert):
        return frozenset({"falls", "fails"})
    if isinstance(node, ast.If):
        verdict = truth(script.resolver.evaluate(node.test, block))
        taken = [node.body] if verdict else [node.orelse] if verdict is False else [node.body, node.orelse]
        return _any_of(endings(script, part, block, seen) for part in taken)
    if isinstance(node, ast.With | ast.AsyncWith):
        return endings(script, node.body, block, seen)
    if isinstance(node, ast.For | ast.AsyncFor | ast.While):
        return endings(script, [*node.body, *node.orelse], block, seen) - {"loops"} | {"falls"}
    if isinstance(node, ast.Try | ast.TryStar):
        parts: list[list[ast.stmt]] = [[*node.body, *node.orelse], *(handler.body for handler in node.handlers)]
        ways = _any_of(endings(script, part, block, seen) for part in parts)
        last = endings(script, node.finalbody, block, seen)
        return ways | last if "falls" in last else last
    if isinstance(node, ast.Match):
        return _any_of(endings(script, case.body, block, seen) for case in node.cases) | {"falls"}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({"falls"})
    return _call_endings(script, node, seen)


def _any_of(ways: Iterable[frozenset[Ending]]) -> frozenset[Ending]:
    found: set[Ending] = set()
    found.update(*ways)
    return frozenset(found)


def _call_endings(script: ScriptFacts, node: ast.AST, seen: frozenset[ast.AST]) -> frozenset[Ending]:
    """How a simple statement can end by the calls in it: an exit, or a function that may raise on purpose."""
    ways: set[Ending] = {"falls"}
    for call in calls_in(script, [node]):
        name = call.written_name
        owner = call.receiver_text.lower().rpartition(".")[2]
        if name in _EXITS and owner in ("", "sys", "os"):
            code = call.argument("code" if name == "SystemExit" else "status", 0)
            return frozenset({"ends"}) if name != "abort" and _is_success(code) else frozenset({"fails"})
        functions = local_functions(call)
        for function in functions:
            if function.node not in seen and len(seen) < _MAX_CALLS_DEEP and isinstance(function.node.body, list):
                inner = _function_endings(script, function, seen | {function.node})
                ways |= inner & {"fails", "ends"}
                if not inner - {"fails"}:
                    return frozenset({"fails"})
        if not functions and _may_end_run(name, owner, call):
            ways.add("fails")
    return frozenset(ways)


def _function_endings(script: ScriptFacts, function: Function, seen: frozenset[ast.AST]) -> frozenset[Ending]:
    known = _ENDINGS_OF_FUNCTIONS.setdefault(script, {})
    if function.node not in known:
        body, block = function.node.body, function.scope.block
        known[function.node] = frozenset({"falls"})  # asked again while being read: it calls itself
        if isinstance(body, list) and block is not None:
            known[function.node] = endings(script, body, block, seen)
    return known[function.node]


def _may_end_run(name: str, owner: str, call: Call) -> bool:
    if owner.startswith(_REPORTING_OWNERS) or owner.endswith(("logger", "_log", "log")):
        return False
    if name == "error" and "parser" in owner:  # ArgumentParser.error exits with 2
        return True
    if any(word in name.lower() for word in _ENDING_WORDS):
        return True
    # A function of another file of the project: what it does cannot be told.
    return call.path is not None and call.path.startswith(".")


def _is_clean_exit(script: ScriptFacts, node: ast.expr, block: Block) -> bool:
    """Whether what is raised ends the process with 0: `SystemExit`, `SystemExit(0)`, `typer.Exit()`."""
    if isinstance(node, ast.Call):
        call = next((c for c in calls_in(script, [node]) if c.node is node), None)
        if call is None or call.name not in ("SystemExit", "Exit"):
            return False
        return _is_success(call.argument("code", 0))
    value = script.resolver.evaluate(node, block)
    return isinstance(value, Symbol) and value.name in ("SystemExit", "Exit")


def _is_success(code: Value) -> bool:
    """Whether an exit code certainly means success; not given, None, 0 and False do."""
    return truth(code) is False and all(
        not isinstance(o, Constant) or is_none(o) or o.value in (0, False) for o in options(code)
    )


# -- what follows from a handler -----------------------------------------------------


def consequences(handler: Handler) -> list[ast.stmt]:
    """The statements that run because of a failure: the handler's own, and those under a flag that it sets."""
    flags: dict[str, object] = {
        target.id: statement.value.value
        for statement in handler.node.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    found: list[ast.stmt] = list(handler.node.body)
    body = getattr(handler.block.scope.node, "body", None)
    if not flags or not isinstance(body, list):
        return found
    end = _end(handler.statement)
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            continue
        if isinstance(node, ast.If) and position(node) >= end:
            verdict = _flag_test(node.test, flags)
            if verdict is not None:
                found.extend(node.body if verdict else node.orelse)
                continue
        pending.extend(ast.iter_child_nodes(node))
    return found


def _flag_test(test: ast.expr, flags: dict[str, object]) -> bool | None:
    """The outcome of a test of one flag, such as `failed`, `not ok` or `data is None`; None for other tests."""
    if isinstance(test, ast.Name) and test.id in flags:
        return bool(flags[test.id])
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        verdict = _flag_test(test.operand, flags)
        return None if verdict is None else not verdict
    if (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and isinstance(test.left, ast.Name)
        and test.left.id in flags
    ):
        right = test.comparators[0]
        if isinstance(right, ast.Constant):
            same = flags[test.left.id] == right.value
            if isinstance(test.ops[0], ast.Is | ast.Eq):
                return same
            if isinstance(test.ops[0], ast.IsNot | ast.NotEq):
                return not same
    return None
