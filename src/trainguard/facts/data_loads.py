"""Where a script takes its data from: sets of a hub, files, or rows that it makes up itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from trainguard.facts.calls import Call
from trainguard.facts.handlers import calls_in, local_functions, reached_calls
from trainguard.facts.structure import Block
from trainguard.facts.values import ABSENT, Constant, Function, Items, Table, Text, Value, options, texts
from trainguard.libraries.model_names import is_path

if TYPE_CHECKING:
    from trainguard.facts.script import ScriptFacts

DataKind: TypeAlias = Literal["hub", "file", "made-up"]

# Builders of datasets 5.2 that read the files they are given.
_FILE_BUILDERS = frozenset(
    {"json", "csv", "text", "parquet", "arrow", "pandas", "imagefolder", "audiofolder", "webdataset", "xml"}
)
_FILE_READERS = frozenset(
    {"load_from_disk", "from_json", "from_csv", "from_parquet", "from_text", "from_file", "from_sql",
     "read_json", "read_csv", "read_parquet", "read_excel", "read_table", "read_pickle", "scan_parquet"}
)  # fmt: skip
_MAKERS = {"from_dict", "from_list", "DataFrame"}
# A function of the script with such a name makes its rows up.
_INVENTING = re.compile(r"dummy|synthetic|fake|mock|placeholder|made_?up|toy_data|random_data|fabricat|sample_rows")
_RANDOM_PACKAGES = {"random", "numpy", "torch", "faker"}
_PLAIN_FUNCTIONS = {"range", "list", "str", "dict", "tuple", "int", "float", "repr"}


@dataclass(frozen=True, slots=True)
class DataLoad:
    """One source of data. `names` are the sets of a hub that it may be, empty where they are not all known."""

    call: Call
    kind: DataKind
    names: frozenset[str] = frozenset()


def data_loads(script: ScriptFacts, nodes: Iterable[ast.AST]) -> Iterator[DataLoad]:
    """The sources of data in `nodes` and in the functions of the script that they call."""
    for call in calls_in(script, nodes):
        if (load := data_load(call)) is not None:
            yield load
            continue
        for function in local_functions(call):
            yield from _through(script, call, function)


def data_load(call: Call) -> DataLoad | None:
    """The source of data that a call itself is."""
    name = call.written_name
    if "load_dataset" in call.names:
        return _hub_load(call, _path_value(call))
    if name in _FILE_READERS:
        return DataLoad(call, "file")
    if name in _MAKERS:
        rows = [*call.node.args[:1], *(k.value for k in call.node.keywords if k.arg in ("data", "mapping"))]
        invented = rows and _is_invented(call, rows[0], frozenset(), call.block)
        return DataLoad(call, "made-up") if invented else None
    return None


def _path_value(call: Call) -> Value:
    return call.argument("path", 0)


def _hub_load(call: Call, path: Value) -> DataLoad:
    names = texts(path) or frozenset()
    if names & _FILE_BUILDERS or any(map(is_path, names)):
        return DataLoad(call, "file")
    return DataLoad(call, "hub", names)


def _through(script: ScriptFacts, call: Call, function: Function) -> Iterator[DataLoad]:
    """The sources in a function that is called, with what this call gives for the name of the set."""
    node = function.node
    if isinstance(node, ast.Lambda):
        return
    if _INVENTING.search(node.name):
        yield DataLoad(call, "made-up")
        return
    for inner in reached_calls(script, node.body, depth=2):
        load = data_load(inner)
        if load is None:
            continue
        if load.kind == "made-up":
            yield replace(load, call=call)
        elif load.kind == "hub":
            given = _given_for(call, inner, node)
            yield replace(_hub_load(inner, given), call=call) if given is not None else replace(load, call=call)
        else:
            yield replace(load, call=call)


def _given_for(call: Call, inner: Call, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Value | None:
    """What a call passes on as the name of the set, where the function takes it as a parameter."""
    path = inner.node.args[0] if inner.node.args else None
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    if not isinstance(path, ast.Name) or path.id not in names:
        return None
    given = call.argument(path.id, names.index(path.id))
    return None if given is ABSENT else given


# -- rows that are made up ---------------------------------------------------------


def _is_invented(call: Call, node: ast.expr, own: frozenset[str], block: Block) -> bool:
    """Whether an expression is rows written in the script, counted up or drawn at random. Empty ones are not."""
    if isinstance(node, ast.Constant):
        return node.value is not None
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return bool(node.elts) and all(_is_invented(call, each, own, block) for each in node.elts)
    if isinstance(node, ast.Dict):
        return bool(node.values) and all(_is_invented(call, each, own, block) for each in node.values)
    if isinstance(node, ast.BinOp):
        return _is_invented(call, node.left, own, block) and _is_invented(call, node.right, own, block)
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        inner = own | {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        sources = all(_is_invented(call, generator.iter, own, block) for generator in node.generators)
        return sources and _is_invented(call, node.elt, inner, block)
    if isinstance(node, ast.Call):
        return _is_inventing_call(call, node, own, block)
    if isinstance(node, ast.Name):
        return node.id in own or _is_written_out(call.resolver.evaluate(node, block))
    return False


def _is_inventing_call(call: Call, node: ast.Call, own: frozenset[str], block: Block) -> bool:
    path = node.func
    name = path.id if isinstance(path, ast.Name) else path.attr if isinstance(path, ast.Attribute) else ""
    root: ast.expr = path
    while isinstance(root, ast.Attribute):
        root = root.value
    made = call.resolver.evaluate(root, block)
    if getattr(made, "package", None) in _RANDOM_PACKAGES:
        return True
    if name in _PLAIN_FUNCTIONS and isinstance(path, ast.Name):
        return all(
            _is_invented(call, argument, own, block) or _is_number(call, argument, block) for argument in node.args
        )
    return False


def _is_number(call: Call, node: ast.expr, block: Block) -> bool:
    return all(
        isinstance(o, Constant) and isinstance(o.value, int) for o in options(call.resolver.evaluate(node, block))
    )


def _is_written_out(value: Value) -> bool:
    """Whether a value is a literal of rows, all of it known."""
    if isinstance(value, Items):
        return bool(value.items) and value.complete and all(map(_is_written_out, value.items))
    if isinstance(value, Table):
        return bool(value.entries) and value.complete and all(map(_is_written_out, value.entries.values()))
    return isinstance(value, Constant | Text) and not (isinstance(value, Constant) and value.value is None)
