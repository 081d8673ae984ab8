"""A script's tree with the questions that its diagnostics ask: parents, scopes, bindings, handlers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Scope: TypeAlias = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
Loop: TypeAlias = ast.For | ast.AsyncFor | ast.While

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
# ast.TryStar came with Python 3.11, the oldest that trainguard runs on.
TRIES = (ast.Try, ast.TryStar)

# Leaving by these is as good as by `raise`: the library reference, sys, os and argparse.
_LEAVING_NAMES = {"exit", "quit"}
_LEAVING_METHODS = {("sys", "exit"), ("os", "_exit"), ("os", "abort")}
_ASSERTING_CONTEXTS = {"raises", "suppress", "assertRaises", "assertRaisesRegex", "warns"}


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where a scope gives `name` a value, or (`deletes`) takes it away."""

    name: str
    node: ast.AST
    line: int
    column: int
    deletes: bool = False


class Tree:
    """The syntax tree of one script, indexed. Columns here count from 1, in characters.

    `nodes` are in order of depth, and `depth` is how deep the tree is nested: found level by level, for recursion
    is what a hostile script would break.
    """

    def __init__(self, module: ast.Module, text: str) -> None:
        self.module = module
        self.nodes: list[ast.AST] = []
        self.parents: dict[ast.AST, ast.AST] = {}
        self.depth = 0
        self.suggestions: dict[str, str | None] = {}  # what an undefined name may mean, kept by who asks
        self._lines = text.split("\n")
        level: list[ast.AST] = [module]
        while level:
            self.depth += 1
            self.nodes += level
            below: list[ast.AST] = []
            for node in level:
                for field in node._fields:
                    value = getattr(node, field, None)
                    children = value if isinstance(value, list) else (value,)
                    for child in children:
                        # `ctx` and operators are shared between nodes, so that they have no parent to speak of.
                        if isinstance(child, ast.AST) and child._fields and child not in self.parents:
                            self.parents[child] = node
                            below.append(child)
            level = below

    @cached_property
    def names(self) -> dict[str, list[ast.Name]]:
        """Every mention of a variable, by its name."""
        table: dict[str, list[ast.Name]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Name):
                table.setdefault(node.id, []).append(node)
        return table

    @cached_property
    def attributes(self) -> dict[str, list[ast.Attribute]]:
        """Every mention of an attribute, by its name."""
        table: dict[str, list[ast.Attribute]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Attribute):
                table.setdefault(node.attr, []).append(node)
        return table

    @cached_property
    def stored_attributes(self) -> frozenset[str]:
        mentions = self.attributes.items()
        return frozenset(name for name, nodes in mentions if any(not isinstance(n.ctx, ast.Load) for n in nodes))

    @cached_property
    def _by_place(self) -> dict[tuple[int, int, int | None, int | None], list[ast.AST]]:
        table: dict[tuple[int, int, int | None, int | None], list[ast.AST]] = {}
        for node in self.nodes:
            if isinstance(node, ast.expr | ast.stmt | ast.keyword):
                place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
                table.setdefault(place, []).append(node)
        return table

    def line(self, number: int) -> str:
        """The text of a line, counted from 1."""
        return self._lines[number - 1] if number <= len(self._lines) else ""

    def column(self, node: ast.expr | ast.stmt) -> int:
        """`ast` counts columns in UTF-8 bytes."""
        return self._characters(node.lineno, node.col_offset) + 1

    def end_column(self, node: ast.expr | ast.stmt) -> int:
        return self._characters(node.end_lineno or node.lineno, node.end_col_offset or 0) + 1

    def _characters(self, line: int, offset: int) -> int:
        text = self.line(line)
        return offset if text.isascii() else len(text.encode("utf-8", "ignore")[:offset].decode("utf-8", "ignore"))

    def _bytes(self, line: int, column: int) -> int:
        text = self.line(line)[: column - 1]
        return len(text) if text.isascii() else len(text.encode("utf-8", "ignore"))

    def at(self, line: int, column: int, end_line: int, end_column: int) -> list[ast.AST]:
        """The nodes that cover exactly this place, outermost first."""
        place = (line, self._bytes(line, column), end_line, self._bytes(end_line, end_column))
        return self._by_place.get(place, [])

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def scope(self, node: ast.AST) -> Scope:
        """The scope that a name at `node` is looked up in; a definition's decorators belong to its outside."""
        below = node
        for parent in self.ancestors(node):
            if isinstance(parent, SCOPES) and (isinstance(parent, ast.Module) or _inside(parent, below)):
                return parent
            below = parent
        return self.module

    @cached_property
    def _bindings(self) -> dict[ast.AST, dict[str, list[Binding]]]:
        return {}

    def bindings(self, scope: Scope) -> dict[str, list[Binding]]:
        """Every binding of this very scope by name, in order of place, parameters first."""
        if scope not in self._bindings:
            table: dict[str, list[Binding]] = {}
            for binding in sorted(_bindings(scope), key=lambda b: (b.line, b.column)):
                table.setdefault(binding.name, []).append(binding)
            self._bindings[scope] = table
        return self._bindings[scope]

    def binding_scope(self, node: ast.AST, name: str) -> Scope:
        """The innermost scope around `node` that binds `name`, the module if none does."""
        scope = self.scope(node)
        while not isinstance(scope, ast.Module) and name not in self.bindings(scope):
            scope = self.scope(scope)
        return scope

    @cached_property
    def rebound_elsewhere(self) -> frozenset[str]:
        """Names that some function declares `global` or `nonlocal`: a call may change them."""
        declared = (node.names for node in self.nodes if isinstance(node, ast.Global | ast.Nonlocal))
        return frozenset(name for names in declared for name in names)

    @cached_property
    def has_star_import(self) -> bool:
        return any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in self.nodes)

    @cached_property
    def makes_names_at_run_time(self) -> bool:
        """Whether names may come from `exec`, `globals()` or an attribute set on `builtins`."""
        if any(name in self.names for name in ("exec", "globals", "execfile", "builtins", "__builtins__")):
            return True
        return any(dotted(node) == "sys.modules" for node in self.attributes.get("modules", ()))

    def handled(self, node: ast.AST, exceptions: frozenset[str], *, broad: bool = True) -> bool:
        """Whether one of `exceptions` raised at `node` is caught, or wanted, around it in the same function.

        `broad` counts `except Exception` and a bare `except` that do not raise again.
        """
        below = node
        for parent in self.ancestors(node):
            if isinstance(parent, FUNCTIONS):
                return False
            if isinstance(parent, TRIES) and below in parent.body:
                if any(_catches(handler, exceptions, broad=broad) for handler in parent.handlers):
                    return True
            elif isinstance(parent, ast.With | ast.AsyncWith) and below in parent.body:
                calls = [item.context_expr for item in parent.items]
                if any(_last_name(c.func) in _ASSERTING_CONTEXTS for c in calls if isinstance(c, ast.Call)):
                    return True
            below = parent
        return False


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` as a string, None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def leaves(statement: ast.stmt) -> bool:
    """Whether control surely does not come out at the end of `statement`."""
    if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
        return True
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        name = dotted(statement.value.func)
        return name in _LEAVING_NAMES or tuple((name or "").split(".")) in _LEAVING_METHODS
    if isinstance(statement, ast.If):
        return bool(statement.orelse) and any(map(leaves, statement.body)) and any(map(leaves, statement.orelse))
    return isinstance(statement, ast.With | ast.AsyncWith) and any(map(leaves, statement.body))


def names_in(*nodes: ast.AST) -> set[str]:
    """The names and attribute names that are read or written in `nodes`."""
    found: set[str] = set()
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


def _last_name(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _catches(handler: ast.ExceptHandler, exceptions: frozenset[str], *, broad: bool) -> bool:
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
    named = {_last_name(kind) for kind in types}
    if named & exceptions:
        return True
    if types and not named & {"Exception", "BaseException"}:
        return False
    return broad and not any(map(leaves, handler.body))


def _inside(scope: Scope, child: ast.AST) -> bool:
    """Whether `child` of a definition is evaluated within it: not so decorators, defaults, bases, annotations."""
    if isinstance(scope, ast.Lambda):
        return child is scope.body
    return isinstance(scope, ast.Module) or any(child is statement for statement in scope.body)


def _bindings(scope: Scope) -> Iterator[Binding]:
    if isinstance(scope, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = scope.args
        for parameter in ast.walk(arguments):
            if isinstance(parameter, ast.arg):
                yield Binding(parameter.arg, parameter, 0, 0)
    stack: list[ast.AST] = [scope.body] if isinstance(scope, ast.Lambda) else list(scope.body)
    while stack:
        node = stack.pop()
        yield from _bound_by(node)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            stack.extend(node.decorator_list)
        elif isinstance(node, COMPREHENSIONS):
            # The loop variables are the comprehension's own; what `:=` binds is the scope's.
            stack.extend(n for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        elif not isinstance(node, ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))


def _bound_by(node: ast.AST) -> Iterator[Binding]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield Binding(node.id, node, node.lineno, node.col_offset, isinstance(node.ctx, ast.Del))
    elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        yield Binding(node.name, node, node.lineno, node.col_offset)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield Binding(name, node, node.lineno, node.col_offset)
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield Binding(node.name, node, node.lineno, node.col_offset)
        # `except … as name` takes the name away at the end of the handler (the language reference, 8.4.1).
        yield Binding(node.name, node, node.end_lineno or node.lineno, node.end_col_offset or 0, deletes=True)
    elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        yield Binding(node.name, node, node.lineno, node.col_offset)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield Binding(node.rest, node, node.lineno, node.col_offset)
