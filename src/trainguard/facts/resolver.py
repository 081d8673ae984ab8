"""What the names and expressions of a script stand for, as far as reading can tell.

A small abstract interpreter: flow-sensitive within a scope (the last binding that certainly ran, and
those that may have run since), flow-insensitive across scopes. It never runs anything of the script.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from trainguard.facts import literals, liveness
from trainguard.facts.attributes import Attributes
from trainguard.facts.calls import Call
from trainguard.facts.classes import MAX_ANCESTORS
from trainguard.facts.containers import Containers
from trainguard.facts.functions import Functions
from trainguard.facts.parsers import Parsers
from trainguard.facts.reaching import Use, reaching, use_in
from trainguard.facts.source import Source
from trainguard.facts.structure import Binding, Block, Position, Scope, Structure, position
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Class,
    Constant,
    Function,
    Instance,
    Items,
    Member,
    ParsedArguments,
    Partial,
    Symbol,
    Table,
    Value,
    choice,
    options,
    text,
    truth,
)
from trainguard.findings import Location

# How deep expressions and bindings are followed; real scripts stay below ten.
_MAX_DEPTH = 40
# A name that is bound more often than this in one scope is generated: each use would look at every binding.
_MAX_BINDINGS = 100
# Methods that give back the object they are called on.
_FLUENT = {"to", "cuda", "cpu", "eval", "half", "float", "bfloat16", "requires_grad_", "copy", "resolve", "expanduser"}


class Resolver:
    """Answers what a name or expression is. `arguments` is the command line of the script, None if not known."""

    def __init__(self, structure: Structure, source: Source, arguments: Sequence[str] | None = None) -> None:
        self.structure = structure
        self.source = source
        self.arguments = tuple(arguments) if arguments is not None else None
        self.calls: list[Call] = [Call(raw.node, raw.block, self) for raw in structure.calls]
        self._call_of_node = {call.node: call for call in self.calls}
        self._memo: dict[ast.AST, Value] = {}
        self._locations: dict[ast.AST, Location] = {}
        self._busy: set[ast.AST] = set()
        self._live: dict[Block, bool] = {}
        self._depth = 0
        self.attributes = Attributes(self)
        self.containers = Containers(self)
        self.functions = Functions(self)
        self.parsers = Parsers(self)

    # -- places --------------------------------------------------------------

    @cached_property
    def _lines(self) -> list[str]:
        return self.source.text.split("\n")

    def location(self, node: ast.AST) -> Location:
        """Where a node stands, columns counted in characters."""
        found = self._locations.get(node)
        if found is None:
            found = self._locations[node] = self._location(node)
        return found

    def _location(self, node: ast.AST) -> Location:
        line, column = position(node)
        end_line = getattr(node, "end_lineno", None)
        end_column = getattr(node, "end_col_offset", None)
        end = self._characters(end_line, end_column) + 1 if end_line and end_column is not None else None
        return self.source.location(line, self._characters(line, column) + 1, end_line, end)

    def _characters(self, line: int, byte_offset: int) -> int:
        text = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        if text.isascii():
            return byte_offset
        return len(text.encode("utf-8", "surrogatepass")[:byte_offset].decode("utf-8", "ignore"))

    # -- calls by name -------------------------------------------------------

    @cached_property
    def calls_by_written_name(self) -> dict[str, list[Call]]:
        """The calls of the script by the last name of what is called, as written."""
        table: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            table[call.written_name].append(call)
        return table

    def call_of(self, node: ast.Call, block: Block) -> Call:
        return self._call_of_node.get(node) or Call(node, block, self)

    # -- what runs -----------------------------------------------------------

    @cached_property
    def live_scopes(self) -> frozenset[Scope]:
        return liveness.live_scopes(self.structure)

    def is_live(self, block: Block) -> bool:
        """False where it is certain that the statements of `block` never run."""
        if block not in self._live:
            self._live[block] = True  # asked again while being judged: cannot tell
            self._live[block] = self._judge_live(block)
        return self._live[block]

    def _judge_live(self, block: Block) -> bool:
        if block.scope not in self.live_scopes or block.kind == "dead":
            return False
        owner = block.owner
        if block.kind in ("if", "else") and isinstance(owner, ast.If | ast.IfExp) and block.parent is not None:
            verdict = truth(self.evaluate(owner.test, block.parent))
            if verdict is (block.kind == "else"):
                return False
        if block.kind == "loop" and isinstance(owner, ast.While) and block.parent is not None:
            return truth(self.evaluate(owner.test, block.parent)) is not False and self.is_live(block.parent)
        return block.parent is None or self.is_live(block.parent)

    # -- expressions ---------------------------------------------------------

    def evaluate(self, node: ast.expr, block: Block) -> Value:
        """What an expression is known to be. Never raises."""
        if isinstance(node, ast.Constant):
            return Constant(node.value) if node.value is not ... else UNKNOWN
        if node in self._memo:
            return self._memo[node]
        if node in self._busy or self._depth > _MAX_DEPTH:
            return UNKNOWN
        self._busy.add(node)
        self._depth += 1
        try:
            value = self._evaluate(node, block)
        except RecursionError:
            value = UNKNOWN
        finally:
            self._depth -= 1
            self._busy.discard(node)
        if not self._busy or value is not UNKNOWN:
            self._memo[node] = value
        return value

    def _evaluate(self, node: ast.expr, block: Block) -> Value:
        block = self._inner_block(node, block)
        if isinstance(node, ast.Name):
            return self._name(node, block)
        if isinstance(node, ast.Attribute):
            return self.attributes.attribute(self.evaluate(node.value, block), node.attr, node, block)
        if isinstance(node, ast.Call):
            return self._called(self.call_of(node, block))
        if isinstance(node, ast.Lambda):
            return Function(node, self.structure.scopes[node])
        if isinstance(node, ast.IfExp):
            verdict = truth(self.evaluate(node.test, block))
            kept = [node.body] if verdict else [node.orelse] if verdict is False else [node.body, node.orelse]
            return choice([self.evaluate(part, block) for part in kept])
        if isinstance(node, ast.BoolOp):
            return self._bool_op(node, block)
        if isinstance(node, ast.Await | ast.NamedExpr):
            return self.evaluate(node.value, block)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, block)
        return literals.evaluate(node, lambda part: self.evaluate(part, block))

    def _inner_block(self, node: ast.AST, block: Block) -> Block:
        """The block that a node stands in, where it is known better than by the caller."""
        return self.structure.expressions.get(node, block)

    def _bool_op(self, node: ast.BoolOp, block: Block) -> Value:
        stop_at = isinstance(node.op, ast.Or)
        kept: list[Value] = []
        for index, part in enumerate(node.values):
            value = self.evaluate(part, block)
            verdict = truth(value)
            last = index == len(node.values) - 1
            if last or verdict is stop_at:
                return choice([*kept, value])
            if verdict is None:
                kept.extend(o for o in options(value) if truth(o) is not (not stop_at))
        return choice(kept)

    def _subscript(self, node: ast.Subscript, block: Block) -> Value:
        owner = self.evaluate(node.value, block)
        key = self.evaluate(node.slice, block)
        return choice([literals.item(option, key) for option in options(owner)])

    # -- names ---------------------------------------------------------------

    def _name(self, node: ast.Name, block: Block) -> Value:
        return self.lookup(node.id, block, position(node))

    def lookup(self, name: str, block: Block, at: Position) -> Value:
        """What `name` stands for in `block` at a place; a Symbol of that bare name if nothing binds it."""
        scope: Scope | None = block.scope
        first = True
        while scope is not None:
            if name in scope.bindings and (first or scope.kind != "class") and name not in scope.outer_names:
                return self.bound(name, use_in(scope, block, at))
            first = first and scope.kind == "comprehension"
            scope = scope.parent
        if self.structure.star_imports:
            return Symbol(name)
        return Symbol(f"builtins.{name}") if literals.is_builtin(name) else Symbol(name)

    def bound(self, name: str, use: Use) -> Value:
        """What a name that a scope binds stands for where it is used."""
        bindings = use.scope.bindings[name]
        if len(bindings) > _MAX_BINDINGS:
            return UNKNOWN
        values: list[Value] = []
        for binding in reaching(bindings, use, self.is_live):
            value = self._binding_value(binding)
            values.append(self.containers.apply(value, name, binding, use))
        if use.scope.kind == "module" and self._is_set_from_outside:
            values += [UNKNOWN] * all(isinstance(value, Constant) for value in values)
        return choice(values)

    @cached_property
    def _is_set_from_outside(self) -> bool:
        """Whether other text sets names of the script: `exec(open("conf.py").read())`, `globals().update(…)`."""
        if any(len(call.node.args) == 1 for call in self.calls_by_written_name.get("exec", [])):
            return True
        return any(isinstance(base, ast.Call) and _is_globals(base) for base in self.containers.changed)

    def _binding_value(self, binding: Binding) -> Value:
        if binding.kind == "assign" and binding.value is not None:
            return self.evaluate(binding.value, binding.block)
        if binding.kind == "import":
            return Symbol(binding.path or binding.name)
        if binding.kind == "def" and isinstance(binding.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return Function(binding.node, self.structure.scopes[binding.node])
        if binding.kind == "class" and isinstance(binding.node, ast.ClassDef):
            return Class(binding.node, self.structure.scopes[binding.node])
        if binding.kind == "parameter":
            return self.functions.parameter(binding)
        if binding.kind == "unpack" and binding.value is not None:
            return self._unpacked(binding)
        if binding.kind == "with" and binding.value is not None:
            return self.evaluate(binding.value, binding.block)
        if binding.kind == "loop" and binding.value is not None:
            whole = self.evaluate(binding.value, binding.block)
            if isinstance(whole, Items) and whole.complete:
                return choice(list(whole.items))
        if isinstance(binding.node, ast.AugAssign):
            return self._augmented(binding, binding.node)
        return UNKNOWN

    def _augmented(self, binding: Binding, node: ast.AugAssign) -> Value:
        if not isinstance(node.target, ast.Name):
            return UNKNOWN
        if node in self._memo or node in self._busy:
            return self._memo.get(node, UNKNOWN)
        # Kept even where a part was being judged: in loops, one `x += …` after another would double the work.
        self._busy.add(node)
        before = self.lookup(node.target.id, binding.block, position(node))
        self._memo[node] = literals.binary(node.op, before, self.evaluate(node.value, binding.block))
        self._busy.discard(node)
        return self._memo[node]

    def _unpacked(self, binding: Binding) -> Value:
        assert binding.value is not None
        assert binding.index is not None
        whole = self.evaluate(binding.value, binding.block)
        return choice([_unpack(option, binding.index) for option in options(whole)])

    # -- calls ---------------------------------------------------------------

    def _called(self, call: Call) -> Value:
        return choice([self._called_one(call, option) for option in options(call.callee)])

    def _called_one(self, call: Call, callee: Value) -> Value:
        if isinstance(callee, Function):
            return self.functions.returned(callee)
        if isinstance(callee, Member):
            if callee.name in _FLUENT and not isinstance(callee.owner, Constant):
                return callee.owner
            if callee.name.startswith("parse_"):
                parsed = self.parsers.parsed(call)
                if parsed is not None:
                    return parsed
            return literals.method(callee.owner, callee.name, call) or Instance(call)
        if isinstance(callee, Symbol):
            if callee.name == "partial" and callee.package in ("functools", "partial"):
                return Partial(call.positional(0), call)
            if callee.path == "builtins.getattr" and (name := text(call.positional(1))) is not None:
                found = self.attributes.attribute(call.positional(0), name, call.node, call.block)
                return found if call.positional_count == 2 else choice([found, call.positional(2)])
            if callee.name in ("asdict", "vars") and call.positional_count == 1:
                return self._as_table(call.positional(0))
            if callee.name in ("deepcopy", "copy") and call.positional_count == 1:
                return call.positional(0)
            return literals.function(callee, call) or Instance(call)
        return Instance(call)

    def _as_table(self, value: Value) -> Value:
        if isinstance(value, ParsedArguments):
            return self.parsers.table(value)
        if isinstance(value, Instance) and (fields := self.attributes.class_of(value.call)) is not None:
            names = [name for name in fields.scope.bindings if not name.startswith("__")]
            return Table({name: self.attributes.attribute(value, name) for name in names})
        return UNKNOWN

    def class_default(self, call: Call, name: str) -> Value:
        """What a class of the script that is called sets for a field of its own; ABSENT if it sets nothing."""
        local = self.attributes.class_of(call)
        value = self.attributes.class_attribute(local, name) if local is not None else ABSENT
        return ABSENT if isinstance(value, Member) else value

    def entry_node(self, node: ast.expr, key: str, block: Block) -> ast.AST | None:
        """Where the entry `key` of a dict that is spread with `**` was written, if that can be told."""
        for store in self.structure.item_stores.get(key, []):
            if isinstance(store.base, ast.Name) and isinstance(node, ast.Name) and store.base.id == node.id:
                return store.value or store.node
        seen: set[ast.expr] = set()
        while isinstance(node, ast.Name) and node not in seen:
            seen.add(node)
            found = self._single_value(node.id, block)
            if found is None:
                return None
            node = found
        return literals.entry_node(node, key)

    def _single_value(self, name: str, block: Block) -> ast.expr | None:
        scope: Scope | None = block.scope
        while scope is not None:
            if name in scope.bindings:
                values = [b.value for b in scope.bindings[name] if b.kind == "assign" and b.value is not None]
                return values[-1] if values else None
            scope = scope.parent
        return None

    # -- classes -------------------------------------------------------------

    def means_itself(self, attribute: str) -> bool:
        """Whether `x.attribute` is called by that name alone: nothing of the script is stored or defined under it."""
        return attribute not in self.structure.attribute_stores and attribute not in self._names_in_classes

    @cached_property
    def _names_in_classes(self) -> frozenset[str]:
        scopes = self.structure.scopes.values()
        return frozenset(name for scope in scopes if scope.kind == "class" for name in scope.bindings)

    def names_of(self, value: Value) -> set[str]:
        """The last names of all that a callable may be, and of the ancestors of a class of the script."""
        if isinstance(value, Symbol):  # as nearly all are
            return {value.name}
        names: set[str] = set()
        pending = list(options(value))
        seen: set[ast.AST] = set()
        while pending:
            option = pending.pop()
            if isinstance(option, Partial):
                pending.extend(options(option.target))
            elif isinstance(option, Symbol | Member):
                names.add(option.name)
            elif isinstance(option, Class) and option.node not in seen and len(seen) < MAX_ANCESTORS:
                seen.add(option.node)
                names.add(option.node.name)
                pending.extend(self.bases(option))
            elif isinstance(option, Function) and not isinstance(option.node, ast.Lambda):
                names.add(option.node.name)
        return names

    def bases(self, owner: Class) -> list[Value]:
        """What a class of the script derives from."""
        block = owner.scope.block.parent if owner.scope.block is not None else None
        if block is None:
            return []
        return [option for base in owner.node.bases for option in options(self.evaluate(base, block))]


def _is_globals(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("globals", "vars", "locals")


def _unpack(whole: Value, index: int) -> Value:
    """The value at `index` of what is unpacked; the items in front of an open end are known too."""
    if isinstance(whole, Items) and index < len(whole.items):
        return whole.items[index]
    return UNKNOWN
