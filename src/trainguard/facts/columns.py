"""Which columns the datasets of a script have, as far as reading can tell.

Followed from where a dataset is made (literals, a local file, a generator) or loaded, through the methods of
`datasets` 2.14 to 5.2, names and functions of the script, to the place where it is used.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from trainguard.facts import columns_makers, columns_removal
from trainguard.facts.calls import Call
from trainguard.facts.columns_files import FileFormat, columns_of_file
from trainguard.facts.columns_rows import of_function
from trainguard.facts.columns_schema import (
    Columns,
    Data,
    Origin,
    Removal,
    Rows,
    Splits,
    concatenated,
    joined,
    mapped,
    only,
    removed,
    renamed,
    unknown,
)
from trainguard.facts.reaching import reaching, use_in
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Binding, Block, Scope, position
from trainguard.facts.values import ABSENT, Function, Symbol, options, text, truth

# How many expressions are looked at for one dataset, and how deep; real scripts stay below a tenth of it.
_MAX_STEPS = 400
_MAX_DEPTH = 30

# Methods that leave the columns as they are.
_SAME_COLUMNS = frozenset(
    {"filter", "shuffle", "select", "shard", "take", "skip", "sort", "repeat", "flatten_indices", "with_format",
     "to_iterable_dataset", "cast", "cast_column", "class_encode_column", "align_labels_with_mapping"}
)  # fmt: skip
# Methods that change a dataset in place, or what its rows look like when they are read: with one of them in a script
# nothing is said of any dataset.
_IN_PLACE = frozenset({"set_transform", "with_transform", "set_format", "chdir", "exec", "eval"})

ReadFile = Callable[[str | None, str, FileFormat], Columns | None]
_Frame = dict[tuple[Scope, str], Data]


class DatasetColumns:
    """Answers which columns an expression's dataset has.

    `read_file` reads the columns of a file beside the script. `given` are the columns of the dataset that the script
    loads from a hub, where somebody has said them; taken where the script loads one only.
    """

    def __init__(
        self, script: ScriptFacts, *, read_file: ReadFile = columns_of_file, given: tuple[str, ...] | None = None
    ) -> None:
        self.script = script
        self.resolver = script.resolver
        self.read_file = read_file
        self._given = given
        self._frames: list[_Frame] = []
        self._busy: set[tuple[ast.AST, int]] = set()
        self._steps = 0

    def tables(self, node: ast.expr, block: Block) -> tuple[Columns, ...]:
        """The tables that an expression stands for: one, or all splits that it names."""
        if self._is_dynamic:
            return ()
        self._steps = 0
        data = self.read(node, block)
        return (data,) if isinstance(data, Columns) else tuple(data.tables.values())

    @cached_property
    def _is_dynamic(self) -> bool:
        return bool(self.script.mentions & _IN_PLACE)

    @cached_property
    def written_paths(self) -> tuple[str, ...]:
        """The paths that the script makes or writes to: what lies there now is not what it will read."""
        return columns_makers.written_paths(self)

    def is_changed(self, name: str) -> bool:
        return name in self._changed_names

    # -- expressions -----------------------------------------------------------

    def read(self, node: ast.expr, block: Block) -> Data:
        """What is known of the dataset that an expression is; never raises."""
        key = (node, len(self._frames))
        self._steps += 1
        if key in self._busy or self._steps > _MAX_STEPS or len(self._busy) > _MAX_DEPTH:
            return unknown(node)
        self._busy.add(key)
        try:
            return self._read(node, self.resolver.structure.expressions.get(node, block))
        finally:
            self._busy.discard(key)

    def _read(self, node: ast.expr, block: Block) -> Data:
        if isinstance(node, ast.Name):
            return self._name(node, block)
        if isinstance(node, ast.Call):
            return self._call(self.resolver.call_of(node, block))
        if isinstance(node, ast.Subscript):
            key = text(self.resolver.evaluate(node.slice, block))
            return self._split(self.read(node.value, block), key, node) if key is not None else unknown(node)
        if isinstance(node, ast.Dict):
            return self._dict(node, block)
        if isinstance(node, ast.IfExp):
            verdict = truth(self.resolver.evaluate(node.test, block))
            parts = [node.body] if verdict else [node.orelse] if verdict is False else [node.body, node.orelse]
            return one_of([self.read(part, block) for part in parts], node)
        if isinstance(node, ast.NamedExpr):
            return self.read(node.value, block)
        return unknown(node)

    def _split(self, data: Data, name: str, node: ast.expr) -> Data:
        if isinstance(data, Columns):
            # All splits of a loaded set have the same columns; of a table nothing is known but that this is a cell.
            return data if data.origins and not data.closed else unknown(node)
        found = data.tables.get(name, data.others)
        return found if found is not None else unknown(node)

    def _dict(self, node: ast.Dict, block: Block) -> Data:
        names = [text(self.resolver.evaluate(key, block)) if key is not None else None for key in node.keys]
        tables: dict[str, Columns] = {}
        for name, value in zip(names, node.values, strict=True):
            data = self.read(value, block)
            if name is None or isinstance(data, Splits):
                return unknown(node)
            tables[name] = data
        return Splits(tables) if tables else unknown(node)

    # -- names -----------------------------------------------------------------

    def _name(self, node: ast.Name, block: Block) -> Data:
        found = self._bindings(node, block)
        if found is None or node.id in self._changed_names:
            return unknown(("changed", node.id))
        return one_of([self._bound(binding) for binding in found], node)

    def _bindings(self, node: ast.Name, block: Block) -> list[Binding] | None:
        scope: Scope | None = block.scope
        first = True
        while scope is not None:
            if node.id in scope.bindings and (first or scope.kind != "class") and node.id not in scope.outer_names:
                bindings = scope.bindings[node.id]
                if len(bindings) > 20:
                    return None
                return reaching(bindings, use_in(scope, block, position(node)), self.resolver.is_live)
            first = first and scope.kind == "comprehension"
            scope = scope.parent
        return None

    def single_value(self, node: ast.Name, block: Block) -> tuple[ast.expr, Block] | None:
        """The expression that a name certainly stands for, and the block that it stands in."""
        found = self._bindings(node, block) or []
        if len(found) != 1 or found[0].kind != "assign" or found[0].value is None or node.id in self._changed_names:
            return None
        return found[0].value, found[0].block

    @cached_property
    def _changed_names(self) -> frozenset[str]:
        """Names of dicts that are changed after they were made: `splits["train"] = …`."""
        found = set()
        for base in self.resolver.containers.changed:
            root: ast.expr = base
            while isinstance(root, ast.Subscript):
                root = root.value
            if isinstance(root, ast.Name):
                found.add(root.id)
        return frozenset(found)

    def _bound(self, binding: Binding) -> Data:
        if binding.kind == "assign" and binding.value is not None:
            return self.read(binding.value, binding.block)
        if binding.kind == "unpack" and binding.value is not None and binding.index is not None:
            return self._element(binding.value, binding.index, binding)
        if binding.kind == "parameter":
            return self._parameter(binding)
        return unknown(binding.node)

    def _element(self, node: ast.expr, index: int, binding: Binding) -> Data:
        if isinstance(node, ast.Tuple | ast.List):
            plain = index < len(node.elts) and not any(isinstance(each, ast.Starred) for each in node.elts)
            return self.read(node.elts[index], binding.block) if plain else unknown(binding)
        if isinstance(node, ast.Call):
            call = self.resolver.call_of(node, binding.block)
            functions = [option for option in options(call.callee) if isinstance(option, Function)]
            if len(functions) == 1 == len(options(call.callee)):
                return self._through(call, functions[0], index)
        return unknown((binding.node, index))

    def _parameter(self, binding: Binding) -> Data:
        scope = binding.block.scope
        for frame in reversed(self._frames):
            if (scope, binding.name) in frame:
                return frame[scope, binding.name]
        function = scope.node
        origin: Origin = (scope, binding.name)
        if not isinstance(function, ast.FunctionDef) or (scope.parent is not None and scope.parent.kind == "class"):
            return unknown(origin)
        calls = [
            call
            for call in self.resolver.calls_by_written_name.get(function.name, [])
            if any(isinstance(option, Function) and option.node is function for option in options(call.callee))
        ]
        if not calls or self.resolver.structure.uses[function.name] > len(calls) or function.decorator_list:
            return unknown(origin)
        given = [argument_of(call, function, binding.name) for call in calls]
        if any(node is None for node in given):
            return unknown(origin)
        return one_of([self.read(n, c.block) for n, c in zip(given, calls, strict=True) if n is not None], origin)

    # -- calls -----------------------------------------------------------------

    def _call(self, call: Call) -> Data:
        callees = options(call.callee)
        functions = [option for option in callees if isinstance(option, Function)]
        if functions:
            return self._through(call, functions[0], None) if len(callees) == 1 else unknown(call.node)
        made = columns_makers.made(self, call)
        if made is not None:
            return made
        if call.written_name == "load_dataset" or call.name == "load_dataset":
            return self._hub(call)
        if call.name == "concatenate_datasets" and call.positional_count == 1:
            return self._concatenated(call)
        if isinstance(call.callee, Symbol) and call.callee.name == "DatasetDict" and call.node.args:
            return self.read(call.node.args[0], call.block)
        if isinstance(call.node.func, ast.Attribute):
            return self._method(call, call.node.func)
        return unknown(call.node)

    def _hub(self, call: Call) -> Data:
        loads = [each for each in self.resolver.calls_by_written_name.get("load_dataset", []) if each.live]
        if self._given is not None and len(loads) == 1:
            table = Columns(dict.fromkeys(self._given), source="the schema given with the check")
        else:
            table = unknown(call.node)
        return Splits({}, others=table) if call.argument("split") is ABSENT else table

    def _concatenated(self, call: Call) -> Data:
        listed = call.node.args[0]
        if not isinstance(listed, ast.List | ast.Tuple) or not listed.elts or call.keywords:
            return unknown(call.node)
        parts = [self.read(each, call.block) for each in listed.elts]
        tables = [part for part in parts if isinstance(part, Columns)]
        return concatenated(tables) if len(tables) == len(parts) else unknown(call.node)

    def _through(self, call: Call, function: Function, index: int | None) -> Data:
        """What a function of the script returns for a call."""
        node = function.node
        if isinstance(node, ast.Lambda | ast.AsyncFunctionDef) or node.decorator_list or function.scope.is_generator:
            return unknown(call.node)
        if len(self._frames) > 4:
            return unknown(call.node)
        frame: _Frame = {}
        for name in function.scope.bindings:
            given = argument_of(call, node, name)
            if given is not None:
                frame[function.scope, name] = self.read(given, call.block)
        self._frames.append(frame)
        try:
            live = [(value, at) for value, at in function.scope.returns if value is not None and self._is_live(at)]
            parts: list[Data] = []
            for value, at in live:
                part: ast.expr = value
                if index is not None:
                    if not isinstance(value, ast.Tuple) or index >= len(value.elts):
                        return unknown((call.node, index))
                    part = value.elts[index]
                parts.append(self.read(part, at))
            return one_of(parts, call.node) if parts else unknown(call.node)
        finally:
            self._frames.pop()

    def _is_live(self, block: Block) -> bool:
        return block.kind != "dead" and self.resolver.is_live(block)

    # -- methods ---------------------------------------------------------------

    def _method(self, call: Call, func: ast.Attribute) -> Data:
        name = func.attr
        if name == "with_format" and (len(call.node.args) > 1 or "columns" in call.keywords):
            return unknown(call.node)
        if name in _SAME_COLUMNS:
            data = self.read(func.value, call.block)
            return _retyped(data) if name.startswith("cast") else data
        if name == "train_test_split":
            data = self.read(func.value, call.block)
            return Splits({"train": data, "test": data}) if isinstance(data, Columns) else unknown(call.node)
        change = self._change(call, func)
        if change is None:
            return unknown(call.node)
        return on_each(self.read(func.value, call.block), change)

    def _change(self, call: Call, func: ast.Attribute) -> Callable[[Columns], Columns] | None:
        """What a method does to the columns of a table; None where that cannot be told."""
        if func.attr == "map":
            rows = self._rows(call)
            removal = columns_removal.removal(self, call, func.value, call.argument("remove_columns", 6))
            return lambda table: mapped(table, rows, removal, call.node) if rows is not None else unknown(call.node)
        if func.attr == "rename_column":
            old, new = text(call.argument("original_column_name", 0)), text(call.argument("new_column_name", 1))
            return (lambda table: renamed(table, {old: new})) if old and new else None
        if func.attr == "rename_columns":
            names = columns_removal.names_of_mapping(call.argument("column_mapping", 0))
            return (lambda table: renamed(table, names)) if names is not None else None
        if func.attr == "remove_columns":
            removal = columns_removal.removal(self, call, func.value, call.argument("column_names", 0))
            return lambda table: removed(table, removal)
        if func.attr == "select_columns":
            kept = columns_removal.listed(call.argument("column_names", 0))
            return (lambda table: only(table, kept)) if kept is not None else None
        if func.attr == "add_column":
            added = text(call.argument("name", 0))
            return (lambda table: mapped(table, Rows({added: None}), Removal(), call.node)) if added else None
        return None

    def _rows(self, call: Call) -> Rows | None:
        """What the function that is given to `map` returns."""
        if "input_columns" in call.keywords or call.may_have_more:
            return None
        function = call.argument("function", 0)
        if not isinstance(function, Function):
            return None
        rows = of_function(self.resolver, function)
        if rows is None or truth(call.argument("batched")) is False:
            return rows
        return replace(rows, certain=dict.fromkeys(rows.certain))  # a batch holds a list for each column


def _retyped(data: Data) -> Data:
    """The columns after a cast, which may make something else of what they hold."""
    return on_each(data, lambda table: replace(table, present=dict.fromkeys(table.present)))


def on_each(data: Data, change: Callable[[Columns], Columns]) -> Data:
    if isinstance(data, Columns):
        return change(data)
    tables = {name: change(table) for name, table in data.tables.items()}
    return Splits(tables, change(data.others) if data.others is not None else None)


def one_of(several: list[Data], origin: Origin) -> Data:
    """What is one of several datasets."""
    if len(several) == 1:
        return several[0]
    tables = [data for data in several if isinstance(data, Columns)]
    if several and len(tables) == len(several):
        return joined(tables)
    splits = [data for data in several if isinstance(data, Splits)]
    if len(splits) == len(several) and several and all(s.tables.keys() == splits[0].tables.keys() for s in splits):
        names = splits[0].tables.keys()
        if all(split.others is None for split in splits):
            return Splits({name: joined([split.tables[name] for split in splits]) for name in names})
    return unknown(origin)


def argument_of(call: Call, function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The expression that a call gives for a parameter, the default where it gives none."""
    if any(isinstance(each, ast.Starred) for each in call.node.args) or any(k.arg is None for k in call.node.keywords):
        return None
    for keyword in call.node.keywords:
        if keyword.arg == name:
            return keyword.value
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    if name in names and names.index(name) < len(call.node.args):
        return call.node.args[names.index(name)]
    return None
