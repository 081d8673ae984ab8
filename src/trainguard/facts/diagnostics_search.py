"""Loops that look for something in a list written out in the text, and may not find it."""

from __future__ import annotations

import ast

from trainguard.facts.diagnostics_tree import Tree, names_in

# The split that a data set has if it has any: the one that `load_dataset` makes of files that name none
# (https://huggingface.co/docs/datasets/loading).
_USUAL_SPLIT = "train"


def search_of(loop: ast.For) -> ast.If | None:
    """The one `if` of a search: a loop without `else` that it alone leaves, by `break`."""
    if loop.orelse or not isinstance(loop.iter, ast.Tuple | ast.List):
        return None  # what is computed may have been made to hold what is looked for
    found = [s for s in loop.body if isinstance(s, ast.If) and isinstance(s.body[-1], ast.Break)]
    ends = [n for n in ast.walk(loop) if isinstance(n, ast.Break | ast.Return | ast.Raise)]
    return found[0] if len(found) == 1 and len(ends) == 1 else None


def may_be_sure(loop: ast.For, search: ast.If, tree: Tree) -> bool:
    """Whether one of the items may be there for certain, as the last resort that is always found."""
    if not names_in(search.test) - names_in(loop.target):
        return True  # the literals themselves decide
    if any(isinstance(n, ast.BoolOp) and isinstance(n.op, ast.Or) for n in ast.walk(search.test)):
        return True
    items = {n.value for n in ast.walk(loop.iter) if isinstance(n, ast.Constant)}
    keys = (n.slice for n in tree.nodes if isinstance(n, ast.Subscript))
    return _USUAL_SPLIT in items or any(isinstance(key, ast.Constant) and key.value in items for key in keys)
