"""One pass over a tree, which finds the parts of a script.

Nothing is judged and nothing evaluated here. The pass keeps its own stack, so that deep nesting cannot
exhaust Python's.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from trainguard.facts.binding import Binder, end_of
from trainguard.facts.leaving import breaks, handlers_leave, leaves, may_swallow
from trainguard.facts.structure import (
    Binding,
    Block,
    BlockKind,
    Escape,
    Handler,
    Import,
    RawCall,
    Scope,
    ScopeKind,
    Store,
    Structure,
    position,
)


def read_structure(tree: ast.Module) -> Structure:
    """The structure of a parsed script."""
    return _Pass(tree).run(tree)


class _Pass(Binder):
    def run(self, tree: ast.Module) -> Structure:
        self._push_block(tree.body, self.root)
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

    def _visit_Global(self, node: ast.Global, block: Block) -> None:
        block.scope.outer_names.update(node.names)

    def _visit_Nonlocal(self, node: ast.Nonlocal, block: Block) -> None:
        block.scope.outer_names.update(node.names)
        self.nonlocals.update((block.scope, name) for name in node.names)

    def _visit_Name(self, node: ast.Name, block: Block) -> None:
        block.scope.loads.add(node.id)
        self.found.uses[node.id] += 1

    def _visit_Constant(self, node: ast.Constant, _: Block) -> None:
        if isinstance(node.value, str) and node.value:
            self.found.strings.append(node)

    def _visit_Attribute(self, node: ast.Attribute, block: Block) -> None:
        block.scope.attributes.add(node.attr)
        self.found.uses[node.attr] += 1
        if isinstance(node.ctx, ast.Load):
            self.found.attribute_reads.append((node, block))
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
            self._targets(target, node.value, "assign", block, end_of(node.value))
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
            self._bind(Binding(node.target.id, "other", node, block, end_of(node), value=node.value))
        else:
            self._store(node.target, None, block, end_of(node))
        self._push([node.target, node.value], block)

    def _visit_Delete(self, node: ast.Delete, block: Block) -> None:
        for target in node.targets:
            if isinstance(target, ast.Attribute | ast.Subscript):
                self._store(target, None, block, end_of(node), deleted=True)
        self._push(node.targets, block)

    def _visit_NamedExpr(self, node: ast.NamedExpr, block: Block) -> None:
        holder = block
        while holder.scope.kind == "comprehension" and holder.parent is not None:
            holder = holder.parent
        # In a comprehension the value changes with its loop: it cannot be told where the name is used.
        self._targets(node.target, node.value if holder is block else None, "assign", holder)
        self._escape(node.value, "element", block)
        self._push([node.value], block)

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
        end = end_of(node)
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

    def _visit_IfExp(self, node: ast.IfExp, block: Block) -> None:
        self._push([node.orelse], Block("else", block, block.scope, node))
        self._push([node.body], Block("if", block, block.scope, node))
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


def _is_main_guard(test: ast.expr) -> bool:
    """`if __name__ == "__main__":` as everybody writes it."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )


def _annotations(arguments: ast.arguments) -> list[ast.AST]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [a.annotation for a in every if a is not None and a.annotation is not None]
