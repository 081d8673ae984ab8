"""Which functions and classes of a script can run at all, by name and cautiously.

A function is taken to run when anything that runs mentions its name, when it is decorated, when it is a
method that a library calls (its class has a base that is not of this file), or when the script reaches
names in ways that cannot be followed (`globals()`, `getattr`, `eval`, `exec`, `fire`).
"""

from __future__ import annotations

import ast

from trainguard.facts.structure import Scope, Structure

_REACHES_EVERYTHING = {"globals", "getattr", "eval", "exec", "locals", "fire", "Fire", "__import__", "import_module"}
# Decorators that only change how a function runs, not who calls it.
_PASSIVE_DECORATORS = {
    "staticmethod",
    "classmethod",
    "property",
    "cached_property",
    "cache",
    "lru_cache",
    "wraps",
    "contextmanager",
    "no_grad",
    "inference_mode",
    "torch",
    "functools",
    "dataclass",
    "dataclasses",
    "contextlib",
    "typing",
    "override",
    "abstractmethod",
    "on_main_process",
}


def live_scopes(structure: Structure) -> frozenset[Scope]:
    """The scopes whose statements may run when the script is run."""
    scopes = list(structure.scopes.values())
    mentioned = set().union(*(scope.loads | scope.attributes for scope in scopes))
    if mentioned & _REACHES_EVERYTHING:
        return frozenset(scopes)
    live = {structure.module}
    names = structure.module.loads | structure.module.attributes
    waiting = [scope for scope in scopes if scope is not structure.module]
    changed = True
    while changed:
        changed = False
        rest = []
        for scope in waiting:
            if scope.parent in live and _runs(scope, names, structure):
                live.add(scope)
                names = names | scope.loads | scope.attributes
                changed = True
            else:
                rest.append(scope)
        waiting = rest
    return frozenset(live)


def _runs(scope: Scope, names: set[str], structure: Structure) -> bool:
    node = scope.node
    if isinstance(node, ast.Lambda) or scope.kind == "comprehension":
        return True
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True  # a class body runs where it stands
    owner = scope.parent.node if scope.parent is not None else None
    if isinstance(owner, ast.ClassDef) and owner.name not in names and _all_passive(owner.decorator_list):
        return False  # nobody makes an instance
    if node.name in names or not _all_passive(node.decorator_list):
        return True
    if scope.parent is not None and isinstance(scope.parent.node, ast.ClassDef):
        if node.name.startswith("__") and node.name.endswith("__"):
            return True
        return _called_by_library(node.name, scope.parent.node, structure)
    return False


def _called_by_library(name: str, owner: ast.ClassDef, structure: Structure) -> bool:
    """A method of a class with a base from elsewhere may be called by that base."""
    local = {scope.node.name for scope in structure.scopes.values() if isinstance(scope.node, ast.ClassDef)}
    return any(not (isinstance(base, ast.Name) and base.id in local | {"object"}) for base in owner.bases) or any(
        isinstance(base, ast.Name) and base.id in local for base in owner.bases
    )


def _all_passive(decorators: list[ast.expr]) -> bool:
    for decorator in decorators:
        node = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        if name not in _PASSIVE_DECORATORS:
            return False
    return True
