"""The tables by which a package serves names on demand, run in the head: only literals are followed.

Read in transformers 4.36-5.23 (`_import_structure`), trl 0.9-1.16, huggingface_hub 0.20-2.4 (`_SUBMOD_ATTRS`), and the
packages that copy them.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TypeAlias

from trainguard.indexing.texts import dotted, nodes_of, text_of, texts_of

# Submodule, as the table writes it, to the names in it.
Table: TypeAlias = dict[str, list[str]]


class Tables:
    """The tables of a module, by the names that it gives them."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        # Names to the module that has them (`{"TextPipeline": "transformers.pipelines.text"}`), or plain sets of names.
        self.flat: dict[str, dict[str, str]] = {}
        self.lazy: dict[str, str] = {}
        self.structure: list[str] = []
        self.is_lazy = False
        self._structures: dict[str, str] = {}

    def run(self, body: Sequence[ast.stmt]) -> None:
        """Follow the statements of a module, all branches of its conditions."""
        for statement in body:
            if isinstance(statement, ast.If):
                self.run(statement.body)
                self.run(statement.orelse)
            elif isinstance(statement, ast.Try):
                self.run(statement.body)
                for handler in statement.handlers:
                    self.run(handler.body)
                self.run([*statement.orelse, *statement.finalbody])
            elif isinstance(statement, ast.With):
                self.run(statement.body)
            elif isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self._assign(target, statement.value)
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                self._assign(statement.target, statement.value)
            elif isinstance(statement, ast.AugAssign):
                self._extend(statement.target, texts_of(statement.value))
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self._call(statement.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(value, ast.Call):
            self._serve(value)
        if isinstance(target, ast.Name):
            self._name(target.id, value)
        elif isinstance(target, ast.Subscript) and (table := self._table(target.value)) is not None:
            key = text_of(target.slice)
            if key is not None:
                table[key] = texts_of(value) or []

    def _name(self, name: str, value: ast.expr) -> None:
        if isinstance(value, ast.Call) and (dotted(value.func) or "").endswith("define_import_structure"):
            prefix = next((text_of(one.value) for one in value.keywords if one.arg == "prefix"), None)
            self._structures[name] = prefix or ""
        elif isinstance(value, ast.Dict):
            keys = [text_of(key) for key in value.keys]
            known = [(key, one) for key, one in zip(keys, value.values, strict=True) if key is not None]
            lists = {key: texts for key, one in known if (texts := texts_of(one)) is not None}
            if lists or not known:
                self.tables[name] = lists
            if len(known) == len(value.keys):
                self.flat[name] = {key: text_of(one) or "" for key, one in known}
        elif isinstance(value, ast.DictComp) and len(value.generators) in {1, 2}:
            # `{name: module for module, names in TABLE.items() for name in names}`, and a copy of a table.
            origin = dotted(value.generators[0].iter.func) if isinstance(value.generators[0].iter, ast.Call) else None
            table = self.tables.get((origin or "").removesuffix(".items"))
            if table is not None and len(value.generators) == 2:
                self.flat[name] = {one: module for module, names in table.items() for one in names}
        elif (texts := texts_of(value)) is not None:
            self.flat[name] = dict.fromkeys(texts, "")

    def _table(self, node: ast.expr) -> Table | None:
        return self.tables.get(node.id) if isinstance(node, ast.Name) else None

    def _extend(self, target: ast.expr, names: list[str] | None) -> None:
        if names is None:
            return
        if isinstance(target, ast.Subscript) and (table := self._table(target.value)) is not None:
            key = text_of(target.slice)
            if key is not None:
                table.setdefault(key, []).extend(names)

    def _call(self, call: ast.Call) -> None:
        self._serve(call)
        func = call.func
        if not isinstance(func, ast.Attribute) or not call.args:
            return
        owner = func.value
        if func.attr in {"append", "extend"}:
            one = text_of(call.args[0])
            names = texts_of(call.args[0]) if func.attr == "extend" else None if one is None else [one]
            if (
                isinstance(owner, ast.Call)
                and isinstance(owner.func, ast.Attribute)
                and owner.func.attr == "setdefault"
            ):
                table, key = self._table(owner.func.value), text_of(owner.args[0]) if owner.args else None
                if table is not None and key is not None:
                    table.setdefault(key, []).extend(names or [])
            else:
                self._extend(owner, names)
            return
        table, key = self._table(owner), text_of(call.args[0])
        if func.attr == "setdefault" and table is not None and key is not None:
            table.setdefault(key, texts_of(call.args[1]) or [] if len(call.args) > 1 else [])
        elif func.attr == "update" and table is not None and isinstance(call.args[0], ast.Dict):
            for item, value in zip(call.args[0].keys, call.args[0].values, strict=True):
                if (name := text_of(item)) is not None:
                    table.setdefault(name, []).extend(texts_of(value) or [])

    def _serve(self, call: ast.Call) -> None:
        """`_LazyModule(__name__, file, TABLE, …)` and `_attach(__name__, submodules=…, submod_attrs=TABLE)`."""
        name = (dotted(call.func) or "").rpartition(".")[2]
        options = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        if name.endswith("LazyModule"):
            self.is_lazy = True
            structure = options.get("import_structure") or (call.args[2] if len(call.args) > 2 else None)
            self._serve_table(structure)
            if isinstance(structure, ast.Call) and (dotted(structure.func) or "").endswith("define_import_structure"):
                self.structure.append("")
            elif isinstance(structure, ast.Name) and structure.id in self._structures:
                self.structure.append(self._structures[structure.id])
                self._serve_table(ast.Name("_import_structure", ast.Load()))
            extra = options.get("extra_objects")
            extra_names = list(self.flat.get(extra.id, {})) if isinstance(extra, ast.Name) else _keys(extra)
            self.lazy.update({one: "" for one in extra_names if one not in self.lazy})
        elif name in {"_attach", "attach"} and call.args:
            self.is_lazy = True
            self._serve_table(options.get("submod_attrs") or (call.args[2] if len(call.args) > 2 else None))

    def _serve_table(self, node: ast.expr | None) -> None:
        table: Table | None = None
        if isinstance(node, ast.Name):
            table = self.tables.get(node.id)
        elif isinstance(node, ast.Dict):
            table = {
                key: texts_of(one) or []
                for item, one in zip(node.keys, node.values, strict=True)
                if (key := text_of(item))
            }
        for module, names in (table or {}).items():
            for one in names:
                # A dummy stands in for the real thing where a backend is not installed.
                if one not in self.lazy or ".dumm" in self.lazy[one]:
                    self.lazy[one] = f".{module}:{one}"


def _keys(node: ast.expr | None) -> list[str]:
    return [text for key in node.keys if (text := text_of(key))] if isinstance(node, ast.Dict) else []


def served_names(node: ast.FunctionDef, tables: Tables) -> dict[str, str] | None:
    """The names that a module's own `__getattr__` serves, with their import targets where told; None: any name."""
    if not node.args.args or not node.body:
        return None
    asked = node.args.args[0].arg
    served: dict[str, str] = {}
    understood = True
    for inner in nodes_of(node):
        if isinstance(inner, ast.Compare) and dotted(inner.left) == asked and len(inner.ops) == 1:
            other = inner.comparators[0]
            if isinstance(inner.ops[0], ast.Eq) and (text := text_of(other)) is not None:
                served.setdefault(text, "")
            elif isinstance(inner.ops[0], ast.In):
                names = _members(other, tables)
                understood = understood and names is not None
                served.update(names or {})
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "get":
            if inner.args and dotted(inner.args[0]) == asked:
                names = _members(inner.func.value, tables)
                understood = understood and names is not None
                served.update(names or {})
        elif isinstance(inner, ast.Call) and dotted(inner.func) in {f"{asked}.startswith", f"{asked}.endswith"}:
            understood = False
    last = node.body[-1]
    raises = isinstance(last, ast.Raise) or (
        isinstance(last, ast.If) and isinstance((last.orelse or [last])[-1], ast.Raise)
    )
    return served if understood and raises and served else None


def _members(node: ast.expr, tables: Tables) -> dict[str, str] | None:
    if (texts := texts_of(node)) is not None:
        return dict.fromkeys(texts, "")
    name = dotted(node)
    if name is None:
        return None
    if name in tables.flat:
        return {one: f"{module}:{one}" if "." in module else "" for one, module in tables.flat[name].items()}
    return None
