"""What a function does with its `**kwargs`: which it takes by name, and where the rest goes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from trainguard.indexing.texts import dotted, ends_in_raise, import_target, nodes_of, tells, text_of

_ONLY_ASKS = {"len", "bool", "str", "repr", "isinstance"}
_READS = {"pop", "get", "__getitem__"}
_NEUTRAL = {"setdefault", "update", "clear"}


@dataclass(slots=True)
class Keywords:
    """See `records.Function`. `pops` are those of `taken` that no longer reach the callables in `forwards`."""

    taken: list[str] = field(default_factory=list)
    pops: list[str] = field(default_factory=list)
    forwards: list[str] = field(default_factory=list)
    refuses_rest: bool = False


def read_keywords(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Keywords:
    """The way of a function's `**kwargs`. Anything that is not understood is a forward to `?`."""
    keywords = Keywords()
    if node.args.kwarg is None:
        return keywords
    reader = _Reader(node, node.args.kwarg.arg, keywords)
    for statement in node.body:
        reader.visit(statement, ())
    return keywords


class _Reader:
    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, keywords: Keywords) -> None:
        self._name = name
        self._keywords = keywords
        positional = [*node.args.posonlyargs, *node.args.args]
        self._first = positional[0].arg if positional else ""
        self._locals, self._imports = _scope(node)

    def visit(self, node: ast.AST, parents: tuple[ast.AST, ...]) -> None:
        if isinstance(node, ast.Name) and node.id == self._name:
            self._use(node, parents)
            return
        if isinstance(node, ast.If) and self._asks_for_rest(node.test) and ends_in_raise(node.body):
            self._keywords.refuses_rest = True
        below = (*parents, node)
        for child in ast.iter_child_nodes(node):
            self.visit(child, below)

    def _asks_for_rest(self, test: ast.expr) -> bool:
        """`if kwargs:`, `if len(kwargs) > 0:`, `if kwargs != {}:`."""
        if isinstance(test, ast.Compare):
            test = test.left
        if isinstance(test, ast.Call) and dotted(test.func) in {"len", "bool"} and len(test.args) == 1:
            test = test.args[0]
        return isinstance(test, ast.Name) and test.id == self._name

    def _use(self, node: ast.Name, parents: tuple[ast.AST, ...]) -> None:
        parent = parents[-1] if parents else None
        above = parents[-2] if len(parents) > 1 else None
        if isinstance(parent, ast.keyword) and parent.arg is None and isinstance(above, ast.Call):
            self._add(self._keywords.forwards, self._callee(above.func))
        elif isinstance(parent, ast.Attribute) and isinstance(above, ast.Call) and above.func is parent:
            self._method(parent.attr, above, parents)
        elif isinstance(parent, ast.Subscript) and parent.value is node:
            self._subscript(parent)
        elif isinstance(
            parent, ast.Compare | ast.If | ast.IfExp | ast.While | ast.BoolOp | ast.UnaryOp | ast.Delete
        ) or (isinstance(parent, ast.Call) and dotted(parent.func) in _ONLY_ASKS):
            return
        elif not _is_told(parents):
            self._add(self._keywords.forwards, "?")

    def _method(self, method: str, call: ast.Call, parents: tuple[ast.AST, ...]) -> None:
        key = text_of(call.args[0]) if call.args else None
        if method in _READS and key is not None:
            self._add(self._keywords.taken, key)
            if method == "pop":
                self._add(self._keywords.pops, key)
        elif method not in _NEUTRAL and not _is_told(parents):
            self._add(self._keywords.forwards, "?")

    def _subscript(self, node: ast.Subscript) -> None:
        key = text_of(node.slice)
        if key is None:
            self._add(self._keywords.forwards, "?")
        elif not isinstance(node.ctx, ast.Store):
            self._add(self._keywords.taken, key)

    def _callee(self, func: ast.expr) -> str:
        if isinstance(func, ast.Attribute):
            owner = func.value
            if isinstance(owner, ast.Call) and dotted(owner.func) == "super":
                return f"super.{func.attr}"
            if isinstance(owner, ast.Name) and owner.id == self._first and owner.id in {"self", "cls"}:
                return "cls." if func.attr == "__class__" else f"{owner.id}.{func.attr}"
        if isinstance(func, ast.Call) and dotted(func.func) == "type" and func.args and dotted(func.args[0]) == "self":
            return "cls."
        name = dotted(func)
        if name is None or isinstance(func, ast.Subscript):
            return "?"
        if name == "cls" == self._first:
            return "cls."
        head, _, rest = name.partition(".")
        if head in self._imports:
            return f"!{self._imports[head]}" + (f"|{rest}" if rest else "")
        return "?" if head in self._locals or name == "dict" else f"@{name}"

    @staticmethod
    def _add(names: list[str], name: str) -> None:
        if name not in names:
            names.append(name)


def _is_told(parents: tuple[ast.AST, ...]) -> bool:
    """Whether a use stands in a message or an exception, from which nothing reads it."""
    return any(isinstance(parent, ast.Raise | ast.JoinedStr) or tells(parent) is not None for parent in parents)


def _scope(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[set[str], dict[str, str]]:
    """A function's own names, and the import targets of those that it imports for itself."""
    arguments = node.args
    names = {argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    names |= {argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument is not None}
    imports: dict[str, str] = {}
    for inner in nodes_of(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and inner is not node:
            names.add(inner.name)
        elif isinstance(inner, ast.ImportFrom):
            for alias in inner.names:
                imports[alias.asname or alias.name] = import_target(inner, alias.name)
        elif isinstance(inner, ast.Import):
            for alias in inner.names:
                head = alias.name.partition(".")[0]
                imports[alias.asname or head] = f"{alias.name if alias.asname else head}:"
    return names, {name: target for name, target in imports.items() if name not in names}
