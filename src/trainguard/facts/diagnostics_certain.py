"""What ty does not look for and Python is certain to raise: missing keys, list indexes, endless recursion (PY006)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from trainguard.facts.diagnostics import Diagnostic
from trainguard.facts.diagnostics_literals import constant_of, literal_of
from trainguard.facts.diagnostics_tree import FUNCTIONS, LOOPS, Function, Tree, dotted, leaves
from trainguard.facts.diagnostics_unconditional import unconditional

# A recursion may be meant to end by what these raise when there is nothing left.
_ENDING_CALLS = {"next", "pop", "popleft", "popitem", "get_nowait", "input"}


def certain_exceptions(tree: Tree) -> list[Diagnostic]:
    """KeyError and IndexError on literals that nothing changes, and functions that always call themselves."""
    return [*_lookups(tree), *_recursions(tree)]


# -- keys and indexes --------------------------------------------------------------


def _lookups(tree: Tree) -> Iterator[Diagnostic]:
    literals = set()
    for node in tree.nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List | ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            literals |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in tree.nodes:
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        base: ast.expr = node.value
        while isinstance(base, ast.Subscript):
            base = base.value
        if not isinstance(base, ast.List | ast.Dict) and not (isinstance(base, ast.Name) and base.id in literals):
            continue
        known, key = constant_of(node.slice, tree)
        if not known or not isinstance(key, str | int):
            continue
        literal = literal_of(node.value, tree)
        if literal is not None and (trouble := _trouble(node, literal, key)) is not None:
            error, text = trouble
            caught = frozenset({error, "LookupError"})
            if not tree.handled(node, caught) and not _is_asked(node, tree):
                yield _diagnostic(node, tree, f"{text}: {error} when line {node.lineno} runs")


def _trouble(node: ast.Subscript, literal: ast.Dict | ast.List, key: str | int) -> tuple[str, str] | None:
    name, where = "the list" if isinstance(literal, ast.List) else "the dict", ""
    if not isinstance(node.value, ast.List | ast.Dict):
        name, where = f"`{ast.unparse(node.value)}`", f" (line {literal.lineno})"
    if isinstance(literal, ast.List):
        size = len(literal.elts)
        if not isinstance(key, int) or -size <= key < size:
            return None
        return "IndexError", f"index {key} is past the end of {name}{where}, which has {size} items; correct the index"
    keys = [entry.value for entry in literal.keys if isinstance(entry, ast.Constant)]
    if key in keys:
        return None
    shown = ", ".join(repr(k) for k in keys[:6]) + (", …" if len(keys) > 6 else "")
    return "KeyError", f"{name}{where} has no key {key!r}, only {shown or 'none at all'}; correct the key or add it"


def _is_asked(node: ast.Subscript, tree: Tree) -> bool:
    """Whether a condition around the lookup mentions the container: it may ask for the key, or the length."""
    wanted = ast.unparse(node.value)
    below: ast.AST = node
    for parent in tree.ancestors(node):
        tests: list[ast.expr] = []
        if isinstance(parent, ast.If | ast.IfExp | ast.While) and below is not parent.test:
            tests = [parent.test]
        elif isinstance(parent, ast.BoolOp):
            tests = [value for value in parent.values if value is not below]
        elif isinstance(parent, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            tests = [test for generator in parent.generators for test in generator.ifs]
        elif isinstance(parent, ast.Match):
            return True
        if any(wanted in ast.unparse(test) for test in tests):
            return True
        below = parent
    return False


# -- recursion ----------------------------------------------------------------------


def _recursions(tree: Tree) -> Iterator[Diagnostic]:
    for function in tree.nodes:
        if not isinstance(function, FUNCTIONS) or not _mentions_itself(function, tree):
            continue
        if (call := _certain_call(function, tree)) is not None:
            yield _diagnostic(
                call,
                tree,
                f"`{function.name}` calls itself at line {call.lineno} on every path, with no way to stop: "
                "RecursionError once it is called; return before the call in the base case, or call something else",
                subject=function.name,
            )


def _mentions_itself(function: Function, tree: Tree) -> bool:
    mentions = (*tree.names.get(function.name, ()), *tree.attributes.get(function.name, ()))
    end = function.end_lineno or function.lineno
    return any(function.lineno <= mention.lineno <= end for mention in mentions)


def _certain_call(function: Function, tree: Tree) -> ast.expr | None:
    """The call or property read by which every call of `function` calls it again."""
    is_self = _self_test(function, tree)
    if is_self is None:
        return None
    for statement in function.body:
        for node in unconditional(statement, loops=False):
            if is_self(node) and not tree.handled(node, frozenset({"RecursionError"})):
                # Calling a generator function runs nothing.
                is_generator = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(function))
                return node if isinstance(node, ast.expr) and not is_generator else None
        if _may_leave(statement):
            return None
    return None


def _may_leave(statement: ast.stmt) -> bool:
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return False
    if isinstance(statement, LOOPS) or leaves(statement):
        return True
    return any(
        isinstance(n, ast.Return | ast.Raise | ast.Assert | ast.Try | ast.TryStar)
        or (isinstance(n, ast.Expr) and leaves(n))
        or (isinstance(n, ast.Call) and (dotted(n.func) or "").rpartition(".")[2] in _ENDING_CALLS)
        for n in ast.walk(statement)
    )


def _self_test(function: Function, tree: Tree) -> Callable[[ast.AST], bool] | None:
    """A test for the nodes by which `function` runs again, None where that cannot be told."""
    owner = tree.parents.get(function)
    is_async = isinstance(function, ast.AsyncFunctionDef)
    if isinstance(owner, ast.ClassDef):
        return None if is_async else _method_test(function, owner, tree)
    scope = tree.scope(function)
    bindings = tree.bindings(scope).get(function.name, [])
    is_local = function.name in tree.bindings(function)
    if function.decorator_list or len(bindings) != 1 or is_local or function.name in tree.rebound_elsewhere:
        return None

    def calls(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != function.name:
            return False
        return not is_async or isinstance(tree.parents.get(node), ast.Await)

    return calls


def _method_test(method: Function, owner: ast.ClassDef, tree: Tree) -> Callable[[ast.AST], bool] | None:
    names = {dotted(decorator) for decorator in method.decorator_list}
    same = [s for s in owner.body if isinstance(s, FUNCTIONS) and s.name == method.name]
    first = next(iter(method.args.posonlyargs + method.args.args), None)
    if len(same) != 1 or first is None or names - {"property"} or first.arg in _stored(method):
        return None
    # An instance may carry a function of that name, set from anywhere in the file.
    if method.name in tree.stored_attributes:
        return None

    def reads(node: ast.AST) -> bool:
        attribute = node.func if isinstance(node, ast.Call) and not names else node
        return (
            isinstance(attribute, ast.Attribute)
            and (attribute is not node or bool(names))
            and attribute.attr == method.name
            and isinstance(attribute.value, ast.Name)
            and attribute.value.id == first.arg
        )

    return reads


def _stored(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id


def _diagnostic(node: ast.expr, tree: Tree, message: str, *, subject: str | None = None) -> Diagnostic:
    name = node.value.id if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) else None
    return Diagnostic(
        kind="certain-exception",
        message=message,
        line=node.lineno,
        column=tree.column(node),
        end_line=node.end_lineno,
        end_column=tree.end_column(node),
        subject=subject or name,
    )
