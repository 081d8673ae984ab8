"""What is done with the result of a function of the same file that returns nothing (PY005).

ty says nothing of a function without annotations, and believes the annotation of one that forgets its `return`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainguard.facts.diagnostics import Diagnostic
from trainguard.facts.diagnostics_functions import returns_nothing, same_file_function
from trainguard.facts.diagnostics_literals import only_value
from trainguard.facts.diagnostics_tree import FUNCTIONS, Function, Tree, dotted

_ASKING = (ast.IfExp, ast.BoolOp, ast.Compare, ast.NamedExpr, ast.Match)
_ASKING_CALLS = {"isinstance", "hasattr", "callable", "bool", "type"}


def misused_results(tree: Tree) -> list[Diagnostic]:
    """The first use as an object of each result that can only be None."""
    if tree.has_star_import or tree.makes_names_at_run_time:
        return []
    return list(_in_tree(tree))


def _in_tree(tree: Tree) -> Iterator[Diagnostic]:
    for function in tree.nodes:
        if not isinstance(function, FUNCTIONS):
            continue
        calls = [(call, name) for call, name in _calls(function.name, tree) if _is_used(call, tree)]
        if not calls or not returns_nothing(function):
            continue
        for call, mention in calls:
            if same_file_function(mention, tree) is function:
                yield from _misuses(call, function, tree)


def _calls(name: str, tree: Tree) -> Iterator[tuple[ast.Call, ast.Name]]:
    for mention in tree.names.get(name, ()):
        call = tree.parents.get(mention)
        if isinstance(call, ast.Call) and call.func is mention:
            yield call, mention


def _is_used(call: ast.Call, tree: Tree) -> bool:
    return not isinstance(tree.parents.get(call), ast.Expr)


def _misuses(call: ast.Call, function: Function, tree: Tree) -> Iterator[Diagnostic]:
    if (misuse := _misuse(call, tree)) is not None:
        yield _diagnostic(call, misuse, function, tree, None)
        return
    statement = tree.parents.get(call)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    if len(targets) != 1 or not isinstance(target := targets[0], ast.Name):
        return
    mentions = [n for n in tree.names[target.id] if isinstance(n.ctx, ast.Load) and only_value(n, tree) is call]
    if any(_is_asked(mention, tree) for mention in mentions):
        return
    for mention in sorted(mentions, key=lambda n: (n.lineno, n.col_offset)):
        if (misuse := _misuse(mention, tree)) is not None:
            yield _diagnostic(mention, misuse, function, tree, target.id)
            return


def _misuse(node: ast.expr, tree: Tree) -> tuple[str, str] | None:
    """What is done to `node` that None does not allow, and the error; None where it is allowed, or caught."""
    parent = tree.parents.get(node)
    misuse: tuple[str, str] | None = None
    if isinstance(parent, ast.Subscript) and parent.value is node:
        misuse = "has no items", "TypeError"
    elif isinstance(parent, ast.Call) and parent.func is node:
        misuse = "cannot be called", "TypeError"
    elif isinstance(parent, ast.For | ast.comprehension) and parent.iter is node:
        misuse = "cannot be iterated over", "TypeError"
    elif isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple | ast.List):
        misuse = "cannot be unpacked", "TypeError"
    elif isinstance(parent, ast.Attribute) and not hasattr(None, parent.attr):
        misuse = f"has no attribute `{parent.attr}`", "AttributeError"
    return misuse if misuse is not None and not tree.handled(node, frozenset({misuse[1]})) else None


def _is_asked(mention: ast.Name, tree: Tree) -> bool:
    """Whether the mention is part of a condition: the script then may know that there is nothing."""
    below: ast.AST = mention
    for parent in tree.ancestors(mention):
        if isinstance(parent, _ASKING) or (isinstance(parent, ast.comprehension) and below in parent.ifs):
            return True
        if isinstance(parent, ast.Call) and dotted(parent.func) in _ASKING_CALLS:
            return True
        if isinstance(parent, ast.If | ast.While | ast.Assert) and below is parent.test:
            return True
        if isinstance(parent, ast.stmt):
            return False
        below = parent
    return False


def _diagnostic(
    node: ast.expr, misuse: tuple[str, str], function: Function, tree: Tree, name: str | None
) -> Diagnostic:
    what, error = misuse
    shown = f"`{name}`, the result of `{function.name}`," if name is not None else f"The result of `{function.name}`"
    return Diagnostic(
        kind="type-mismatch",
        message=f"{shown} is None and {what}: `{function.name}` (defined at line {function.lineno}) returns "
        f"nothing; add the missing `return` to it: {error} when line {node.lineno} runs",
        line=node.lineno,
        column=tree.column(node),
        end_line=node.end_lineno,
        end_column=tree.end_column(node),
        subject=name or function.name,
    )
