"""One pass over a tree, which finds the parts of a script.

Nothing is judged and nothing evaluated here. The pass keeps its own stack, so that deep nesting cannot
exhaust Python's.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trainguard.facts.leaving import breaks, handlers_leave, leaves, may_swallow
from trainguard.facts.structure import (
    Binding,
    BindingKind,
    Block,
    BlockKind,
    Escape,
    EscapeKind,
    Handler,
    Import,
    Position,
    RawCall,
    Scope,
    ScopeKind,
    Store,
    Structure,
    position,
)


def read_structure(tree: ast.Module) -> Structure:
    """The structure of a parsed script."""
    return _Pass(tree).run()


class _Pass:
    def __init__(self, tree: ast.Module) -> None:
        scope = Scope("module", tree, None)
        scope.block = Block("body", None, scope, tree)
        self.found = Structure(module=scope)
        self.found.scopes[tree] = scope
        self.stack: list[tuple[ast.AST, Block]] = []
        self.nonlocals: set[tuple[Scope, str]] = set()
        self.deferred: list[Binding] = []
        self._push_block(tree.body, scope.block)

    def run(self) -> Structure:
        stack = self.stack
        visitors: dict[type[ast.AST], Callable[[Any, Block], None]] = {}
        while stack:
            node, block = stack.pop()
            visit = visitors.get(type(node))
            if visit is None:
                visit = visitors[type(node)] = getattr(self, "_visit_" + type(node).__name__, self._visit_other)
            visit(node, block)
        self._bind_nonlocals()
        return self.found

    def _visit_other(self, node: ast.AST, block: Block) -> None:
        self._push(ast.iter_child_nodes(node), block)

    # -- order ---------------------------------------------------------------

    def _push(self, nodes: Iterator[ast.AST] | Sequence[ast.AST | None], block: Block) -> None:
        # What has no fields (`Load`, `Add`, `Pass`) has nothing to visit.
        self.stack += [(node, block) for node in nodes if node is not None and node._fields][::-1]

    def _push_block(self, statements: Sequence[ast.stmt], block: Block) -> None:
        live = block
        pairs: list[tuple[ast.AST, Block]] = []
        for statement in statements:
            pairs.append((statement, live))
            if live is block and leaves(statement):
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
        if (scope, binding.name) in self.nonlocals:
            self.deferred.append(binding)
        elif binding.name in scope.outer_names:
            outer = scope
            while outer.parent is not None:
                outer = outer.parent
            outer.bindings[binding.name].append(binding)
        else:
            scope.bindings[binding.name].append(binding)

    def _bind_nonlocals(self) -> None:
        """Only now are all names of the functions around known."""
        for binding in self.deferred:
            scope = binding.block.scope.parent
            while scope is not None and (
                scope.kind != "function" or binding.name not in scope.bindings or binding.name in scope.outer_names
            ):
                scope = scope.parent
            if scope is not None:
                scope.bindings[binding.name].append(binding)
                scope.bindings[binding.name].sort(key=lambda b: b.position)

    def _visit_Global(self, node: ast.Global, block: Block) -> None:
        block.scope.outer_names.update(node.names)

    def _visit_Nonlocal(self, node: ast.Nonlocal, block: Block) -> None:
        block.scope.outer_names.update(node.names)
        self.nonlocals.update((block.scope, name) for name in node.names)

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
            self._targets(target, node.value, "assign", block, _end(node.value))
            self._assigned(target, node.value, block)
        self._push([node.value], block)

    def _visit_AnnAssign(self, node: ast.AnnAssign, block: Block) -> None:
        if node.value is not None or block.scope.kind == "class":
            self._targets(node.target, node.value, "assign", block)
            self._assigned(node.target, node.value, block)
        self._push([node.value, node.annotation], block)

    def _visit_AugAssign(self, node: ast.AugAssign, block: Block) -> None:
        if isinstance(node.target, ast.Name):
            block.scope.loads.add(node.target.id)
            self.found.augmented.append(Store(node.target, None, None, block, position(node), node))
            self._bind(Binding(node.target.id, "other", node, block, _end(node), value=node.value))
        else:
            self._store(node.target, None, block, _end(node))
        self._push([node.target, node.value], block)

    def _visit_Delete(self, node: ast.Delete, block: Block) -> None:
        for target in node.targets:
            if isinstance(target, ast.Attribute | ast.Subscript):
                self._store(target, None, block, _end(node), deleted=True)
        self._push(node.targets, block)

    def _visit_NamedExpr(self, node: ast.NamedExpr, block: Block) -> None:
        holder = block
        while holder.scope.kind == "comprehension" and holder.parent is not None:
            holder = holder.parent
        # In a comprehension the value changes with its loop: it cannot be told where the name is used.
        self._targets(node.target, node.value if holder is block else None, "assign", holder)
        self._escape(node.value, "element", block)
        self._push([node.value], block)

    def _targets(
        self, target: ast.expr, value: ast.expr | None, kind: BindingKind, block: Block, at: Position | None = None
    ) -> None:
        """Binds what an assignment target names; nested unpackings beyond the first level bind as unknown.

        A name is bound `at` the end of the value, so that the value itself sees what was bound before.
        """
        at = at or (_end(value) if value is not None else position(target))
        if isinstance(target, ast.Name):
            self._bind(Binding(target.id, kind, target, block, at, value=value))
        elif isinstance(target, ast.Attribute):
            self._store(target, value if kind == "assign" else None, block, at)
            self._push([target.value], block)
        elif isinstance(target, ast.Subscript):
            self._store(target, value if kind == "assign" else None, block, at)
            self._push([target.value, target.slice], block)
        elif isinstance(target, ast.Starred):
            self._targets(target.value, None, "other", block, at)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value, kind, block, at)

    def _unpack(
        self, target: ast.Tuple | ast.List, value: ast.expr | None, kind: BindingKind, block: Block, at: Position
    ) -> None:
        parts = value.elts if isinstance(value, ast.Tuple | ast.List) and kind == "assign" else None
        starred = any(isinstance(e, ast.Starred) for e in [*target.elts, *(parts or [])])
        for index, element in enumerate(target.elts):
            if parts is not None and not starred and index < len(parts):
                self._targets(element, parts[index], kind, block, at)
            elif isinstance(element, ast.Name) and kind == "assign" and not starred:
                binding = Binding(element.id, "unpack", element, block, at, value=value, index=index)
                self._bind(binding)
            else:
                self._targets(element, None, "other", block, at)

    def _store(
        self,
        target: ast.Attribute | ast.Subscript,
        value: ast.expr | None,
        block: Block,
        place: Position,
        *,
        deleted: bool = False,
    ) -> None:
        found = self.found
        if isinstance(target, ast.Attribute):
            store = Store(target.value, target.attr, value, block, place, target, deleted)
            found.attribute_stores[target.attr].append(store)
            return
        key = target.slice.value if isinstance(target.slice, ast.Constant) else None
        known = key if isinstance(key, str) else None
        store = Store(target.value, known, value, block, place, target, deleted)
        (found.other_stores if known is None else found.item_stores[known]).append(store)

    # -- what else may change a value ------------------------------------------

    def _assigned(self, target: ast.expr, value: ast.expr | None, block: Block) -> None:
        if isinstance(target, ast.Name):
            self._escape(value, "alias", block, target=target.id)
        elif isinstance(target, ast.Attribute):
            self._escape(value, "attribute", block, target=target.attr)
        else:
            self._escape(value, "element", block)

    def _escape(
        self, value: ast.expr | None, kind: EscapeKind, block: Block, target: str | None = None
    ) -> None:
        if isinstance(value, ast.IfExp):
            self._escape(value.body, kind, block, target)
            self._escape(value.orelse, kind, block, target)
        elif isinstance(value, ast.BoolOp):
            for part in value.values:
                self._escape(part, kind, block, target)
        elif isinstance(value, ast.Name):
            self.found.escapes[value.id].append(Escape(kind, block, position(value), target))

    def _display(self, node: ast.List | ast.Tuple | ast.Set, block: Block) -> None:
        for element in node.elts:
            self._escape(element, "element", block)
        self._push(node.elts, block)

    _visit_List = _visit_Tuple = _visit_Set = _display

    def _visit_Dict(self, node: ast.Dict, block: Block) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                self._escape(value, "element", block)
        self._push([*node.keys, *node.values], block)

    def _visit_Yield(self, node: ast.Yield | ast.YieldFrom, block: Block) -> None:
        block.scope.is_generator = True
        self._escape(node.value, "element", block)
        self._push([node.value], block)

    _visit_YieldFrom = _visit_Yield

    # -- calls ---------------------------------------------------------------

    def _visit_Call(self, node: ast.Call, block: Block) -> None:
        self.found.calls.append(RawCall(node, block))
        self.found.expressions[node] = block
        if isinstance(node.func, ast.Name) and node.func.id == "setattr" and len(node.args) == 3:
            base, key, value = node.args
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                store = Store(base, key.value, value, block, position(node), node)
                self.found.attribute_stores[key.value].append(store)
        end = _end(node)
        for argument, keyword in [*((a, None) for a in node.args), *((k.value, k.arg) for k in node.keywords if k.arg)]:
            if isinstance(argument, ast.Name):
                escape = Escape("argument", block, end, call=node, keyword=keyword)
                self.found.escapes[argument.id].append(escape)
        self._push([node.func, *node.args, *node.keywords], block)

    # -- blocks --------------------------------------------------------------

    def _visit_If(self, node: ast.If, block: Block) -> None:
        self._push_block(node.orelse, Block("else", block, block.scope, node))
        self._push_block(node.body, Block("if", block, block.scope, node, runs_through=_is_main_guard(node.test)))
        self._push([node.test], block)

    def _visit_For(self, node: ast.For | ast.AsyncFor, block: Block) -> None:
        body = Block("loop", block, block.scope, node)
        self._push_block(node.orelse, self._loop_else(node, block))
        self._push_block(node.body, body)
        self._targets(node.target, node.iter, "loop", body)
        self._push([node.iter], block)

    _visit_AsyncFor = _visit_For

    def _loop_else(self, node: ast.For | ast.AsyncFor | ast.While, block: Block) -> Block:
        return Block("loop-else", block, block.scope, node, runs_through=not breaks(node)) if node.orelse else block

    def _visit_While(self, node: ast.While, block: Block) -> None:
        self._push_block(node.orelse, self._loop_else(node, block))
        self._push_block(node.body, Block("loop", block, block.scope, node))
        self._push([node.test], block)

    def _visit_Try(self, node: ast.Try, block: Block) -> None:
        through = handlers_leave(node)

        def part(kind: BlockKind, *, runs_through: bool = through) -> Block:
            return Block(kind, block, block.scope, node, runs_through=runs_through)

        self._push_block(node.finalbody, part("finally", runs_through=True))
        self._push_block(node.orelse, part("try-else"))
        for handler in reversed(node.handlers):
            inner = Block("handler", block, block.scope, handler)
            self.found.handlers.append(Handler(node, handler, block))
            if handler.name:
                self._bind(Binding(handler.name, "other", handler, inner, position(handler)))
            self._push_block(handler.body, inner)
            self._push([handler.type], block)
        self._push_block(node.body, part("try"))

    _visit_TryStar = _visit_Try

    def _visit_With(self, node: ast.With | ast.AsyncWith, block: Block) -> None:
        body = Block("with", block, block.scope, node, runs_through=not may_swallow(node))
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
        self._escape(node.value, "return", block)
        self._push([node.value], block)


def _end(node: ast.stmt | ast.expr) -> Position:
    """The place of the last character of a node, which is not before any name in it."""
    return (node.end_lineno or node.lineno, (node.end_col_offset or node.col_offset + 1) - 1)


def _is_main_guard(test: ast.expr) -> bool:
    """`if __name__ == "__main__":` as everybody writes it."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
    )


def _annotations(arguments: ast.arguments) -> list[ast.AST]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [a.annotation for a in every if a is not None and a.annotation is not None]
