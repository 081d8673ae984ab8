"""Operations that ty finds impossible (PY005) or certain to raise (PY006), as far as the types are certain.

ty believes annotations, and remembers what was last assigned to an attribute or item even after a call that may have
changed it. A script that does either still runs, so a finding needs operands whose values the text itself fixes.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Callable

from trainguard.facts.diagnostics import Diagnostic, Kind
from trainguard.facts.diagnostics_engine import EngineMessage
from trainguard.facts.diagnostics_functions import returns_nothing, same_file_function
from trainguard.facts.diagnostics_tree import LOOPS, Tree, dotted

_MAX_STEPS = 40

_PLAIN_TYPE = re.compile(
    r"(None|int|float\*?|complex\*?|bool|str|bytes|Literal\[.*\]|(list|dict|tuple|set|frozenset)\[.*\])"
)
# Functions that refuse a wrong argument as soon as they are called.
_STRICT_CALLABLES = {"len", "abs", "sum", "range", "int.__new__", "float.__new__", "min", "max", "round"}
# Methods of lists, dicts and sets that change them and return None.
_CHANGING_METHODS = {"sort", "append", "extend", "insert", "reverse", "update", "add", "clear"}
_LIVE_MAPPINGS = {"os.environ", "sys.argv"}

_ERRORS = {
    "unsupported-operator": "TypeError",
    "not-callable": "TypeError",
    "not-iterable": "TypeError",
    "not-subscriptable": "TypeError",
    "invalid-argument-type": "TypeError",
    "missing-argument": "TypeError",
    "too-many-positional-arguments": "TypeError",
    "unknown-argument": "TypeError",
    "invalid-raise": "TypeError",
    "missing-attribute": "AttributeError",
    "division-by-zero": "ZeroDivisionError",
    "index-out-of-bounds": "IndexError",
    "invalid-assignment": "ValueError",
}
_PARENT_ERRORS = {"ZeroDivisionError": "ArithmeticError", "IndexError": "LookupError"}


def type_diagnostic(message: EngineMessage, tree: Tree) -> Diagnostic | None:
    """The diagnostic that a message of ty about types deserves, None where the types are not certain."""
    error = _ERRORS.get(message.code)
    judge = _JUDGES.get(message.code)
    if error is None or judge is None:
        return None
    nodes = tree.at(message.line, message.column, message.end_line, message.end_column)
    caught = frozenset({error, _PARENT_ERRORS.get(error, error)})
    for node in nodes:
        text = judge(message, node, tree)
        if text is None:
            continue
        if tree.handled(node, caught) or _is_guarded(node, tree):
            return None
        kind: Kind = "type-mismatch" if error == "TypeError" else "certain-exception"
        return Diagnostic(
            kind=kind,
            message=f"{text}: {error} when line {message.line} runs",
            line=message.line,
            column=message.column,
            end_line=message.end_line,
            end_column=message.end_column,
            subject=_subject(node),
        )
    return None


def _subject(node: ast.AST) -> str | None:
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    return names[0] if names else None


def _is_guarded(node: ast.AST, tree: Tree) -> bool:
    """Whether `hasattr` or `callable` is asked around the operation."""
    for parent in tree.ancestors(node):
        if isinstance(parent, ast.If | ast.IfExp) and re.search(r"\b(hasattr|callable)\(", ast.unparse(parent.test)):
            return True
    return False


# -- what can be trusted -------------------------------------------------------


def is_certain(node: ast.AST, tree: Tree) -> bool:
    """Whether the type that ty gives `node` follows from the values in the text alone."""
    return _Certainty(tree).holds(node)


class _Certainty:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._steps = 0
        self._seen: set[tuple[ast.AST, str]] = set()

    def holds(self, node: ast.AST) -> bool:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            return False
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.Set | ast.Dict):
            return True
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp):
            return True
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.IfExp | ast.Compare):
            return all(self.holds(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
        if isinstance(node, ast.Call):
            return self._call(node.func)
        if isinstance(node, ast.Subscript):
            return dotted(node.value) in _LIVE_MAPPINGS and self._is_module_path(node.value)
        return isinstance(node, ast.Attribute) and self._is_module_path(node)

    def _name(self, node: ast.Name) -> bool:
        tree = self._tree
        scope = tree.binding_scope(node, node.id)
        if (scope, node.id) in self._seen:
            return True
        self._seen.add((scope, node.id))
        if node.id in tree.rebound_elsewhere or self._is_loop_variable(node):
            return False
        bindings = tree.bindings(scope).get(node.id)
        if bindings is None:
            return hasattr(builtins, node.id) and not tree.has_star_import and not tree.makes_names_at_run_time
        return all(self._binding(binding.node) for binding in bindings)

    def _is_loop_variable(self, node: ast.Name) -> bool:
        for parent in self._tree.ancestors(node):
            if isinstance(parent, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                targets = (n for generator in parent.generators for n in ast.walk(generator.target))
                if any(isinstance(target, ast.Name) and target.id == node.id for target in targets):
                    return True
        return False

    def _binding(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Import | ast.ImportFrom):
            return True
        parent = self._tree.parents.get(node)
        if isinstance(parent, ast.Assign):
            return self.holds(parent.value)
        if isinstance(parent, ast.AugAssign):
            return self.holds(parent.value)
        return isinstance(parent, ast.For) and node is parent.target and self._is_counting(parent.iter)

    def _is_counting(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and dotted(node.func) == "range"

    def _call(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute):
            return self._is_module_path(function) or (
                isinstance(function.value, ast.Constant | ast.JoinedStr) or self.holds(function.value)
            )
        if not isinstance(function, ast.Name):
            return False
        if (definition := same_file_function(function, self._tree)) is not None:
            return definition.returns is None and returns_nothing(definition)
        return function.id not in self._tree.bindings(self._tree.module) and self._name(function)

    def _is_module_path(self, node: ast.expr) -> bool:
        """`os.environ`, `math.pi`: an attribute of a module of the standard library."""
        name = dotted(node)
        root = (name or "").partition(".")[0]
        scope = self._tree.binding_scope(node, root)
        bound = [binding.node for binding in self._tree.bindings(scope).get(root, [])]
        return bool(bound) and all(
            isinstance(b, ast.Import)
            and all(alias.name.partition(".")[0] in sys.stdlib_module_names for alias in b.names)
            for b in bound
        )


def _has_one_value(node: ast.expr, tree: Tree) -> bool:
    """Whether `node` is no variable, or one that is assigned once, or only ever None."""
    if not isinstance(node, ast.Name):
        return _is_one_value(node, tree)
    bindings = tree.bindings(tree.binding_scope(node, node.id)).get(node.id, [])
    values = [parent.value for b in bindings if isinstance(parent := tree.parents.get(b.node), ast.Assign)]
    all_none = all(isinstance(value, ast.Constant) and value.value is None for value in values)
    if len(values) != len(bindings):
        return False
    return all_none or (len(values) == 1 and _is_one_value(values[0], tree))


def _is_one_value(node: ast.expr, tree: Tree) -> bool:
    """Whether the expression has one type for certain: a literal, or a call that returns nothing."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _CHANGING_METHODS and is_certain(node.func.value, tree)
    if isinstance(node, ast.Call):
        function = same_file_function(node.func, tree) if isinstance(node.func, ast.Name) else None
        return function is not None and returns_nothing(function)
    return isinstance(node, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.Set | ast.Dict)


# -- one judge for each kind of message ------------------------------------------


def _types(text: str) -> list[str]:
    return re.findall(r"`([^`]*)`", text)


def _plain(kind: str) -> bool:
    return " | " not in re.sub(r"\[.*\]", "", kind) and _PLAIN_TYPE.fullmatch(kind) is not None


def _shown(kind: str) -> str:
    return f"`{kind[8:-1] if kind.startswith('Literal[') else kind.rstrip('*')}`"


def _operation(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    operands: list[ast.expr]
    if isinstance(node, ast.BinOp):
        operands = [node.left, node.right]
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        operands = [node.left, *node.comparators]
    elif isinstance(node, ast.AugAssign):
        operands = [node.target, node.value]
    elif isinstance(node, ast.UnaryOp):
        operands = [node.operand]
    else:
        return None
    operator, *kinds = _types(message.text)
    if len(kinds) == 1 and len(operands) == 2:
        kinds = kinds * 2  # "between two objects of type `list[int]`"
    if not all(map(_plain, kinds)) or not all(is_certain(operand, tree) for operand in operands):
        return None
    # Of `x += 1` ty names the one member of a union that fails, so the others have to be ruled out here.
    if isinstance(node, ast.AugAssign) and not _first_value_is_none(node, tree):
        return None
    shown = [
        f"{_shown(kind)}" if isinstance(operand, ast.Constant) else f"`{ast.unparse(operand)}` ({_known(kind)})"
        for operand, kind in zip(operands, kinds, strict=False)
    ]
    if len(shown) == 1:
        return f"`{operator}` cannot be applied to {shown[0]}; convert it to a number first"
    remedy = "convert one of them, for instance with `int(...)` or `str(...)`"
    if "None" in kinds:
        remedy = "give it a value first"
    return f"`{operator}` cannot work between {shown[0]} and {shown[1]}; {remedy}"


def _named(node: ast.expr, kind: str) -> str:
    return f"`{ast.unparse(node)}`" if isinstance(node, ast.Constant) else f"`{ast.unparse(node)}` ({_known(kind)})"


def _first_value_is_none(node: ast.AugAssign, tree: Tree) -> bool:
    """Whether the variable has been None, or a literal, and nothing else where it is first added to."""
    if not isinstance(node.target, ast.Name) or any(isinstance(parent, LOOPS) for parent in tree.ancestors(node)):
        return False
    bindings = tree.bindings(tree.scope(node)).get(node.target.id, [])
    earlier = [tree.parents.get(binding.node) for binding in bindings if binding.line < node.lineno]
    return len(earlier) == 1 and isinstance(earlier[0], ast.Assign) and isinstance(earlier[0].value, ast.Constant)


def _known(kind: str) -> str:
    return "which can only be None here" if kind == "None" else f"here {_shown(kind)}"


def _single(what: str, remedy: str) -> Callable[[EngineMessage, ast.AST, Tree], str | None]:
    def judge(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
        if message.code == "not-subscriptable" and isinstance(node, ast.Subscript):
            node = node.value
        elif message.code == "not-callable" and isinstance(node, ast.Call):
            node = node.func
        kinds = _types(message.text)
        if not kinds or not _plain(kinds[0]) or not isinstance(node, ast.expr) or not is_certain(node, tree):
            return None
        # ty names the one member of a union that fails, so the others have to be ruled out here.
        if not _has_one_value(node, tree):
            return None
        return f"{_named(node, kinds[0])} {what}; {remedy}"

    return judge


def _argument(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    kinds = _types(message.text)
    if len(kinds) < 3 or kinds[0] not in _STRICT_CALLABLES:
        return None
    if kinds[-1] != "None" and not kinds[-1].startswith("Literal["):
        return None
    if not isinstance(node, ast.expr) or not is_certain(node, tree):
        return None
    function = kinds[0].removesuffix(".__new__")
    return f"`{function}` does not take {_named(node, kinds[-1])}; pass a value that it can work on"


def _own_call(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    call = next((n for n in (node, *tree.ancestors(node)) if isinstance(n, ast.Call)), None)
    if call is None or not isinstance(call.func, ast.Name):
        return None
    function = same_file_function(call.func, tree)
    if function is None:
        return None
    return (
        f"{message.text.replace('Argument `', 'argument `', 1)} (defined at line {function.lineno}); correct the call"
    )


def _raise(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    kinds = _types(message.text)
    if not kinds or not _plain(kinds[0]) or not is_certain(node, tree):
        return None
    return f"{_shown(kinds[0])} is no exception and cannot be raised; raise an exception such as `RuntimeError(...)`"


def _attribute(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    kinds = _types(message.text)
    if not isinstance(node, ast.Attribute) or len(kinds) < 2 or not isinstance(node.ctx, ast.Load):
        return None
    if message.text.startswith("Module `"):
        return None  # a submodule may have been imported elsewhere; API001 knows modules by version
    if not _plain(kinds[0]) or not is_certain(node.value, tree):
        return None
    remedy = "use `[...]`" if kinds[0].startswith("dict[") else "check the value or the spelling"
    return f"{_named(node.value, kinds[0])} has no attribute `{node.attr}`; {remedy}"


def _division(_message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    divisor = node.right if isinstance(node, ast.BinOp) else node.value if isinstance(node, ast.AugAssign) else None
    dividend = node.left if isinstance(node, ast.BinOp) else node.target if isinstance(node, ast.AugAssign) else None
    if divisor is None or dividend is None or not is_certain(divisor, tree) or not is_certain(dividend, tree):
        return None
    if any(isinstance(part, ast.Call) for part in ast.walk(divisor)):
        return None  # ty takes `max(SHARDS, 1)` for the smallest of its literals too
    shown = "" if isinstance(divisor, ast.Constant) else f" (`{ast.unparse(divisor)}` is always 0 here)"
    return f"division by zero{shown}; guard the division or correct the divisor"


def _index(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    subscript = node if isinstance(node, ast.Subscript) else tree.parents.get(node)
    if not isinstance(subscript, ast.Subscript) or not is_certain(subscript.value, tree):
        return None
    if not is_certain(subscript.slice, tree):
        return None
    matched = re.search(r"with length (\d+)", message.text)
    length = f"has {matched[1]} items" if matched else "is shorter"
    return f"`{ast.unparse(subscript)}` is past the end: `{ast.unparse(subscript.value)}` {length}; correct the index"


def _unpacking(message: EngineMessage, node: ast.AST, tree: Tree) -> str | None:
    matched = re.match(r"(Too many|Not enough) values to unpack: Expected (\d+)", message.text)
    assign = next((n for n in (node, *tree.ancestors(node)) if isinstance(n, ast.stmt)), None)
    if matched is None or not isinstance(assign, ast.Assign) or not is_certain(assign.value, tree):
        return None
    if node not in (assign, *assign.targets, assign.value):  # a loop variable of a comprehension
        return None
    return f"{matched[1].lower()} values to unpack into {matched[2]} names; make both sides the same length"


_JUDGES: dict[str, Callable[[EngineMessage, ast.AST, Tree], str | None]] = {
    "unsupported-operator": _operation,
    "not-callable": _single("cannot be called", "call a function, or remove the parentheses"),
    "not-iterable": _single("cannot be iterated over", "iterate over a list, or over `range(...)`"),
    "not-subscriptable": _single("has no items", "give it a list or a dict first"),
    "invalid-argument-type": _argument,
    "missing-argument": _own_call,
    "too-many-positional-arguments": _own_call,
    "unknown-argument": _own_call,
    "invalid-raise": _raise,
    "missing-attribute": _attribute,
    "division-by-zero": _division,
    "index-out-of-bounds": _index,
    "invalid-assignment": _unpacking,
}
