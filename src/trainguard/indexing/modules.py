"""One module's text to its record, independent of all other modules."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

from trainguard.indexing.classes import read_class
from trainguard.indexing.functions import is_shadow, read_function
from trainguard.indexing.raw import ModuleRecord, RawClass, RawFunction
from trainguard.indexing.tables import Tables, served_names
from trainguard.indexing.texts import LONG, dotted, import_target, literal, nodes_of, source, text_of, texts_of

# How much a binding of a name counts: the last unconditional one wins, then what a condition prefers.
_NOTHING, _CHECKING, _HANDLER, _ELSE, _IF, _ALWAYS = range(6)

# The metaclass of a class of which nothing but the name is read.
_UNREAD = "?"

# transformers/utils/import_utils.py `create_import_structure_from_path` (since 4.46): exported beside `__all__`.
_REQUIRES = re.compile(r"^@(?:requires|export)\b", re.MULTILINE)


# The TensorFlow and Flax models of transformers 4: their names are enough.
_OTHER_FRAMEWORK = re.compile(r"^(import tensorflow as tf|import flax|import jax\b)", re.MULTILINE)


def read_module(name: str, text: str, *, is_package: bool = False) -> ModuleRecord:
    """The record of a module's text. A text that this Python cannot parse makes a module of unknown names."""
    del name, is_package  # the record says nothing that depends on them: it is kept by the hash of the text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes in docstrings of older releases
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return {"names": {}, "getattr": True, "functions": {}, "classes": {}}
    if _OTHER_FRAMEWORK.search(text):
        tree = _shell(tree)
    return _Reader(tree, text).record


class _Reader:
    def __init__(self, tree: ast.Module, text: str) -> None:
        self._constants = _constants(tree.body)
        self._ranks: dict[str, int] = {}
        self._exported: list[str] = []
        self._has_all = False
        self._all_known = True
        self._functions: dict[str, RawFunction] = {}
        self._classes: dict[str, RawClass] = {}
        self.record: ModuleRecord = {"names": {}, "functions": self._functions, "classes": self._classes}
        self._tables = Tables()
        self._tables.run(tree.body)
        self._read(tree.body, _ALWAYS)
        record = self.record
        if self._has_all and self._all_known:
            record["all"] = self._exported
        if self._tables.lazy:
            record["lazy"] = self._tables.lazy
        if self._tables.structure:
            record["structure"] = self._tables.structure
        required = _required(tree.body) if _REQUIRES.search(text) else []
        if exported := [*required, *(one for one in self._exported if one not in required)]:
            record["exported"] = exported
        self._read_makers(tree.body)
        self._read_oddities(tree, text)

    def _bind(self, name: str, target: str, rank: int) -> bool:
        """Note a top-level name; False where an earlier binding counts more."""
        known = self._ranks.get(name)
        if known is not None and (rank < known or (rank == known and rank != _ALWAYS)):
            return False
        self._ranks[name] = rank
        self.record["names"][name] = target
        return True

    def _read(self, body: Sequence[ast.stmt], rank: int) -> None:
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._function(statement, rank)
            elif isinstance(statement, ast.ClassDef):
                if self._bind(statement.name, "", rank):
                    record = read_class(statement, self._constants, self._classes, self._functions)
                    self._classes[statement.name] = record
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement, rank)
            elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
                self._assign(statement, rank)
            else:
                self._below(statement, rank)

    def _below(self, statement: ast.stmt, rank: int) -> None:
        """Statements that hold others."""
        if isinstance(statement, ast.If):
            checking = (dotted(statement.test) or "").endswith("TYPE_CHECKING")
            self._read(statement.body, min(rank, _CHECKING if checking else _IF))
            self._read(statement.orelse, rank if checking else min(rank, _ELSE))
        elif isinstance(statement, ast.Try):
            self._read([*statement.body, *statement.orelse], min(rank, _IF))
            for handler in statement.handlers:
                self._read(handler.body, min(rank, _HANDLER))
            self._read(statement.finalbody, rank)
        elif isinstance(statement, ast.With):
            self._read(statement.body, rank)
        elif isinstance(statement, ast.For | ast.While):
            if isinstance(statement, ast.For):
                for name in _names(statement.target):
                    self._bind(name, "", _NOTHING)
            self._read([*statement.body, *statement.orelse], min(rank, _IF))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, rank: int) -> None:
        if node.name == "__getattr__" and isinstance(node, ast.FunctionDef):
            served = served_names(node, self._tables)
            if served is None:
                self.record["getattr"] = True
            else:
                self._tables.lazy.update(
                    {one: target for one, target in served.items() if one not in self._tables.lazy}
                )
            return
        if is_shadow(node):
            self._bind(node.name, "", min(rank, _HANDLER))
            return
        known = self._functions.get(node.name)
        if self._bind(node.name, "", rank):
            self._functions[node.name] = read_function(node, self._constants)
        if known is not None and rank != _ALWAYS:
            other = read_function(node, self._constants) if self._functions[node.name] is known else known
            if other["parameters"] != self._functions[node.name]["parameters"]:
                # Two definitions under conditions: which one a job gets cannot be told.
                self._functions[node.name]["dynamic"] = True

    def _import(self, node: ast.Import | ast.ImportFrom, rank: int) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                head = alias.name.partition(".")[0]
                self._bind(alias.asname or head, f"{alias.name if alias.asname else head}:", rank)
            elif alias.name == "*":
                self.record.setdefault("stars", []).append(f"{'.' * node.level}{node.module or ''}:")
            else:
                self._bind(alias.asname or alias.name, import_target(node, alias.name), rank)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, rank: int) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for name in _names(target):
                if name == "__all__":
                    self._all(node)
                elif name == "__getattr__":
                    self._made_getattr(node.value)
                elif not isinstance(node, ast.AugAssign) and node.value is not None:
                    self._value(name, node.value, rank)
                elif not isinstance(node, ast.AugAssign):
                    self._bind(name, "", _NOTHING)

    def _value(self, name: str, value: ast.expr, rank: int) -> None:
        if isinstance(value, ast.Call) and name in self._classes and name in map(dotted, value.args):
            return  # `AutoModel = auto_class_update(AutoModel)`: still the class above it.
        reference = dotted(value) if isinstance(value, ast.Name | ast.Attribute) else None
        known, constant = literal(value)
        if reference is not None and reference not in {"object", "type", "str", "dict", "list", "int", "bool", "float"}:
            self._bind(name, f"={reference}", rank)
            return
        placeholder = (known and constant is None) or reference is not None
        if self._bind(name, "", _NOTHING if placeholder else rank):
            if isinstance(value, ast.Call) and (made := dotted(value.func)) is not None:
                self.record.setdefault("instances", {})[name] = made
            self._functions.pop(name, None)
            text = source(value)
            if known and text is not None and text != LONG:
                self.record.setdefault("constants", {})[name] = text

    def _all(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        value = node.value
        texts = texts_of(value)
        if texts is None and isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            texts = [*(texts_of(value.left) or []), *(texts_of(value.right) or [])]
            self._all_known = False
        if texts is None or not isinstance(value, ast.List | ast.Tuple) or len(texts) != len(value.elts):
            self._all_known = False
        self._has_all = True
        if texts is not None:
            self._exported = [*(self._exported if isinstance(node, ast.AugAssign) else []), *texts]

    def _made_getattr(self, value: ast.expr | None) -> None:
        """`__getattr__ = deprecate_attr(__name__, remove={…}, rename={…})` (transformers 5.23), `_attach(…)`."""
        if isinstance(value, ast.Call):
            if (dotted(value.func) or "").endswith("attach"):
                return
            tables = [keyword.value for keyword in value.keywords if isinstance(keyword.value, ast.Dict)]
            keys = [text_of(key) for table in tables for key in table.keys]
            if tables and len(tables) == len(value.keywords) and all(keys):
                for key in keys:
                    self._bind(key or "", "", _NOTHING)
                return
        self.record["getattr"] = True

    def _read_makers(self, body: Sequence[ast.stmt]) -> None:
        """`Point = namedtuple("Point", ["x", "y"])`, `X.method = function`."""
        for statement in body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                value = statement.value
                if isinstance(value, ast.Call) and (dotted(value.func) or "").rpartition(".")[2] == "namedtuple":
                    fields = texts_of(value.args[1]) if len(value.args) > 1 else None
                    if fields is not None and not value.keywords:
                        self._classes[statement.targets[0].id] = {
                            "bases": ["collections.namedtuple"],
                            "fields": [{"name": one} for one in fields],
                            "members": sorted(fields),
                        }
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
                owner = dotted(statement.targets[0].value)
                if owner in self._classes:
                    members = self._classes[owner].setdefault("members", [])
                    self._classes[owner]["members"] = sorted({*members, statement.targets[0].attr})

    def _read_oddities(self, tree: ast.Module, text: str) -> None:
        """Names that a module makes up while it is imported, and what else only some modules do."""
        for inner in nodes_of(tree) if "globals()" in text or "sys.modules[" in text else ():
            if isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Store):
                if isinstance(inner.value, ast.Call) and dotted(inner.value.func) == "globals":
                    self._made_up(tree, inner)
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "update":
                owner = inner.func.value
                if isinstance(owner, ast.Call) and dotted(owner.func) == "globals":
                    self.record["getattr"] = True
        # transformers 5: names of these endings are served by the name without `Fast` (import_utils, `__getattr__`).
        if "_LazyModule" in self._classes:
            self.record["suffixes"] = sorted(set(re.findall(r'name\.endswith\("(\w+Fast)"\)', text)))
        # 5.4-5.20 make the aliases of the fast image processors' modules in a loop, later ones find them by a pattern.
        if "_LEGACY_FAST_IMAGE_PROCESSOR_MODULE" in text or ".{_module}_fast" in text:
            self.record.setdefault("aliases", {})["*"] = ""
        if "_LEGACY_MODULE_ALIASES" in self._tables.flat:
            self.record.setdefault("aliases", {}).update(self._tables.flat["_LEGACY_MODULE_ALIASES"])
        found = re.findall(r'create_\w*alias\(\s*f"\{__name__\}\.(\w+)",\s*"\.(\w+)"', text)
        if found:
            self.record.setdefault("aliases", {}).update(found)
        if "SLOW_TO_FAST_CONVERTERS" in self._tables.flat:
            self.record["keys"] = {"SLOW_TO_FAST_CONVERTERS": sorted(self._tables.flat["SLOW_TO_FAST_CONVERTERS"])}

    def _made_up(self, tree: ast.Module, node: ast.Subscript) -> None:
        key = text_of(node.slice)
        if key is not None:
            self._bind(key, "", _NOTHING)
            return
        # Inside a module's `__getattr__` it keeps what has been served.
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef) and any(inner is node for inner in nodes_of(statement)):
                return
        self.record["getattr"] = True


def _shell(tree: ast.Module) -> ast.Module:
    """A module's top level alone: classes without bodies, functions whose signature cannot be told."""
    unknown = ast.Name("?", ast.Load())
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            statement.body = [ast.Pass()]
            statement.keywords = [ast.keyword("metaclass", ast.Name(_UNREAD, ast.Load()))]
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            statement.body = [ast.Pass()]
            statement.decorator_list = [unknown]
    return tree


def _constants(body: Sequence[ast.stmt]) -> dict[str, ast.expr]:
    """The expressions that a module gives a name once."""
    found: dict[str, ast.expr] = {}
    twice: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            if target.id in found:
                twice.add(target.id)
            found[target.id] = value
    return {name: value for name, value in found.items() if name not in twice}


def _names(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Tuple | ast.List):
        return [name for item in target.elts for name in _names(item)]
    return _names(target.value) if isinstance(target, ast.Starred) else []


def _required(body: Sequence[ast.stmt]) -> list[str]:
    """The definitions under `@requires(…)` or `@export(…)`."""
    return [
        statement.name
        for statement in body
        if isinstance(statement, ast.ClassDef | ast.FunctionDef)
        for decorator in statement.decorator_list
        if isinstance(decorator, ast.Call) and dotted(decorator.func) in {"requires", "export"}
    ]
