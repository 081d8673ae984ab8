"""One pass over a tree: scopes, names bound in them, calls, stores, handlers, and the blocks they stand in.

Nothing is judged and nothing evaluated here. The pass keeps its own stack, so that deep nesting cannot
exhaust Python's.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ScopeKind: TypeAlias = Literal["module", "function", "class", "comprehension"]
BlockKind: TypeAlias = Literal["body", "if", "else", "loop", "try", "try-else", "handler", "finally", "case", "with", "dead"]
BindingKind: TypeAlias = Literal["assign", "unpack", "import", "def", "class", "parameter", "loop", "with", "other"]
Position: TypeAlias = tuple[int, int]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True, eq=False)
class Block:
    """Statements that run together. `owner` is the statement that the block belongs to."""

    kind: BlockKind
    parent: Block | None
    scope: Scope
    owner: ast.AST | None = None

    def ancestors(self) -> Iterator[Block]:
        """This block and those around it, inner first, within the same scope."""
        block: Block | None = self
        while block is not None and block.scope is self.scope:
            yield block
            block = block.parent

    @property
    def outermost(self) -> Block:
        """This block, or the one around it where a `with`, `finally` or `else` of a `try` always runs through."""
        block = self
        while block.kind in ("with", "finally", "try-else") and block.parent is not None:
            block = block.parent
        return block


@dataclass(slots=True, eq=False)
class Binding:
    """One place where a name gets a value; `value` is the expression, `index` the place in an unpacking."""

    name: str
    kind: BindingKind
    node: ast.AST
    block: Block
    position: Position
    value: ast.expr | None = None
    index: int | None = None
    path: str | None = None


@dataclass(slots=True, eq=False)
class Scope:
    kind: ScopeKind
    node: ast.AST
    parent: Scope | None
    block: Block | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    outer_names: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    returns: list[tuple[ast.expr | None, Block]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Import:
    """One imported name. `module` is dotted; `name` what is taken from it, None for `import module`."""

    module: str
    name: str | None
    bound: str
    node: ast.Import | ast.ImportFrom
    block: Block
    level: int = 0


@dataclass(slots=True, eq=False)
class Store:
    """`base.attribute = value`, `base[key] = value`, or `setattr(base, "attribute", value)`."""

    base: ast.expr
    key: str
    value: ast.expr | None
    block: Block
    position: Position
    node: ast.AST


@dataclass(slots=True, eq=False)
class RawCall:
    node: ast.Call
    block: Block


@dataclass(slots=True, eq=False)
class Handler:
    """One `except` clause with its `try`; `block` is the block that the whole statement stands in."""

    statement: ast.Try
    node: ast.ExceptHandler
    block: Block


@dataclass(slots=True, eq=False)
class Structure:
    """Everything that the pass found, each list in the order of the text."""

    module: Scope
    scopes: dict[ast.AST, Scope] = field(default_factory=dict)
    calls: list[RawCall] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    attribute_stores: dict[str, list[Store]] = field(default_factory=lambda: defaultdict(list))
    item_stores: dict[str, list[Store]] = field(default_factory=lambda: defaultdict(list))
    handlers: list[Handler] = field(default_factory=list)
    strings: list[ast.Constant] = field(default_factory=list)
    expressions: dict[ast.AST, Block] = field(default_factory=dict)
    star_imports: list[Import] = field(default_factory=list)
    uses: Counter[str] = field(default_factory=Counter)


def read_structure(tree: ast.Module) -> Structure:
    """The structure of a parsed script."""
    return _Pass(tree).run()


def position(node: ast.AST) -> Position:
    return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))


class _Pass:
    def __init__(self, tree: ast.Module) -> None:
        scope = Scope("module", tree, None)
        scope.block = Block("body", None, scope, tree)
        self.found = Structure(module=scope)
        self.found.scopes[tree] = scope
        self.stack: list[tuple[ast.AST, Block]] = []
        self._push_block(tree.body, scope.block)

    def run(self) -> Structure:
        stack = self.stack
        while stack:
            node, block = stack.pop()
            visit = getattr(self, "_visit_" + type(node).__name__, None)
            if visit is not None:
                visit(node, block)
            else:
                self._push(ast.iter_child_nodes(node), block)
        return self.found

    # -- order ---------------------------------------------------------------

    def _push(self, nodes: Iterator[ast.AST] | Sequence[ast.AST | None], block: Block) -> None:
        self.stack.extend((node, block) for node in reversed([n for n in nodes if n is not None]))

    def _push_block(self, statements: Sequence[ast.stmt], block: Block) -> None:
        live = block
        pairs: list[tuple[ast.AST, Block]] = []
        for statement in statements:
            pairs.append((statement, live))
            if live is block and _leaves(statement):
                live = Block("dead", block, block.scope, statement)
        self.stack.extend(reversed(pairs))

    # -- scopes --------------------------------------------------------------

    def _visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, block: Block) -> None:
        self._bind(Binding(node.name, "def", node, block, position(node)))
        scope = self._open("function", node, block)
        self._parameters(node.args, scope)
        assert scope.block is not None
        self._push_block(node.body, scope.block)
        returns = [node.returns] if node.returns else []
        self._push([*node.decorator_list, *self._defaults(node.args), *returns, *_annotations(node.args)], block)

    _visit_AsyncFunctionDef = _visit_FunctionDef

    def _visit_Lambda(self, node: ast.Lambda, block: Block) -> None:
        scope = self._open("function", node, block)
        self._parameters(node.args, scope)
        assert scope.block is not None
        scope.returns.append((node.body, scope.block))
        self._push([node.body], scope.block)
        self._push(self._defaults(node.args), block)

    def _visit_ClassDef(self, node: ast.ClassDef, block: Block) -> None:
        self._bind(Binding(node.name, "class", node, block, position(node)))
        scope = self._open("class", node, block)
        assert scope.block is not None
        self._push_block(node.body, scope.block)
        self._push([*node.decorator_list, *node.bases, *node.keywords], block)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, block: Block) -> None:
        scope = self._open("comprehension", node, block)
        inner = scope.block
        assert inner is not None
        for generator in node.generators:
            self._targets(generator.target, generator.iter, "loop", inner)
        parts: list[ast.AST] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for generator in node.generators:
            parts.extend([generator.iter, *generator.ifs])
        self._push(parts, inner)

    _visit_ListComp = _visit_SetComp = _visit_DictComp = _visit_GeneratorExp = _comprehension

    def _open(self, kind: ScopeKind, node: ast.AST, block: Block) -> Scope:
        scope = Scope(kind, node, block.scope)
        scope.block = Block("body", block, scope, node)
        self.found.scopes[node] = scope
        return scope

    def _parameters(self, arguments: ast.arguments, scope: Scope) -> None:
        assert scope.block is not None
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in every:
            self._bind(Binding(argument.arg, "parameter", argument, scope.block, position(scope.node)))

    def _defaults(self, arguments: ast.arguments) -> list[ast.AST]:
        return [d for d in [*arguments.defaults, *arguments.kw_defaults] if d is not None]

    # -- names ---------------------------------------------------------------

    def _bind(self, binding: Binding) -> None:
        scope = binding.block.scope
        if binding.name in scope.outer_names:
            outer = scope
            while outer.parent is not None:
                outer = outer.parent
            outer.bindings[binding.name].append(binding)
        else:
            scope.bindings[binding.name].append(binding)

    def _visit_Global(self, node: ast.Global | ast.Nonlocal, block: Block) -> None:
        block.scope.outer_names.update(node.names)

    _visit_Nonlocal = _visit_Global

    def _visit_Name(self, node: ast.Name, block: Block) -> None:
        block.scope.loads.add(node.id)
        self.found.uses[node.id] += 1

    def _visit_Constant(self, node: ast.Constant, block: Block) -> None:
        if isinstance(node.value, str) and node.value:
            self.found.strings.append(node)

    def _visit_Attribute(self, node: ast.Attribute, block: Block) -> None:
        block.scope.attributes.add(node.attr)
        self.found.uses[node.attr] += 1
        self.stack.append((node.value, block))

    def _visit_Compare(self, node: ast.Compare, block: Block) -> None:
        self.found.expressions[node] = block
        self._push([node.left, *node.comparators], block)

    def _visit_Import(self, node: ast.Import, block: Block) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            path = alias.name if alias.asname else bound
            self._bind(Binding(bound, "import", node, block, position(node), path=path))
            self.found.imports.append(Import(alias.name, None, bound, node, block))

    def _visit_ImportFrom(self, node: ast.ImportFrom, block: Block) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            found = Import(module, alias.name, alias.asname or alias.name, node, block, node.level)
            self.found.imports.append(found)
            if alias.name == "*":
                self.found.star_imports.append(found)
                continue
            path = f"{module}.{alias.name}" if module.strip(".") else module + alias.name
            self._bind(Binding(found.bound, "import", node, block, position(node), path=path))

    def _visit_Assign(self, node: ast.Assign, block: Block) -> None:
        for target in node.targets:
            self._targets(target, node.value, "assign", block)
        self._push([node.value], block)

    def _visit_AnnAssign(self, node: ast.AnnAssign, block: Block) -> None:
        if node.value is not None or block.scope.kind == "class":
            self._targets(node.target, node.value, "assign", block)
        self._push([node.value, node.annotation], block)

    def _visit_AugAssign(self, node: ast.AugAssign, block: Block) -> None:
        if isinstance(node.target, ast.Name):
            block.scope.loads.add(node.target.id)
            self._bind(Binding(node.target.id, "other", node, block, position(node), value=node.value))
        self._push([node.target, node.value], block)

    def _visit_NamedExpr(self, node: ast.NamedExpr, block: Block) -> None:
        holder = block
        while holder.scope.kind == "comprehension" and holder.parent is not None:
            holder = holder.parent
        self._targets(node.target, node.value, "assign", holder)
        self._push([node.value], block)

    def _targets(self, target: ast.expr, value: ast.expr | None, kind: BindingKind, block: Block) -> None:
        """Binds what an assignment target names; nested unpackings beyond the first level bind as unknown."""
        if isinstance(target, ast.Name):
            self._bind(Binding(target.id, kind, target, block, position(target), value=value))
        elif isinstance(target, ast.Attribute):
            self._store(self.found.attribute_stores, target.attr, target, value if kind == "assign" else None, block)
        elif isinstance(target, ast.Subscript):
            if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
                self._store(self.found.item_stores, target.slice.value, target, value, block)
            self._push([target.value, target.slice], block)
        elif isinstance(target, ast.Starred):
            self._targets(target.value, None, "other", block)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value, kind, block)

    def _unpack(self, target: ast.Tuple | ast.List, value: ast.expr | None, kind: BindingKind, block: Block) -> None:
        parts = value.elts if isinstance(value, ast.Tuple | ast.List) and kind == "assign" else None
        starred = any(isinstance(e, ast.Starred) for e in [*target.elts, *(parts or [])])
        for index, element in enumerate(target.elts):
            if parts is not None and not starred and index < len(parts):
                self._targets(element, parts[index], kind, block)
            elif isinstance(element, ast.Name) and kind == "assign" and not starred:
                binding = Binding(element.id, "unpack", element, block, position(element), value=value, index=index)
                self._bind(binding)
            else:
                self._targets(element, None, "other", block)

    def _store(
        self, table: dict[str, list[Store]], key: str, target: ast.Attribute | ast.Subscript, value: ast.expr | None, block: Block
    ) -> None:
        table[key].append(Store(target.value, key, value, block, position(target), target))
        self._push([target.value], block)

    # -- calls ---------------------------------------------------------------

    def _visit_Call(self, node: ast.Call, block: Block) -> None:
        self.found.calls.append(RawCall(node, block))
        self.found.expressions[node] = block
        if isinstance(node.func, ast.Name) and node.func.id == "setattr" and len(node.args) == 3:
            base, key, value = node.args
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                store = Store(base, key.value, value, block, position(node), node)
                self.found.attribute_stores[key.value].append(store)
        self._push([node.func, *node.args, *node.keywords], block)

    # -- blocks --------------------------------------------------------------

    def _visit_If(self, node: ast.If, block: Block) -> None:
        self._push_block(node.orelse, Block("else", block, block.scope, node))
        self._push_block(node.body, Block("if", block, block.scope, node))
        self._push([node.test], block)

    def _visit_For(self, node: ast.For | ast.AsyncFor, block: Block) -> None:
        body = Block("loop", block, block.scope, node)
        self._push_block(node.orelse, block)
        self._push_block(node.body, body)
        self._targets(node.target, node.iter, "loop", body)
        self._push([node.iter], block)

    _visit_AsyncFor = _visit_For

    def _visit_While(self, node: ast.While, block: Block) -> None:
        self._push_block(node.orelse, block)
        self._push_block(node.body, Block("loop", block, block.scope, node))
        self._push([node.test], block)

    def _visit_Try(self, node: ast.Try, block: Block) -> None:
        self._push_block(node.finalbody, Block("finally", block, block.scope, node))
        self._push_block(node.orelse, Block("try-else", block, block.scope, node))
        for handler in reversed(node.handlers):
            inner = Block("handler", block, block.scope, handler)
            self.found.handlers.append(Handler(node, handler, block))
            if handler.name:
                self._bind(Binding(handler.name, "other", handler, inner, position(handler)))
            self._push_block(handler.body, inner)
            self._push([handler.type], block)
        self._push_block(node.body, Block("try", block, block.scope, node))

    _visit_TryStar = _visit_Try

    def _visit_With(self, node: ast.With | ast.AsyncWith, block: Block) -> None:
        body = Block("with", block, block.scope, node)
        self._push_block(node.body, body)
        for item in node.items:
            if item.optional_vars is not None:
                self._targets(item.optional_vars, item.context_expr, "with", block)
        self._push([item.context_expr for item in node.items], block)

    _visit_AsyncWith = _visit_With

    def _visit_Match(self, node: ast.Match, block: Block) -> None:
        for case in reversed(node.cases):
            inner = Block("case", block, block.scope, case)
            for pattern in ast.walk(case.pattern):
                name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
                if isinstance(name, str):
                    self._bind(Binding(name, "other", pattern, inner, position(pattern)))
            self._push_block(case.body, inner)
            self._push([case.guard], inner)
        self._push([node.subject], block)

    def _visit_Return(self, node: ast.Return, block: Block) -> None:
        block.scope.returns.append((node.value, block))
        self._push([node.value], block)


def _annotations(arguments: ast.arguments) -> list[ast.AST]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [a.annotation for a in every if a is not None and a.annotation is not None]


def _leaves(statement: ast.stmt) -> bool:
    """Whether nothing after `statement` in its block can run."""
    if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
        return True
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return exits_process(statement.value)
    if isinstance(statement, ast.If) and statement.orelse:
        return any(_leaves(s) for s in statement.body) and any(_leaves(s) for s in statement.orelse)
    return False


def exits_process(call: ast.Call) -> bool:
    """Whether a call ends the process by its name alone: `sys.exit`, `os._exit`, `exit`, `quit`."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in {"exit", "quit"}
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and (function.value.id, function.attr) in {("sys", "exit"), ("os", "_exit"), ("os", "abort")}
    )
