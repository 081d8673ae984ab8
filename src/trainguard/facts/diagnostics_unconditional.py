"""Which parts of a statement run whenever the statement runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from trainguard.facts.diagnostics_tree import COMPREHENSIONS, FUNCTIONS


def unconditional(node: ast.AST, *, loops: bool) -> Iterator[ast.AST]:
    """`node` and what runs with it in any case, in the order of evaluation where that matters.

    Left out: bodies of functions, lambdas, classes, `if`, `match` and `while`, all but the first operand of `and`
    and `or`, branches of conditional expressions, and comprehensions but for their first iterable. `loops` says
    whether the body of a `for` is taken to run at least once.
    """
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        outside = [*node.decorator_list]
        if not isinstance(node, ast.ClassDef):
            outside += [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        yield from _all(outside, loops)
    elif isinstance(node, ast.Lambda):
        return
    elif isinstance(node, ast.If | ast.IfExp):
        yield from unconditional(node.test, loops=loops)
    elif isinstance(node, ast.While):
        yield from unconditional(node.test, loops=loops)
        if isinstance(node.test, ast.Constant) and node.test.value:
            yield from _all(node.body, loops)
    elif isinstance(node, ast.Match):
        yield from unconditional(node.subject, loops=loops)
    elif isinstance(node, ast.BoolOp):
        yield from unconditional(node.values[0], loops=loops)
    elif isinstance(node, COMPREHENSIONS):
        yield from unconditional(node.generators[0].iter, loops=loops)
    elif isinstance(node, ast.Try | ast.TryStar):
        yield from _all(node.body, loops)
        yield from _all(node.finalbody, loops)
    elif isinstance(node, ast.For | ast.AsyncFor):
        yield from _all([node.iter, node.target, *(node.body if loops else [])], loops)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from _all([*([node.value] if node.value is not None else []), *targets], loops)
    else:
        yield node
        yield from _all(ast.iter_child_nodes(node), loops)


def _all(nodes: Iterable[ast.AST], loops: bool) -> Iterator[ast.AST]:
    for node in nodes:
        yield from unconditional(node, loops=loops)
