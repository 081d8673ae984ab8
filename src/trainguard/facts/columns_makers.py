"""Where datasets are made: from literals, from generators, from local files."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from trainguard.facts import columns_rows as rows
from trainguard.facts.calls import Call
from trainguard.facts.columns_files import FileFormat
from trainguard.facts.columns_schema import Columns, Data, Splits, joined, unknown
from trainguard.facts.local_paths import made_by_script, outputs, overlaps, paths_in
from trainguard.facts.values import ABSENT, Function, Instance, Items, Symbol, Table, Value, is_none, text

if TYPE_CHECKING:
    from trainguard.facts.columns import DatasetColumns

_FORMATS: dict[str, FileFormat] = {"json": "json", "csv": "csv", "parquet": "parquet"}
_READERS: dict[str, FileFormat] = {"from_json": "json", "from_csv": "csv", "from_parquet": "parquet"}
# Arguments of loaders that leave the columns as they are; any other may name or choose columns.
_HARMLESS = frozenset(
    {"path", "data_files", "split", "cache_dir", "streaming", "num_proc", "keep_in_memory", "download_mode",
     "verification_mode", "path_or_paths", "token", "save_infos", "trust_remote_code", "encoding"}
)  # fmt: skip
_MAX_FILES = 4


def made(reader: DatasetColumns, call: Call) -> Data | None:
    """The columns of the dataset that a call makes; None where the call makes none of these."""
    name = call.written_name
    if name in ("from_dict", "from_list", "from_pandas", "from_generator") and _is_class(call):
        kinds = _literal(reader, call, name)
        where = f"`{call.receiver_text or 'Dataset'}.{name}` in line {call.line}"
        return Columns(kinds, source=where) if kinds is not None else unknown(call.node)
    if name in _READERS and _is_class(call):
        found = _files(reader, call.argument("path_or_paths", 0), _READERS[name], call)
        return found if found is not None else unknown(call.node)
    if name == "load_dataset" and (kind := text(call.argument("path", 0))) in (*_FORMATS, "text"):
        return _loaded(reader, call, str(kind))
    return None


def _is_class(call: Call) -> bool:
    """Whether a method is called on `datasets.Dataset` or `IterableDataset` itself."""
    receiver = call.receiver
    if not isinstance(receiver, Symbol) or receiver.package not in ("datasets", "Dataset", "IterableDataset"):
        return False
    return receiver.name in ("Dataset", "IterableDataset")


# -- literals --------------------------------------------------------------------


def _literal(reader: DatasetColumns, call: Call, name: str) -> rows.Kinds | None:
    node = _first_node(
        call, {"from_list": "mapping", "from_dict": "mapping", "from_pandas": "df"}.get(name, "generator")
    )
    if node is None or "features" in call.keywords or call.may_have_more:
        return None
    resolver = reader.resolver
    if name == "from_dict":
        return rows.of_columns(resolver.evaluate(node, call.block))
    if name == "from_list":
        return _list(reader, node, call)
    if name == "from_generator":
        function = resolver.evaluate(node, call.block)
        return rows.of_generator(resolver, function) if isinstance(function, Function) else None
    return _frame(reader, resolver.evaluate(node, call.block), node)


def _first_node(call: Call, keyword: str) -> ast.expr | None:
    for each in call.node.keywords:
        if each.arg == keyword:
            return each.value
    first = call.node.args[0] if call.node.args else None
    return None if isinstance(first, ast.Starred) else first


def _list(reader: DatasetColumns, node: ast.expr, call: Call) -> rows.Kinds | None:
    block = call.block
    for _ in range(5):
        if not isinstance(node, ast.Name) or (value := reader.single_value(node, block)) is None:
            break
        node, block = value
    return rows.of_list(reader.resolver, node, block)


def _frame(reader: DatasetColumns, value: Value, node: ast.expr) -> rows.Kinds | None:
    """The columns of a `DataFrame` of literals that nothing changes."""
    if not isinstance(value, Instance) or value.call.path != "pandas.DataFrame":
        return None
    if isinstance(node, ast.Name) and reader.is_changed(node.id):
        return None
    frame = value.call
    if frame.keywords.keys() - {"data"} or frame.positional_count > 1 or frame.may_have_more:
        return None
    data = _first_node(frame, "data")
    if data is None:
        return None
    columns = rows.of_columns(reader.resolver.evaluate(data, frame.block))
    return columns if columns is not None else _list(reader, data, frame)


# -- files -----------------------------------------------------------------------


def _loaded(reader: DatasetColumns, call: Call, builder: str) -> Data:
    files = call.argument("data_files", 3)
    allowed = _HARMLESS | ({"sep", "delimiter"} if builder == "csv" else frozenset())
    if call.may_have_more or call.keywords.keys() - allowed or call.positional_count > 1 or files is ABSENT:
        return unknown(call.node)
    tables = _tables(reader, files, builder, call)
    if tables is None:
        return unknown(call.node)
    split = call.argument("split")
    if split is ABSENT or is_none(split):
        return Splits(tables)
    name = text(split)
    base = (name or "").partition("[")[0]
    return tables[base] if base in tables else unknown(call.node)


def _tables(reader: DatasetColumns, files: Value, builder: str, call: Call) -> dict[str, Columns] | None:
    if isinstance(files, Table):
        if not files.complete or not files.entries:
            return None
        found = {name: _builder(reader, entry, builder, call) for name, entry in files.entries.items()}
    else:
        found = {"train": _builder(reader, files, builder, call)}
    tables = {name: table for name, table in found.items() if table is not None}
    return tables if len(tables) == len(found) else None


def _builder(reader: DatasetColumns, files: Value, builder: str, call: Call) -> Columns | None:
    if builder == "text":  # whatever the files are
        return Columns({"text": "text"}, source=f'`load_dataset("text")` in line {call.line}')
    return _files(reader, files, _FORMATS[builder], call)


def _files(reader: DatasetColumns, value: Value, kind: FileFormat, call: Call) -> Columns | None:
    paths = _paths(value)
    if not paths or len(paths) > _MAX_FILES or call.keywords.keys() - _HARMLESS - {"sep", "delimiter"}:
        return None
    if kind == "csv" and _separator(call) != ",":
        return None
    if any(overlaps(path, reader.written_paths) for path in paths):
        return None  # another file will lie there when the script reads it
    tables = [reader.read_file(reader.script.path, path, kind) for path in paths]
    known = [table for table in tables if table is not None]
    if len(known) != len(tables) or len({frozenset(table.present) for table in known}) != 1:
        return None
    return joined(known)


def _separator(call: Call) -> str | None:
    given = [value for name in ("sep", "delimiter") if (value := call.argument(name)) is not ABSENT]
    return text(given[0]) if given else ","


def _paths(value: Value) -> list[str] | None:
    """The paths of one file or a list of files, all of them known in full."""
    if (one := text(value)) is not None:
        return [one]
    if not isinstance(value, Items) or not value.complete:
        return None
    found = [text(item) for item in value.items]
    return [path for path in found if path is not None] if None not in found else None


def written_paths(reader: DatasetColumns) -> tuple[str, ...]:
    """The paths that the script makes or writes to."""
    made_paths = list(made_by_script(reader.script))
    for use in outputs(reader.script):
        if use.argument not in ("output_dir", "save_directory"):
            made_paths += paths_in(use.value) or ()
    return tuple(made_paths)
