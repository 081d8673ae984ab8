"""Which functions and classes of a script can run at all, by name and cautiously.

A function is taken to run when anything that runs mentions its name, when it is decorated, when it is a
method that a library calls (its class has a base that is not of this file), or when the script reaches
names in ways that cannot be followed (`globals()`, `getattr`, `eval`, `exec`, `fire`).
"""

from __future__ import annotations

import ast

from trainguard.facts.structure import Scope, Structure

# As functions of their own; as methods (`model.eval()`) they reach nothing.
_REACHES_EVERYTHING = {"globals", "eval", "exec", "locals", "__import__"}
_REACHES_EVERYTHING_AS_ATTRIBUTE = {"Fire", "import_module"}
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
    loads = set().union(*(scope.loads for scope in scopes))
    attributes = set().union(*(scope.attributes for scope in scopes))
    fetched = _fetched_names(structure) if "getattr" in loads else set()
    reaches = loads & _REACHES_EVERYTHING or (loads | attributes) & _REACHES_EVERYTHING_AS_ATTRIBUTE
    if fetched is None or reaches:
        return frozenset(scopes)
    live = {structure.module}
    names = structure.module.loads | structure.module.attributes | fetched
    waiting = [scope for scope in scopes if scope is not structure.module]
    changed = True
    while changed:
        changed = False
        rest = []
        for scope in waiting:
            if scope.parent in live and _runs(scope, names):
                live.add(scope)
                names = names | scope.loads | scope.attributes
                changed = True
            else:
                rest.append(scope)
        waiting = rest
    return frozenset(live)


def _fetched_names(structure: Structure) -> set[str] | None:
    """The names that `getattr(x, "name")` fetches; None where one cannot be told."""
    names: set[str] = set()
    calls = [call.node for call in structure.calls if isinstance(call.node.func, ast.Name)]
    for call in calls:
        if getattr(call.func, "id", "") != "getattr":
            continue
        key = call.args[1] if len(call.args) > 1 else None
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            return None
        names.add(key.value)
    return names


def _runs(scope: Scope, names: set[str]) -> bool:
    node = scope.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True  # a class body runs where it stands, a lambda may be called from anywhere
    owner = scope.parent.node if scope.parent is not None else None
    if isinstance(owner, ast.ClassDef) and owner.name not in names and _all_passive(owner.decorator_list):
        return False  # nobody makes an instance
    if node.name in names or not _all_passive(node.decorator_list):
        return True
    if not isinstance(owner, ast.ClassDef):
        return False
    special = node.name.startswith("__") and node.name.endswith("__")
    return special or any(not _is_object(base) for base in owner.bases)  # a base may call it


def _is_object(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "object"


def _all_passive(decorators: list[ast.expr]) -> bool:
    for decorator in decorators:
        node = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        if name not in _PASSIVE_DECORATORS:
            return False
    return True
