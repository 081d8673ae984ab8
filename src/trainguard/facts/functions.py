"""Functions of a script: what their parameters are given, and what they return."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.leaving import falls_off
from trainguard.facts.structure import Binding
from trainguard.facts.values import ABSENT, UNKNOWN, Class, Constant, Function, Symbol, Value, choice, options

if TYPE_CHECKING:
    from trainguard.facts.resolver import Resolver

# Decorators that give back what the function does.
_TRANSPARENT = {
    *("staticmethod", "classmethod", "override", "cache", "lru_cache", "no_grad", "inference_mode", "abstractmethod"),
    *("on_main_process", "record"),
}


class Functions:
    """Follows values into the functions of a script and out of them."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def parameter(self, binding: Binding) -> Value:
        """What the calls in this file pass for a parameter, with its default where one leaves it out."""
        function = binding.block.scope.node
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            return UNKNOWN
        arguments = function.args
        if binding.node in (arguments.vararg, arguments.kwarg):
            return UNKNOWN
        owner = self._owner_class(function)
        names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
        index = names.index(binding.name) if binding.name in names else None
        if owner is not None and index == 0 and not _is_static(function):
            return Symbol("self")
        calls, seen_elsewhere = self._calls_of(function, owner)
        default = self.default(function, binding.name)
        if not calls:
            return UNKNOWN
        if owner is not None and index is not None and not _is_static(function):
            index -= 1
        values = []
        for call in calls:
            value = call.argument(binding.name, index)
            values.append(default if value is ABSENT else value)
        return choice([*values, UNKNOWN] if seen_elsewhere else values)

    def _owner_class(self, function: ast.AST) -> ast.ClassDef | None:
        parent = self._resolver.structure.scopes[function].parent
        return parent.node if parent is not None and isinstance(parent.node, ast.ClassDef) else None

    def default(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Value:
        """The default of a parameter, UNKNOWN where it has none."""
        arguments = function.args
        block = self._resolver.structure.scopes[function].block
        assert block is not None
        assert block.parent is not None
        plain = [*arguments.posonlyargs, *arguments.args]
        offset = len(plain) - len(arguments.defaults)
        for index, argument in enumerate(plain):
            if argument.arg == name and index >= offset:
                return self._resolver.evaluate(arguments.defaults[index - offset], block.parent)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if argument.arg == name and default is not None:
                return self._resolver.evaluate(default, block.parent)
        return UNKNOWN

    def _calls_of(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef | None
    ) -> tuple[list[Call], bool]:
        """The calls of a function, and whether it is also used in a way that cannot be followed."""
        name = owner.name if owner is not None and function.name == "__init__" else function.name
        by_name = self._resolver.calls_by_written_name.get(name, [])
        calls = [call for call in by_name if self._targets(call, function, owner)]
        uses = self._resolver.structure.uses[name]
        return calls, uses > len(by_name) or bool(function.decorator_list and owner is None)

    def _targets(self, call: Call, function: ast.AST, owner: ast.ClassDef | None) -> bool:
        if owner is not None and isinstance(call.node.func, ast.Attribute):
            return True  # by the method's name: receivers are rarely known
        return any(
            isinstance(option, Function | Class) and option.node in (function, owner) for option in options(call.callee)
        )

    def returned(self, function: Function) -> Value:
        """What a call of a function gives back, as far as nothing around the function changes that."""
        decorators = getattr(function.node, "decorator_list", [])
        if function.scope.is_generator or not all(_last_name(d) in _TRANSPARENT for d in decorators):
            return UNKNOWN
        return self.result(function)

    def result(self, function: Function) -> Value:
        """What the function itself returns, its decorators left aside."""
        live = [(n, b) for n, b in function.scope.returns if b.kind != "dead" and self._resolver.is_live(b)]
        results = [Constant(None) if n is None else self._resolver.evaluate(n, b) for n, b in live]
        if falls_off(function.node):
            results.append(Constant(None))
        return choice(results)


def _last_name(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _is_static(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
