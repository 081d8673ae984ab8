"""Names that are assigned on some paths only and read on all of them (PY004).

Deliberately narrow. A finding needs an `if`, `try` or searching loop that has a path which surely goes on without
the assignment, and below it, in the same block, a read that no condition guards; and nothing around them that may tie
the two together.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from trainguard.facts.diagnostics import Diagnostic
from trainguard.facts.diagnostics_conditions import (
    asks_for_devices,
    enumerates_all,
    is_always_true,
    is_unjudged,
    related_names,
)
from trainguard.facts.diagnostics_search import search_of
from trainguard.facts.diagnostics_tree import FUNCTIONS, TRIES, Scope, Tree, dotted, leaves, names_in
from trainguard.facts.diagnostics_unconditional import unconditional

# After these a block surely goes on; of other calls at its end we cannot tell (`usage()`, `parser.error()`).
_RETURNING_CALLS = {"print", "traceback.print_exc", "warnings.warn", "time.sleep", "sleep", "gc.collect"}
_LOGGERS = {"logger", "logging", "log", "LOGGER", "LOG", "_logger"}
_RETURNING_METHODS = {"append", "write", "add", "update", "flush"}
Branching: TypeAlias = ast.If | ast.Match | ast.For | ast.Try | ast.TryStar

_NAME_ERRORS = frozenset({"NameError", "UnboundLocalError"})


def possibly_unbound(tree: Tree) -> list[Diagnostic]:
    """The reads that some path reaches without an assignment."""
    return list(_in_module(tree))


def _in_module(tree: Tree) -> Iterator[Diagnostic]:
    for scope in tree.nodes:
        if isinstance(scope, ast.Module):
            if not tree.has_star_import and not tree.makes_names_at_run_time:
                yield from _in_scope(scope, tree)
        elif isinstance(scope, FUNCTIONS):
            yield from _in_scope(scope, tree)


def _in_scope(scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef, tree: Tree) -> Iterator[Diagnostic]:
    for block in _blocks(scope.body):
        for index, statement in enumerate(block):
            if not isinstance(statement, (ast.If, ast.Match, ast.For, *TRIES)) or index + 1 == len(block):
                continue
            # Cheapest questions first: most statements bind nothing that stands nowhere else.
            names = {n for n in _surely_bound_in(statement) if _is_candidate(n, statement, scope, tree)}
            if names and not isinstance(statement, ast.For):
                names &= (
                    _names_of_try(statement) if isinstance(statement, TRIES) else _names_of_branches(statement, tree)
                )
            reads = [_first_read(name, statement, block[index + 1 :], scope, tree) for name in sorted(names)]
            found = [diagnostic for diagnostic in reads if diagnostic is not None]
            if found and not is_unjudged(statement, scope, tree):
                yield from found


def _surely_bound_in(statement: Branching) -> set[str]:
    if isinstance(statement, ast.If | ast.Match):
        branches, last = _branches(statement)
        return set().union(*map(_surely_bound, (*branches, last)))
    if isinstance(statement, ast.For):
        return _names_of_search(statement)
    return _surely_bound(statement.body) | _surely_bound(statement.orelse)


def _blocks(body: list[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """Every list of statements of a scope, without those of inner functions and classes."""
    yield body
    for statement in body:
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            continue
        for inner in _inner_blocks(statement):
            yield from _blocks(inner)


def _inner_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        inner = getattr(statement, field, None)
        if isinstance(inner, list) and inner:
            yield inner
    for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield part.body


# -- what a statement binds on some paths only -----------------------------------


def _names_of_branches(statement: ast.If | ast.Match, tree: Tree) -> set[str]:
    """Names bound in a branch, where another branch surely goes on without them."""
    if isinstance(statement, ast.If) and is_always_true(statement.test, tree):
        return set()
    branches, last = _branches(statement)
    open_branches: list[Sequence[ast.stmt]] = [b for b in branches if _goes_on(b)]
    if last:
        open_branches += [last] if _goes_on(last) else []
    elif _may_hold_none(statement, len(branches), tree):
        open_branches.append([])
    if enumerates_all(statement, tree) is True:
        open_branches = [b for b in open_branches if any(b is branch for branch in branches)]
    bound = set().union(*(_surely_bound(branch) for branch in (*branches, last)))
    return {name for name in bound if any(name not in _maybe_bound(branch) for branch in open_branches)}


def _may_hold_none(statement: ast.If | ast.Match, count: int, tree: Tree) -> bool:
    """Whether it may be that none of the conditions of a statement without `else` holds."""
    if isinstance(statement, ast.If) and (count == 1 or asks_for_devices(statement)):
        return True
    return enumerates_all(statement, tree) is False


def _branches(statement: ast.If | ast.Match) -> tuple[list[list[ast.stmt]], list[ast.stmt]]:
    """The blocks of an `if`/`elif` chain or a `match`, and the block of its `else` or `case _`."""
    if isinstance(statement, ast.Match):
        *cases, last_case = statement.cases
        if last_case.guard is None and isinstance(last_case.pattern, ast.MatchAs) and last_case.pattern.pattern is None:
            return [case.body for case in cases], last_case.body
        return [case.body for case in statement.cases], []
    branches = [statement.body]
    last = statement.orelse
    while len(last) == 1 and isinstance(last[0], ast.If):
        branches.append(last[0].body)
        last = last[0].orelse
    return branches, last


def _names_of_try(statement: ast.Try | ast.TryStar) -> set[str]:
    """Names bound in the body, where a handler surely goes on without them."""
    handlers = [handler.body for handler in statement.handlers if _goes_on(handler.body)]
    bound: set[str] = set()
    may_fail = False
    for inner in statement.body:
        may_fail = may_fail or any(isinstance(n, ast.Call | ast.Subscript | ast.Attribute) for n in ast.walk(inner))
        # An import that fails is a missing package, which the rules about dependencies judge.
        if may_fail and not isinstance(inner, ast.Import | ast.ImportFrom):
            bound |= _surely_bound([inner])
    bound |= _surely_bound(statement.orelse)
    bound -= _maybe_bound(statement.finalbody)
    return {name for name in bound if any(name not in _maybe_bound(block) for block in handlers)}


def _names_of_search(loop: ast.For) -> set[str]:
    """Names bound where a loop has found something, and nowhere else in it."""
    if (search := search_of(loop)) is None:
        return set()
    elsewhere = _stored(loop.target, search.test) | _maybe_bound([s for s in loop.body if s is not search])
    return _surely_bound(search.body) - elsewhere - _maybe_bound(search.orelse)


def _goes_on(block: Sequence[ast.stmt]) -> bool:
    """Whether control surely can come out at the end of `block`."""
    for statement in block:
        if any(isinstance(n, ast.Return | ast.Raise | ast.Continue | ast.Break) for n in ast.walk(statement)):
            return False
        if leaves(statement):
            return False
    if not block:
        return True
    last = block[-1]
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        name = dotted(last.value.func) or ""
        base, _, method = name.rpartition(".")
        return name in _RETURNING_CALLS or method in _RETURNING_METHODS or base.rpartition(".")[2] in _LOGGERS
    return isinstance(last, ast.Pass | ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr)


def _surely_bound(block: Sequence[ast.stmt]) -> set[str]:
    """Names that plain statements of the block assign or import."""
    found: set[str] = set()
    for statement in block:
        if isinstance(statement, ast.Assign):
            found |= _stored(*statement.targets)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            found |= {n.id for n in [statement.target] if isinstance(n, ast.Name)}
        elif isinstance(statement, ast.With | ast.AsyncWith):
            found |= _surely_bound(statement.body)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(statement.name)
    return found


def _maybe_bound(block: Sequence[ast.stmt]) -> set[str]:
    found = _stored(*block)
    for statement in block:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                found.add(node.name)
    return found


def _stored(*roots: ast.AST) -> set[str]:
    nodes = (node for root in roots for node in ast.walk(root))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


# -- the read ----------------------------------------------------------------------


def _is_candidate(name: str, statement: ast.stmt, scope: Scope, tree: Tree) -> bool:
    """Whether the name can have no value from elsewhere: earlier in the scope, an outer loop, a call, a builtin."""
    if name in tree.rebound_elsewhere or hasattr(builtins, name) or name == "_":
        return False
    end = statement.end_lineno or statement.lineno
    scope_end = getattr(scope, "end_lineno", None) or float("inf")
    if not any(end < mention.lineno <= scope_end for mention in tree.names.get(name, ())):
        return False
    loops = [p for p in tree.ancestors(statement) if isinstance(p, ast.For | ast.AsyncFor | ast.While)]
    outermost = next((loop for loop in reversed(loops) if tree.scope(loop) is scope), None)
    if outermost is not None and isinstance(statement, ast.If | ast.Match | ast.For):
        return False  # the first round may be the one that assigns
    for binding in tree.bindings(scope)[name]:
        inside = statement.lineno <= binding.line <= end
        if not inside and binding.line < statement.lineno:
            return False
        if not inside and outermost is not None and binding.line <= (outermost.end_lineno or 0):
            return False
    return True


def _first_read(
    name: str, statement: Branching, rest: Sequence[ast.stmt], scope: Scope, tree: Tree
) -> Diagnostic | None:
    related = related_names(statement) | {name}
    for following in rest:
        read, rebinds = _read_in(name, following)
        if read is not None:
            return None if tree.handled(read, _NAME_ERRORS) else _diagnostic(read, statement, scope, tree)
        if rebinds or leaves(following) or _may_decide(following, related):
            return None
    return None


def _read_in(name: str, statement: ast.stmt) -> tuple[ast.Name | None, bool]:
    """The first unguarded read of `name` in the statement, and whether the statement mentions it otherwise."""
    for node in unconditional(statement, loops=True):
        if isinstance(node, ast.Name) and node.id == name:
            return (node, False) if isinstance(node.ctx, ast.Load) else (None, True)
    return None, name in _maybe_bound([statement]) or _deletes(name, statement)


def _deletes(name: str, statement: ast.stmt) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Del) for n in ast.walk(statement))


def _may_decide(statement: ast.stmt, related: set[str]) -> bool:
    """Whether the statement may leave where the name has no value: a guard on what decided about it."""
    if isinstance(statement, ast.Assert):
        return bool(names_in(statement) & related)
    if isinstance(statement, ast.If | ast.While | ast.Match | ast.Try | ast.TryStar | ast.For | ast.With):
        stops = any(
            isinstance(n, ast.Return | ast.Raise | ast.Continue | ast.Break)
            or (isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) and leaves(n))
            for n in ast.walk(statement)
        )
        return stops and bool(names_in(statement) & related)
    return False


def _diagnostic(read: ast.Name, statement: Branching, scope: Scope, tree: Tree) -> Diagnostic:
    error = "NameError" if isinstance(scope, ast.Module) else "UnboundLocalError"
    if isinstance(statement, ast.If | ast.Match):
        keyword = "if" if isinstance(statement, ast.If) else "match"
        where = f"only on some branches of the `{keyword}` at line {statement.lineno}"
        remedy = f"give it a value before line {statement.lineno} or in every branch"
    elif isinstance(statement, ast.For):
        where = f"only if the loop at line {statement.lineno} finds what it looks for"
        remedy = f"give it a value before line {statement.lineno}, or an `else:` to the loop that does or raises"
    else:
        handler = next(h for h in statement.handlers if _goes_on(h.body))
        where = f"in the `try` at line {statement.lineno}, and the handler at line {handler.lineno} goes on without it"
        remedy = "give it a value in the handler, or leave there"
    return Diagnostic(
        kind="possibly-unbound",
        message=f"`{read.id}` is read at line {read.lineno} on every path but assigned {where}: {error} on the others; "
        f"{remedy}",
        line=read.lineno,
        column=tree.column(read),
        end_line=read.end_lineno,
        end_column=tree.end_column(read),
        subject=read.id,
    )
