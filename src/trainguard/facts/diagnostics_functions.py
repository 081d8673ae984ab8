"""Which function of a script a name means, and whether calling it gives anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainguard.facts.diagnostics_tree import FUNCTIONS, Function, Tree, leaves

_SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)


def same_file_function(name: ast.Name, tree: Tree) -> Function | None:
    """The one undecorated function of this file that `name` can only mean."""
    scope = tree.scope(name)
    while not isinstance(scope, ast.Module):
        if not isinstance(scope, ast.ClassDef) and name.id in tree.bindings(scope):
            break
        scope = tree.scope(scope)
    if name.id in tree.rebound_elsewhere or tree.has_star_import:
        return None
    bindings = tree.bindings(scope).get(name.id, [])
    if len(bindings) != 1 or not isinstance(bindings[0].node, FUNCTIONS) or bindings[0].node.decorator_list:
        return None
    return bindings[0].node


def returns_nothing(function: Function) -> bool:
    """Whether a call that comes back surely gives None, by mistake or not: no stub, generator or coroutine."""
    if isinstance(function, ast.AsyncFunctionDef) or _is_stub(function):
        return False
    if any(isinstance(s, ast.Return) and _gives(s) for s in function.body):  # the common case, told fast
        return False
    inside = list(_own_nodes(function))
    if any(isinstance(n, ast.Yield | ast.YieldFrom) or (isinstance(n, ast.Return) and _gives(n)) for n in inside):
        return False
    if any(isinstance(n, ast.Name) and n.id.startswith("NotImplemented") for n in inside):
        return False
    # One that never comes back harms nobody who uses what it returns.
    endless = (s for s in function.body if isinstance(s, ast.While) and isinstance(s.test, ast.Constant))
    return not any(endless) and not any(leaves(s) and not isinstance(s, ast.Return) for s in function.body)


def _gives(statement: ast.Return) -> bool:
    return statement.value is not None and not (
        isinstance(statement.value, ast.Constant) and statement.value.value is None
    )


def _is_stub(function: Function) -> bool:
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in function.body
    )


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _SCOPES):
            stack.extend(ast.iter_child_nodes(node))
