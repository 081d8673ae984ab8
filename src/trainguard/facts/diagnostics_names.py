"""Names that ty cannot resolve: undefined (PY002), read before their assignment (PY003), or legal after all."""

from __future__ import annotations

import ast
import builtins
import re

from trainguard.facts.diagnostics import Diagnostic
from trainguard.facts.diagnostics_engine import EngineMessage
from trainguard.facts.diagnostics_tree import FUNCTIONS, Binding, Scope, Tree

_UNRESOLVED = re.compile(r"Name `(?P<name>\w+)` used when not defined")

# A script with more undefined names than this has another trouble than their spelling.
_MAX_SUGGESTIONS = 50
# Put there by IPython, Databricks, line_profiler, gettext and `site`, not by the script.
_FROM_OUTSIDE = {"get_ipython", "display", "In", "Out", "dbutils", "spark", "sc", "profile", "_", "WindowsError"}
# An author who silences Pyflakes here (F821, F823) knows of the name.
_NOQA = re.compile(r"#\s*noqa(?!:)|#\s*noqa:.*\bF82[13]\b", re.IGNORECASE)
_NAME_ERRORS = frozenset({"NameError", "UnboundLocalError"})
_VERSION_TEST = re.compile(r"PY2|PY3|version|python_2|platform")


def name_diagnostic(message: EngineMessage, tree: Tree, python_version: tuple[int, int]) -> Diagnostic | None:
    """The diagnostic that an `unresolved-reference` of ty deserves, None where the name may be there at run time."""
    matched = _UNRESOLVED.match(message.text)
    place = (message.line, message.column, message.end_line, message.end_column)
    use = next((n for n in tree.at(*place) if isinstance(n, ast.Name)), None)
    if matched is None or use is None or _may_exist(use, tree, python_version):
        return None
    scope = tree.scope(use)
    if bindings := tree.bindings(scope).get(use.id, []):
        return _before_assignment(use, scope, bindings, place, tree)
    if tree.has_star_import or tree.makes_names_at_run_time or _bound_around(use.id, scope, tree):
        return None
    return Diagnostic(
        kind="undefined-name",
        message=f"`{use.id}` is not defined anywhere in this script: NameError when line {use.lineno} runs; "
        f"{_remedy(use.id, tree)}",
        line=place[0],
        column=place[1],
        end_line=place[2],
        end_column=place[3],
        subject=use.id,
        fix=_similar(use.id, tree),
    )


def _may_exist(use: ast.Name, tree: Tree, python_version: tuple[int, int]) -> bool:
    name = use.id
    if _NOQA.search(tree.line(use.lineno)):
        return True
    if name in _FROM_OUTSIDE or (name.startswith("__") and name.endswith("__")):
        return True
    if not isinstance(use.ctx, ast.Load) and not isinstance(tree.parents.get(use), ast.AugAssign):
        return True
    if tree.handled(use, _NAME_ERRORS, broad=_is_probe(use, tree)):
        return True
    below: ast.AST = use
    for parent in tree.ancestors(use):
        test = parent.test if isinstance(parent, ast.If | ast.IfExp) else None
        if test is not None and below is not test and _VERSION_TEST.search(ast.unparse(test)):
            return True
        if _is_unevaluated_annotation(parent, below, tree, python_version):
            return True
        below = parent
    return False


def _is_probe(use: ast.Name, tree: Tree) -> bool:
    """Whether a `try` of one or two statements asks if the name exists."""
    parent = next((p for p in tree.ancestors(use) if isinstance(p, ast.Try | ast.TryStar)), None)
    return parent is not None and len(parent.body) <= 2


def _is_unevaluated_annotation(parent: ast.AST, below: ast.AST, tree: Tree, python_version: tuple[int, int]) -> bool:
    """Annotations under PEP 563 or PEP 649 (3.14), and those of local variables, raise nothing."""
    if isinstance(parent, ast.AnnAssign):
        annotated = below is parent.annotation
        local = isinstance(tree.scope(parent), FUNCTIONS)
    elif isinstance(parent, ast.arg | ast.FunctionDef | ast.AsyncFunctionDef):
        annotated = below is (parent.annotation if isinstance(parent, ast.arg) else parent.returns)
        local = False
    else:
        return False
    postponed = python_version >= (3, 14) or any(
        isinstance(statement, ast.ImportFrom)
        and statement.module == "__future__"
        and any(alias.name == "annotations" for alias in statement.names)
        for statement in tree.module.body
    )
    return annotated and (local or postponed)


def _bound_around(name: str, scope: Scope, tree: Tree) -> bool:
    """Whether an outer scope binds the name: by the time that this code runs it may be there."""
    if name in tree.rebound_elsewhere:
        return True
    outer: ast.AST = scope
    while not isinstance(outer, ast.Module):
        outer = tree.scope(outer)
        if not isinstance(outer, ast.ClassDef) and name in tree.bindings(outer):
            return True
    return False


def _before_assignment(
    use: ast.Name, scope: Scope, bindings: list[Binding], place: tuple[int, int, int, int], tree: Tree
) -> Diagnostic | None:
    if use.id in tree.rebound_elsewhere or isinstance(scope, ast.Lambda):
        return None
    if isinstance(scope, ast.Module | ast.ClassDef):
        if tree.has_star_import or tree.makes_names_at_run_time or hasattr(builtins, use.id):
            return None
        if isinstance(scope, ast.ClassDef) and _bound_around(use.id, scope, tree):
            return None
    here = (use.lineno, use.col_offset)
    above = [binding for binding in bindings if (binding.line, binding.column) < here]
    earlier = [binding for binding in above if not _same(binding, use, tree)]
    later = next((b for b in bindings if b not in earlier and not b.deletes), None)
    error = "UnboundLocalError" if isinstance(scope, FUNCTIONS) else "NameError"
    if earlier and earlier[-1].deletes:
        reason = _deletion(use, earlier[-1], error)
    elif earlier or later is None:
        return None  # the assignment above is unreachable in ty's eyes only
    elif later.line == use.lineno:
        reason = (
            f"`{use.id}` is read at line {use.lineno} by the statement that first assigns it: {error} at run time; "
            f"give it a first value above line {use.lineno}" + _global_hint(use.id, scope, tree)
        )
    else:
        of_what = "of the same function" if isinstance(scope, FUNCTIONS) else "of the script"
        reason = (
            f"`{use.id}` is read at line {use.lineno} but only assigned at line {later.line} {of_what}: {error} at run "
            f"time; move the assignment above line {use.lineno}" + _global_hint(use.id, scope, tree)
        )
    return Diagnostic(
        kind="used-before-assignment",
        message=reason,
        line=place[0],
        column=place[1],
        end_line=place[2],
        end_column=place[3],
        subject=use.id,
    )


def _same(binding: Binding, use: ast.Name, tree: Tree) -> bool:
    """`x = x + 1` and `x += 1` stand left of the read in the text, and happen after it."""
    statement = next((p for p in tree.ancestors(use) if isinstance(p, ast.stmt)), None)
    if not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        return False
    return any(node is binding.node for node in ast.walk(statement))


def _deletion(use: ast.Name, binding: Binding, error: str) -> str:
    if isinstance(binding.node, ast.ExceptHandler):
        return (
            f"`{use.id}` is read at line {use.lineno} after its `except … as {use.id}` block (line "
            f"{binding.node.lineno}), where Python deletes it: {error} at run time; use it inside the block or keep a "
            "copy"
        )
    return (
        f"`{use.id}` is read at line {use.lineno} after `del {use.id}` at line {binding.line}: {error} at run time; "
        "delete it after its last use"
    )


def _global_hint(name: str, scope: Scope, tree: Tree) -> str:
    if not isinstance(scope, FUNCTIONS) or name not in tree.bindings(tree.module):
        return ""
    return f", or declare `global {name}` if the variable of the module is meant"


def _known_names(tree: Tree) -> set[str]:
    names = {name for name, nodes in tree.names.items() if any(not isinstance(n.ctx, ast.Load) for n in nodes)}
    return names | set(tree.bindings(tree.module)) | {n for n in dir(builtins) if not n.startswith("_")}


def _similar(name: str, tree: Tree) -> str | None:
    if name not in tree.suggestions:
        tree.suggestions[name] = _closest(name, tree) if len(tree.suggestions) < _MAX_SUGGESTIONS else None
    return tree.suggestions[name]


def _closest(name: str, tree: Tree) -> str | None:
    import difflib

    known = sorted(_known_names(tree) - {name})
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.8)), None)


# Names by which these modules are imported throughout their own documentation.
_CUSTOMARY_IMPORTS = {
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "plt": "import matplotlib.pyplot as plt",
    "F": "import torch.nn.functional as F",
    "nn": "from torch import nn",
    "tqdm": "from tqdm import tqdm",
    "Path": "from pathlib import Path",
    "partial": "from functools import partial",
    "defaultdict": "from collections import defaultdict",
    "dataclass": "from dataclasses import dataclass",
    **{
        name: f"import {name}"
        for name in ("os", "sys", "re", "json", "math", "time", "random", "torch", "wandb", "transformers", "datasets")
    },
}


def _remedy(name: str, tree: Tree) -> str:
    if name in _CUSTOMARY_IMPORTS:
        return f"add `{_CUSTOMARY_IMPORTS[name]}`"
    similar = _similar(name, tree)
    return f"did you mean `{similar}`?" if similar else "define or import it first, or correct the spelling"
