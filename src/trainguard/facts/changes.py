"""What an error handler changes about the run: each option or argument that gets another value, old and new."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.handlers import calls_in, local_functions
from trainguard.facts.structure import Binding, Handler, Position, position
from trainguard.facts.values import ABSENT, UNKNOWN, Value, choice
from trainguard.findings import Location

if TYPE_CHECKING:
    from trainguard.facts.script import ScriptFacts


@dataclass(frozen=True, slots=True)
class Change:
    """`name` is given `new` in a handler, where it is `old` elsewhere (ABSENT if it is given nowhere else).

    `shrinks` says that the new value is a part of the old one, whatever that is: `max_length //= 2`.
    """

    name: str
    old: Value
    new: Value
    where: Location
    shrinks: bool = False


class Region:
    """The statements that run because of a failure; everything else of the script is outside."""

    def __init__(self, script: ScriptFacts, handler: Handler, statements: list[ast.stmt]) -> None:
        self.script = script
        self.handler = handler
        self.statements = statements
        self._spans: list[tuple[Position, Position]] = [
            (position(s), (s.end_lineno or 0, s.end_col_offset or 0)) for s in statements
        ]

    def holds(self, at: Position) -> bool:
        return any(start <= at < end for start, end in self._spans)

    def calls(self) -> Iterator[Call]:
        return calls_in(self.script, self.statements)

    def calls_outside(self) -> Iterator[Call]:
        return (call for call in self.script.calls if not self.holds(position(call.node)) and call.live)

    def changes(self) -> Iterator[Change]:
        """All options, arguments and names that the region gives a value of their own."""
        yield from self._arguments()
        yield from self._attributes()
        yield from self._assignments()

    # -- arguments of calls ------------------------------------------------------

    def _arguments(self) -> Iterator[Change]:
        outside: list[Call] | None = None
        for call in self.calls():
            given = self._named_arguments(call)
            if not given:
                continue
            outside = list(self.calls_outside()) if outside is None else outside
            twins = [each for each in outside if _is_same_callee(each, call)]
            for name, (value, where) in given.items():
                old = [self._value_in(each, name) for each in twins]
                yield Change(name, choice(old) if old else UNKNOWN, value, where)

    def _named_arguments(self, call: Call) -> dict[str, tuple[Value, Location]]:
        given = {name: (value, call.argument_location(name)) for name, value in call.keywords.items()}
        for name, index in _parameters(call):
            if index < call.positional_count:
                given[name] = (call.positional(index), call.argument_location(name, index))
        return given

    def _value_in(self, call: Call, name: str) -> Value:
        index = next((i for parameter, i in _parameters(call) if parameter == name), None)
        value = call.argument(name, index)
        if value is not ABSENT:
            return value
        for function in local_functions(call):
            if not isinstance(function.node, ast.Lambda):
                return self._default(function.node, name)
        return ABSENT

    def _default(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Value:
        arguments = function.args
        plain = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(plain[len(plain) - len(arguments.defaults) :], arguments.defaults, strict=True))
        pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
        for argument, default in pairs:
            if argument.arg == name:
                return self.script.resolver.evaluate(
                    default, self.script.structure.scopes[function].block or self.handler.block
                )
        return UNKNOWN

    # -- assignments ---------------------------------------------------------------

    def _attributes(self) -> Iterator[Change]:
        """`args.max_length = 512`: the old value is what calls outside give for that name."""
        resolver = self.script.resolver
        for name, stores in self.script.structure.attribute_stores.items():
            inside = [store for store in stores if self.holds(store.position) and resolver.is_live(store.block)]
            for store in inside:
                if store.value is None:
                    continue
                old = [call.keywords[name] for call in self.calls_outside() if name in call.keywords]
                old += [resolver.evaluate(s.value, s.block) for s in stores if s.value is not None and s not in inside]
                yield Change(
                    name,
                    choice(old) if old else UNKNOWN,
                    resolver.evaluate(store.value, store.block),
                    resolver.location(store.node),
                    shrinks=_halves(store.value, name),
                )

    def _assignments(self) -> Iterator[Change]:
        resolver = self.script.resolver
        for scope in self.script.structure.scopes.values():
            for name, bindings in scope.bindings.items():
                for binding in bindings:
                    if (
                        binding.value is None
                        or not self.holds(binding.position)
                        or binding.kind not in ("assign", "other")
                    ):
                        continue
                    old = [self._bound(b) for b in bindings if not self.holds(b.position)]
                    augmented = isinstance(binding.node, ast.AugAssign)
                    new = UNKNOWN if augmented else resolver.evaluate(binding.value, binding.block)
                    yield Change(
                        name,
                        choice(old) if old else UNKNOWN,
                        new,
                        resolver.location(binding.node),
                        shrinks=_halves(binding.value, name) or _is_halving(binding.node),
                    )

    def _bound(self, binding: Binding) -> Value:
        if binding.kind == "assign" and binding.value is not None:
            return self.script.resolver.evaluate(binding.value, binding.block)
        return UNKNOWN


def _is_same_callee(a: Call, b: Call) -> bool:
    if a.written_name != b.written_name:
        return False
    return {f.node for f in local_functions(a)} == {f.node for f in local_functions(b)}


def _parameters(call: Call) -> list[tuple[str, int]]:
    """The names and places of the parameters of a function of the script."""
    for function in local_functions(call):
        if not isinstance(function.node, ast.Lambda):
            arguments = [a.arg for a in [*function.node.args.posonlyargs, *function.node.args.args]]
            return [(name, index) for index, name in enumerate(arguments)]
    return []


def _halves(node: ast.expr, name: str) -> bool:
    """`max_length // 2`, `max(128, args.max_length // 2)`: less than the value that it starts from."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("max", "int") and node.args:
        return any(_halves(argument, name) for argument in node.args)
    if not isinstance(node, ast.BinOp):
        return False
    starts = node.left.id if isinstance(node.left, ast.Name) else getattr(node.left, "attr", "")
    return starts == name and _makes_less(node.op, node.right)


def _is_halving(node: ast.AST) -> bool:
    return isinstance(node, ast.AugAssign) and _makes_less(node.op, node.value)


def _makes_less(operator: ast.operator, operand: ast.expr) -> bool:
    if not isinstance(operand, ast.Constant) or not isinstance(operand.value, int | float):
        return False
    if isinstance(operator, ast.FloorDiv | ast.Div):
        return operand.value > 1
    return isinstance(operator, ast.Mult) and 0 < operand.value < 1
