"""What the names and expressions of a script stand for, as far as reading can tell.

A small abstract interpreter: flow-sensitive within a scope (the last binding that certainly ran, and
those that may have run since), flow-insensitive across scopes. It never runs anything of the script.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from trainguard.facts import liveness, literals
from trainguard.facts.calls import Call
from trainguard.facts.parsers import Parsers
from trainguard.facts.source import Source
from trainguard.facts.structure import Binding, Block, Position, Scope, Store, Structure, position
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Choice,
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
    truth,
)
from trainguard.findings import Location

# How deep expressions and bindings are followed; real scripts stay below ten.
_MAX_DEPTH = 40
# A dict or list that is changed in more places than this is data, not options.
_MAX_MUTATIONS = 200
# Methods that give back the object they are called on.
_FLUENT = {"to", "cuda", "cpu", "eval", "half", "float", "bfloat16", "requires_grad_", "copy", "resolve", "expanduser"}


@dataclass(frozen=True, slots=True)
class _Mutation:
    """A change of a named dict or list: `entries` set, or `items` appended. `unknown` if it cannot be told."""

    position: Position
    block: Block
    entries: Table | None = None
    items: Items | None = None
    unknown: bool = False


class Resolver:
    """Answers what a name or expression is. `arguments` is the command line of the script, None if not known."""

    def __init__(self, structure: Structure, source: Source, arguments: Sequence[str] | None = None) -> None:
        self.structure = structure
        self.source = source
        self.arguments = tuple(arguments) if arguments is not None else None
        self.calls: list[Call] = [Call(raw.node, raw.block, self) for raw in structure.calls]
        self._call_of_node = {call.node: call for call in self.calls}
        self._memo: dict[ast.AST, Value] = {}
        self._busy: set[ast.AST] = set()
        self._live: dict[Block, bool] = {}
        self._depth = 0

    # -- places --------------------------------------------------------------

    @cached_property
    def _lines(self) -> list[str]:
        return self.source.text.split("\n")

    def location(self, node: ast.AST) -> Location:
        """Where a node stands, columns counted in characters."""
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
        if block.kind in ("if", "else") and isinstance(owner, ast.If) and block.parent is not None:
            verdict = truth(self.evaluate(owner.test, block.parent))
            if verdict is (block.kind == "else"):
                return False
        if block.kind == "loop" and isinstance(owner, ast.While) and block.parent is not None:
            if truth(self.evaluate(owner.test, block.parent)) is False:
                return False
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
            return self.attribute(self.evaluate(node.value, block), node.attr, node, block)
        if isinstance(node, ast.Call):
            call = self._call_of_node.get(node) or Call(node, block, self)
            return self._called(call)
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
                return self._bound(name, scope, block if first else None, at if first else None)
            first = first and scope.kind == "comprehension"
            if first and scope.block is not None and scope.block.parent is not None:
                block = scope.block.parent
            scope = scope.parent
        if self.structure.star_imports:
            return Symbol(name)
        return Symbol(f"builtins.{name}") if literals.is_builtin(name) else Symbol(name)

    def _bound(self, name: str, scope: Scope, block: Block | None, at: Position | None) -> Value:
        bindings = self._reaching(scope.bindings[name], block, at)
        values: list[Value] = []
        for binding in bindings:
            value = self._binding_value(binding)
            values.append(self._mutated(value, name, binding, scope, block, at))
        return choice(values)

    def _reaching(self, bindings: list[Binding], block: Block | None, at: Position | None) -> list[Binding]:
        """The bindings that a use at `at` may see; `block` None means a use from another scope, later."""
        if len(bindings) == 1:
            return bindings
        live = [b for b in bindings if self.is_live(b.block) or b.kind == "parameter"] or bindings
        scope_block = live[0].block.scope.block
        around = set(block.ancestors()) if block is not None else {scope_block}
        before = [b for b in live if at is None or b.position < at]
        last = max((i for i, b in enumerate(before) if _plain(b.block) in around), default=None)
        candidates = before if last is None else before[last:]
        if block is not None:
            candidates = [b for b in candidates if not _excluded(b.block, block)]
            loops = [a for a in block.ancestors() if a.kind == "loop"]
            later = [b for b in live if at is not None and b.position >= at]
            candidates += [b for b in later if any(loop in b.block.ancestors() for loop in loops)]
        return candidates or live

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
            return self._parameter(binding)
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
        before = self.lookup(node.target.id, binding.block, position(node))
        return literals.binary(node.op, before, self.evaluate(node.value, binding.block))

    def _unpacked(self, binding: Binding) -> Value:
        assert binding.value is not None and binding.index is not None
        whole = self.evaluate(binding.value, binding.block)
        return choice([_unpack(option, binding.index) for option in options(whole)])

    # -- parameters and results ----------------------------------------------

    def _parameter(self, binding: Binding) -> Value:
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
        default = self._default(function, binding.name)
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
        parent = self.structure.scopes[function].parent
        return parent.node if parent is not None and isinstance(parent.node, ast.ClassDef) else None

    def _default(self, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Value:
        arguments = function.args
        block = self.structure.scopes[function].block
        assert block is not None and block.parent is not None
        plain = [*arguments.posonlyargs, *arguments.args]
        offset = len(plain) - len(arguments.defaults)
        for index, argument in enumerate(plain):
            if argument.arg == name and index >= offset:
                return self.evaluate(arguments.defaults[index - offset], block.parent)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if argument.arg == name and default is not None:
                return self.evaluate(default, block.parent)
        return UNKNOWN

    def _calls_of(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef | None
    ) -> tuple[list[Call], bool]:
        """The calls of a function, and whether it is also used in a way that cannot be followed."""
        name = owner.name if owner is not None and function.name == "__init__" else function.name
        by_name = self.calls_by_written_name.get(name, [])
        calls = [call for call in by_name if self._targets(call, function, owner)]
        uses = self.structure.uses[name]
        return calls, uses > len(by_name) or bool(function.decorator_list and owner is None)

    def _targets(self, call: Call, function: ast.AST, owner: ast.ClassDef | None) -> bool:
        if owner is not None and isinstance(call.node.func, ast.Attribute):
            return True  # by the method's name: receivers are rarely known
        return any(
            isinstance(option, Function | Class) and option.node in (function, owner) for option in options(call.callee)
        )

    @cached_property
    def calls_by_written_name(self) -> dict[str, list[Call]]:
        table: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            table[call.written_name].append(call)
        return table

    def _returned(self, function: Function) -> Value:
        scope = function.scope
        results = [(n, b) for n, b in scope.returns if b.kind != "dead" and self.is_live(b)]
        if not results:
            return Constant(None) if not scope.returns and not isinstance(function.node, ast.Lambda) else UNKNOWN
        return choice([Constant(None) if n is None else self.evaluate(n, b) for n, b in results])

    # -- calls ---------------------------------------------------------------

    def _called(self, call: Call) -> Value:
        return choice([self._called_one(call, option) for option in options(call.callee)])

    def _called_one(self, call: Call, callee: Value) -> Value:
        if isinstance(callee, Function) and not self._is_generator(callee):
            return self._returned(callee)
        if isinstance(callee, Member):
            if callee.name in _FLUENT and not isinstance(callee.owner, Constant):
                return callee.owner
            if callee.name.startswith("parse_"):
                parsed = self._parsers.parsed(call)
                if parsed is not None:
                    return parsed
            return literals.method(callee.owner, callee.name, call) or Instance(call)
        if isinstance(callee, Symbol):
            if callee.name == "partial" and callee.package in ("functools", "partial"):
                return Partial(call.positional(0), call)
            if callee.name in ("asdict", "vars") and call.positional_count == 1:
                return self._as_table(call.positional(0))
            if callee.name in ("deepcopy", "copy") and call.positional_count == 1:
                return call.positional(0)
            return literals.function(callee, call) or Instance(call)
        return Instance(call)

    def _is_generator(self, function: Function) -> bool:
        body = getattr(function.node, "body", [])
        return isinstance(body, list) and any(
            isinstance(s, ast.Expr) and isinstance(s.value, ast.Yield | ast.YieldFrom) for s in body
        )

    def _as_table(self, value: Value) -> Value:
        if isinstance(value, ParsedArguments):
            return self._parsers.table(value)
        if isinstance(value, Instance) and (fields := self._class_of(value.call)) is not None:
            names = [name for name in fields.scope.bindings if not name.startswith("__")]
            return Table({name: self._instance_attribute(value, name) for name in names})
        return UNKNOWN

    @cached_property
    def _parsers(self) -> Parsers:
        return Parsers(self)

    def option_value(self, parsed: ParsedArguments, name: str) -> Value:
        """An option of a parsed command line: given, else its default, else UNKNOWN."""
        return self._parsers.value(parsed, name)

    def class_default(self, call: Call, name: str) -> Value:
        """What a class of the script that is called sets for a field of its own; ABSENT if it sets nothing."""
        local = self._class_of(call)
        value = self._class_attribute(local, name) if local is not None else ABSENT
        return ABSENT if isinstance(value, Member) else value

    # -- attributes ----------------------------------------------------------

    def attribute(self, owner: Value, name: str, node: ast.expr | None = None, block: Block | None = None) -> Value:
        """`owner.name`: of a module, an instance, a parsed command line, a class of the script."""
        if isinstance(owner, Choice):
            return choice([self.attribute(option, name, node, block) for option in owner.choices])
        if isinstance(owner, Symbol):
            if owner.path == "self" and block is not None:
                return self._self_attribute(name, block)
            return Symbol(f"{owner.path}.{name}")
        if isinstance(owner, Instance):
            return self._instance_attribute(owner, name)
        if isinstance(owner, ParsedArguments):
            stored = self._stores(owner, name)
            return choice([*stored, self._parsers.value(owner, name)]) if not stored else choice(stored)
        if isinstance(owner, Class):
            return self._class_attribute(owner, name)
        if isinstance(owner, Table) and name in owner.entries:
            return owner.entries[name]
        return Member(owner, name)

    def _class_of(self, call: Call) -> Class | None:
        return next((option for option in options(call.callee) if isinstance(option, Class)), None)

    def _self_attribute(self, name: str, block: Block) -> Value:
        scope: Scope | None = block.scope
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        if scope is None or not isinstance(scope.node, ast.ClassDef):
            return Member(Symbol("self"), name)
        return self._class_attribute(Class(scope.node, scope), name)

    def _class_attribute(self, owner: Class, name: str) -> Value:
        """An attribute of a class of the script or of `self` in it: class body, methods, `self.name = …`."""
        if name in owner.scope.bindings:
            return self._property(self._field_default(self._bound(name, owner.scope, None, None)))
        stores = [
            store
            for store in self.structure.attribute_stores.get(name, [])
            if isinstance(store.base, ast.Name) and self._method_class(store.block) is owner.node
        ]
        if stores:
            return choice([self._stored(store) for store in stores])
        for base in owner.node.bases:
            inherited = self.evaluate(base, owner.scope.block.parent)  # type: ignore[union-attr, arg-type]
            if isinstance(inherited, Class) and inherited.node is not owner.node:
                return self._class_attribute(inherited, name)
        return Member(Symbol("self"), name)

    def _property(self, value: Value) -> Value:
        """What a property gives back; any other value as it is."""
        decorators = getattr(value.node, "decorator_list", []) if isinstance(value, Function) else []
        if isinstance(value, Function) and any(_last_name(d) in ("property", "cached_property") for d in decorators):
            return self._returned(value)
        return value

    def _method_class(self, block: Block) -> ast.AST | None:
        scope: Scope | None = block.scope
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        return scope.node if scope is not None else None

    def _field_default(self, value: Value) -> Value:
        """`field(default=…)` and pydantic's `Field(…)` stand for their default."""
        if isinstance(value, Instance) and value.call.name in ("field", "Field", "HfArg"):
            default = value.call.argument("default", 0 if value.call.name == "Field" else None)
            factory = value.call.argument("default_factory")
            if isinstance(factory, Function):
                return self._returned(factory)
            if isinstance(factory, Symbol) and factory.name in ("list", "dict"):
                return Items(()) if factory.name == "list" else Table({})
            return default if default is not ABSENT else UNKNOWN
        return value

    def _instance_attribute(self, owner: Instance, name: str) -> Value:
        call = owner.call
        stored = self._stores(owner, name)
        if stored:
            return choice(stored)
        given = call.argument(name)
        if given is not ABSENT and given is not UNKNOWN:
            return given
        local = self._class_of(call)
        if local is not None:
            index = self._field_index(local, name)
            if index is not None and call.argument(name, index) is not ABSENT:
                return call.argument(name, index)
            found = self._class_attribute(local, name)
            return Member(owner, name) if isinstance(found, Member) else found
        return Member(owner, name)

    def _field_index(self, owner: Class, name: str) -> int | None:
        """The position of a dataclass field in its constructor."""
        if "__init__" in owner.scope.bindings:
            return None
        fields = [
            s.target.id
            for s in owner.node.body
            if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        ]
        return fields.index(name) if name in fields else None

    def stores_on(self, owner: Value, name: str) -> list[Store]:
        """The assignments `x.name = …` whose `x` is `owner`."""
        return [
            store
            for store in self.structure.attribute_stores.get(name, [])
            if self.is_live(store.block) and _is_one_of(owner, self.evaluate(store.base, store.block))
        ]

    def is_set_dynamically(self, owner: Value) -> bool:
        """Whether attributes of `owner` are set by names that cannot be told: `setattr(owner, key, value)`."""
        for call in self.calls_by_written_name.get("setattr", []):
            key = call.node.args[1] if len(call.node.args) == 3 else None
            if not isinstance(key, ast.Constant) and call.live and _is_one_of(owner, call.positional(0)):
                return True
        return False

    def _stores(self, owner: Value, name: str) -> list[Value]:
        return [self._stored(store) for store in self.stores_on(owner, name)]

    def _stored(self, store: Store) -> Value:
        return self.evaluate(store.value, store.block) if store.value is not None else UNKNOWN

    # -- dicts and lists that grow ---------------------------------------------

    @cached_property
    def _mutations(self) -> dict[str, list[_Mutation]]:
        table: dict[str, list[_Mutation]] = defaultdict(list)
        for stores in self.structure.item_stores.values():
            for store in stores:
                if isinstance(store.base, ast.Name):
                    entries = Table({store.key: self._stored(store)})
                    table[store.base.id].append(_Mutation(store.position, store.block, entries=entries))
        for method in ("update", "setdefault", "append", "extend"):
            for call in self.calls_by_written_name.get(method, []):
                if isinstance(call.node.func, ast.Attribute) and isinstance(call.node.func.value, ast.Name):
                    table[call.node.func.value.id].append(_mutation(method, call))
        return {name: sorted(found, key=lambda m: m.position) for name, found in table.items()}

    def _mutated(
        self, value: Value, name: str, binding: Binding, scope: Scope, block: Block | None, at: Position | None
    ) -> Value:
        if not isinstance(value, Table | Items) or name not in self._mutations:
            return value
        if len(self._mutations[name]) > _MAX_MUTATIONS:
            return UNKNOWN
        for mutation in self._mutations[name]:
            if mutation.block.scope is not scope and self._shadowed(name, mutation.block.scope, scope):
                continue
            same = mutation.block.scope is scope
            if same and not (binding.position < mutation.position and (at is None or mutation.position < at)):
                continue
            if not self.is_live(mutation.block):
                continue
            around = set(block.ancestors()) if block is not None else {scope.block}
            value = _apply(value, mutation, certain=same and _plain(mutation.block) in around)
        return value

    def _shadowed(self, name: str, inner: Scope, outer: Scope) -> bool:
        scope: Scope | None = inner
        while scope is not None and scope is not outer:
            if name in scope.bindings:
                return True
            scope = scope.parent
        return scope is None

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

    def names_of(self, value: Value) -> set[str]:
        """The last names of all that a callable may be, and of the ancestors of a class of the script."""
        names: set[str] = set()
        pending = list(options(value))
        seen: set[ast.AST] = set()
        while pending:
            option = pending.pop()
            if isinstance(option, Partial):
                pending.extend(options(option.target))
            elif isinstance(option, Symbol | Member):
                names.add(option.name)
            elif isinstance(option, Class) and option.node not in seen:
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


def _plain(block: Block) -> Block:
    """The block itself, or the one around it where a `with`, `finally` or `try-else` always runs through."""
    while block.kind in ("with", "finally", "try-else") and block.parent is not None:
        block = block.parent
    return block


def _excluded(binding: Block, use: Block) -> bool:
    """Whether a binding stands in the other branch of an `if` that the use stands in."""
    branches = {a.owner: a.kind for a in binding.ancestors() if a.kind in ("if", "else")}
    return any(a.kind in ("if", "else") and branches.get(a.owner, a.kind) != a.kind for a in use.ancestors())


def _unpack(whole: Value, index: int) -> Value:
    """The value at `index` of what is unpacked; the items in front of an open end are known too."""
    if isinstance(whole, Items) and index < len(whole.items):
        return whole.items[index]
    return UNKNOWN


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_static(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)


def _is_one_of(owner: Value, value: Value) -> bool:
    for option in options(value):
        if option is owner:
            return True
        if isinstance(option, Instance) and isinstance(owner, Instance) and option.call is owner.call:
            return True
        if isinstance(option, ParsedArguments) and isinstance(owner, ParsedArguments) and option == owner:
            return True
    return False


def _mutation(method: str, call: Call) -> _Mutation:
    at, block = position(call.node), call.block
    if method == "append":
        return _Mutation(at, block, items=Items((call.positional(0),)))
    if method == "extend":
        more = call.positional(0)
        return _Mutation(at, block, items=more if isinstance(more, Items) else None, unknown=not isinstance(more, Items))
    if method == "setdefault":
        key = call.positional(0)
        known = isinstance(key, Constant) and isinstance(key.value, str)
        entries = Table({key.value: choice([call.positional(1)])}) if known else None  # type: ignore[attr-defined]
        return _Mutation(at, block, entries=entries, unknown=not known)
    entries = dict(call.keywords)
    first = call.positional(0)
    unknown = call.may_have_more or not (first is ABSENT or (isinstance(first, Table) and first.complete))
    if isinstance(first, Table):
        entries = {**first.entries, **entries}
    return _Mutation(at, block, entries=Table(entries), unknown=unknown)


def _apply(value: Value, mutation: _Mutation, *, certain: bool) -> Value:
    if isinstance(value, Table):
        entries = dict(value.entries)
        for key, new in (mutation.entries.entries if mutation.entries else {}).items():
            entries[key] = new if certain else choice([entries.get(key, ABSENT), new])
        return Table(entries, value.complete and not mutation.unknown)
    if isinstance(value, Items):
        more = mutation.items.items if mutation.items else ()
        return Items((*value.items, *more), value.complete and certain and not mutation.unknown)
    return value
