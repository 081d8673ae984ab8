"""Whether a script has taken care that something of a library may be missing: guards silence what is said of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal, TypeAlias

from trainguard.facts.api_calls_versions import VersionTests
from trainguard.facts.leaving import leaves, may_swallow
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Binding
from trainguard.facts.values import Symbol

Failure: TypeAlias = Literal["import", "attribute", "call", "value"]

# What a failure raises; each is also caught by `Exception` and by a bare `except`.
_RAISED: Mapping[Failure, frozenset[str]] = {
    "import": frozenset({"ImportError", "ModuleNotFoundError"}),
    "attribute": frozenset({"AttributeError", "ImportError"}),
    "call": frozenset({"TypeError"}),
    "value": frozenset({"ValueError", "KeyError", "TypeError"}),
}
_BROAD = {"Exception", "BaseException"}
# A handler of any error around more statements than this is for the run as a whole; what fails in it has failed.
_MAX_GUARDED = 2
_MAX_CALLERS = 3  # from function to function
_SKIPPING = ("skip", "require", "xfail")


class Guards:
    """The guards of one script. Asked only of what seems to be wrong, so that most scripts never pay for it."""

    def __init__(self, script: ScriptFacts, versions: Mapping[str, str]) -> None:
        self._script = script
        self._resolver = script.resolver
        self._tests = VersionTests(versions, self._path, self._binding)

    def guarded(self, node: ast.AST, failure: Failure, depth: int = 0) -> bool:
        """Whether a failure at `node` would be caught, may never run, or is asked about before."""
        if failure == "attribute" and self._in_annotation(node):
            return True
        child = node
        for parent in self._around(node):
            if self._is_guard(parent, child, failure, depth) or self._left_before(parent, child):
                return True
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and child in parent.body:
                # What stands around the definition counts too: `if NEW: def build(): …`.
                return self._callers_guarded(parent, failure, depth) or self.guarded(parent, failure, depth)
            child = parent
        return False

    def _in_annotation(self, node: ast.AST) -> bool:
        """Whether an expression is an annotation, which may never be evaluated."""
        child = node
        for parent in self._around(node):
            if child is getattr(parent, "annotation", None) or child is getattr(parent, "returns", None):
                return True
            child = parent
        return False

    # -- around --------------------------------------------------------------------

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self._script.syntax.tree) for child in ast.iter_child_nodes(node)}

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        parent = self._parents.get(node)
        while parent is not None:
            yield parent
            parent = self._parents.get(parent)

    def _is_guard(self, parent: ast.AST, child: ast.AST, failure: Failure, depth: int) -> bool:
        if isinstance(parent, ast.Try | ast.TryStar):
            return child in parent.body and any(self._catches(parent, h, failure, depth) for h in parent.handlers)
        if isinstance(parent, ast.ExceptHandler):
            return bool(_caught(parent) & (_BROAD | set().union(*_RAISED.values())))
        if isinstance(parent, ast.With | ast.AsyncWith):
            return child in parent.body and may_swallow(parent)
        if isinstance(parent, ast.If | ast.IfExp | ast.While):
            body = parent.body if isinstance(parent.body, list) else [parent.body]
            return child is not parent.test and self._silences(parent.test, in_body=child in body)
        if isinstance(parent, ast.BoolOp):
            return self._asked_in(parent, child)
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return any(word in ast.unparse(d).lower() for d in parent.decorator_list for word in _SKIPPING)
        if isinstance(parent, ast.comprehension | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            generators = getattr(parent, "generators", [])
            return any(self._tests.asks_abilities(test) for g in generators for test in g.ifs)
        return False

    def _silences(self, test: ast.expr, *, in_body: bool) -> bool:
        if not self._tests.asks_abilities(test):
            return False
        verdict = self._tests.verdict(test)
        return verdict is None or verdict is not in_body

    def _asked_in(self, parent: ast.BoolOp, child: ast.AST) -> bool:
        earlier = parent.values[: parent.values.index(child)] if isinstance(child, ast.expr) else []
        return any(self._silences(test, in_body=isinstance(parent.op, ast.And)) for test in earlier)

    # -- handlers --------------------------------------------------------------------

    def _catches(
        self, statement: ast.Try | ast.TryStar, handler: ast.ExceptHandler, failure: Failure, depth: int
    ) -> bool:
        if any(
            leaves(inner) and not isinstance(inner, ast.Return | ast.Continue | ast.Break) for inner in handler.body
        ):
            return False  # it ends the script all the same
        caught = _caught(handler)
        if caught & _RAISED[failure]:
            return True
        small = len(statement.body) <= _MAX_GUARDED and not depth
        return bool(caught & _BROAD) and (small or _falls_back(statement, handler))

    # -- before ----------------------------------------------------------------------

    def _left_before(self, parent: ast.AST, child: ast.AST) -> bool:
        """Whether a condition in front of a statement may have left its block: `if old: return …`."""
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(parent, name, None)
            if not isinstance(statements, list) or child not in statements:
                continue
            for before in statements[: statements.index(child)]:
                if isinstance(before, ast.Assert) and self._silences(before.test, in_body=True):
                    return True
                if isinstance(before, ast.If) and (
                    (any(map(leaves, before.body)) and self._silences(before.test, in_body=False))
                    or (before.orelse and any(map(leaves, before.orelse)) and self._silences(before.test, in_body=True))
                ):
                    return True
        return False

    # -- callers ---------------------------------------------------------------------

    def _callers_guarded(self, function: ast.FunctionDef | ast.AsyncFunctionDef, failure: Failure, depth: int) -> bool:
        """Whether a function of the script is called only where a guard stands."""
        calls = self._resolver.calls_by_written_name.get(function.name, [])
        if depth >= _MAX_CALLERS or not calls or self._resolver.structure.uses[function.name] > len(calls):
            return False
        return all(self.guarded(call.node, failure, depth + 1) for call in calls)

    # -- names -----------------------------------------------------------------------

    def _binding(self, name: str) -> Binding | None:
        scopes = self._resolver.structure.scopes.values()
        found = list(self._resolver.structure.module.bindings.get(name, []))
        found += [b for scope in scopes if name in scope.bindings for b in scope.bindings[name] if b not in found]
        if len(found) == 1:
            return found[0]
        # `HAS_X = True` in a `try` and `= False` in its handler: the handler tells what the name is about.
        return next((b for b in found if b.block.kind == "handler"), None)

    def _path(self, node: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        binding = self._binding(node.id) if isinstance(node, ast.Name) else None
        if binding is None or binding.kind != "import":
            return None
        return ".".join([Symbol(binding.path or binding.name).path, *reversed(parts)])


def _caught(handler: ast.ExceptHandler) -> set[str]:
    """The last names of what a handler catches; a bare one catches `BaseException`."""
    if handler.type is None:
        return {"BaseException"}
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {getattr(kind, "attr", getattr(kind, "id", "")) for kind in types}


def _falls_back(statement: ast.Try | ast.TryStar, handler: ast.ExceptHandler) -> bool:
    """Whether a handler of any error tries the same another way: it calls or imports what the body does."""
    tried = {_called(node) for inner in statement.body for node in ast.walk(inner) if isinstance(node, ast.Call)}
    for inner in handler.body:
        for node in ast.walk(inner):
            if isinstance(node, ast.Import | ast.ImportFrom) or (isinstance(node, ast.Call) and _called(node) in tried):
                return True
    return False


def _called(node: ast.Call) -> str:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name if name not in ("print", "info", "warning", "error") else ""
