"""Paths in a script: which are of the submitter's machine, which the script reads, writes and makes itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from trainguard.facts.calls import Call
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Block
from trainguard.facts.values import ABSENT, Instance, Items, Table, Text, Value, options, text
from trainguard.findings import Location

# "machine": under a root that a rented machine does not have. "home": a home folder, which an image may have
# for its own user. "relative": beside the script's folder, or in whatever home folder the job has.
Root: TypeAlias = Literal["machine", "home", "relative"]

_MACHINE = re.compile(r"(?:/Users|/fsx|/gpfs|/lustre|/Volumes|/mnt/c/Users)/[^/]|[A-Za-z]:[\\/](?!/)|\\\\\w")
_HOME = re.compile(r"/home/[^/]")
_RELATIVE = re.compile(r"~[\w.-]*[\\/](?!\.cache)|\.\.[\\/]")

# Functions that give back the path that they are given, in another form.
_SAME_PATH = {
    "expanduser",
    "expandvars",
    "abspath",
    "realpath",
    "normpath",
    "Path",
    "PurePath",
    "str",
    "fspath",
    "glob",
}

_DEEPEST = 8  # lists in dicts, and paths of paths, are followed as far as this; real scripts stay below four


def root_of(path: str) -> Root | None:
    """Whose place a path is; None for one that a rented machine may well have."""
    if _MACHINE.match(path):
        return "machine"
    if _HOME.match(path):
        return "home"
    return "relative" if _RELATIVE.match(path) else None


def paths_in(value: Value, depth: int = 0) -> list[str] | None:
    """The path or paths (of a list, or a dict of splits) that a value certainly is; None where it may be another.

    A path of which only the beginning is known is given as far as that.
    """
    found: list[str] = []
    for option in options(value):
        inner = _paths_of_one(option, depth + 1) if depth < _DEEPEST else None
        if inner is None:
            return None
        found += inner
    return found


def _paths_of_one(value: Value, depth: int) -> list[str] | None:
    known = text(value)
    if known is not None:
        return [known]
    if isinstance(value, Text):
        return [value.prefix] if value.prefix else None
    if isinstance(value, Items | Table):
        parts = value.items if isinstance(value, Items) else tuple(value.entries.values())
        return [path for part in parts for path in paths_in(part, depth) or ()] or None
    if isinstance(value, Instance) and value.call.name in _SAME_PATH:
        return paths_in(value.call.positional(0), depth)
    return None


@dataclass(frozen=True, slots=True)
class PathUse:
    """One argument that is a path."""

    value: Value
    where: Location
    block: Block
    argument: str


# -- reads -------------------------------------------------------------------------

_FRAMES = ("filepath_or_buffer", "path_or_buf", "io", "path", "source")
_READ_ARGUMENTS: dict[str, tuple[tuple[str, int | None], ...]] = {
    "load_dataset": (("data_files", 3), ("data_dir", 2), ("path", 0)),
    "load_from_disk": (("dataset_path", 0),),
    "from_pretrained": (("pretrained_model_name_or_path", 0), ("model_name", None), ("model_id", 1)),
    "load_adapter": (("peft_model_id", 0),),
    "parse_yaml_file": (("yaml_file", 0),),
    "parse_json_file": (("json_file", 0),),
    "train": (("resume_from_checkpoint", 0),),
    "LLM": (("model", 0),),
    "SentenceTransformer": (("model_name_or_path", 0),),
    **dict.fromkeys(("from_json", "from_csv", "from_parquet", "from_text"), (("path_or_paths", 0),)),
    **dict.fromkeys(("ImageFolder", "DatasetFolder"), (("root", 0),)),
    **dict.fromkeys(("listdir", "scandir", "walk"), (("path", 0),)),
    **dict.fromkeys(("loadtxt", "genfromtxt"), (("fname", 0),)),
    **dict.fromkeys(("load_file", "safe_open"), (("filename", 0),)),
}
_FRAME_READERS = re.compile(r"(?:read|scan)_(?:csv|json|parquet|excel|table|pickle|feather|orc|ndjson)")
_LOADERS = {"numpy", "torch", "joblib"}
_PATH_READERS = {"read_text", "read_bytes", "iterdir", "rglob"}


def reads(script: ScriptFacts) -> Iterator[PathUse]:
    """The paths that the live calls of a script read from."""
    for call in script.calls:
        name = call.written_name
        if name == "open" or name in _PATH_READERS:
            yield from _opened(call, writing=False)
        elif arguments := _arguments_of(call):
            yield from _given(call, arguments)


def _arguments_of(call: Call) -> Iterable[tuple[str, int | None]]:
    name = call.name if isinstance(call.node.func, ast.Name) else call.written_name
    if name in _READ_ARGUMENTS:
        return _READ_ARGUMENTS[name]
    if _FRAME_READERS.fullmatch(name):
        return tuple((argument, 0 if index == 0 else None) for index, argument in enumerate(_FRAMES))
    if name == "load" and call.package in _LOADERS:
        return (("file", 0), ("f", None), ("filename", None))
    return (("model", 0),) if name.endswith("Trainer") else ()


def _given(call: Call, arguments: Iterable[tuple[str, int | None]]) -> Iterator[PathUse]:
    for name, position in arguments:
        value = call.argument(name, position)
        if value is not ABSENT and call.live:
            yield PathUse(value, call.argument_location(name, position), call.block, name)


def _opened(call: Call, *, writing: bool) -> Iterator[PathUse]:
    """The path of `open(path)`, `Path(path).open()` and `Path(path).read_text()`."""
    on_path = call.path is None and isinstance(call.node.func, ast.Attribute)
    if call.written_name == "open":
        mode = text(call.argument("mode", 0 if on_path else 1)) or "r"
        if writing is not bool(set(mode) & set("wax")):
            return
    if call.live:
        value = call.receiver if on_path else call.argument("file", 0)
        where = call.location if on_path else call.argument_location("file", 0)
        yield PathUse(value, where, call.block, "file")


# -- writes ------------------------------------------------------------------------

_TABLE_WRITERS = {"to_csv", "to_json", "to_parquet", "to_pickle", "to_excel"}
# What makes a folder or file: the argument that names it.
_MAKERS: dict[str, tuple[tuple[str, int | None], ...]] = {
    "makedirs": (("name", 0),),
    "mkdir": (("path", 0),),
    "extractall": (("path", 0),),
    "unpack_archive": (("extract_dir", 1),),
    "urlretrieve": (("filename", 1),),
    **dict.fromkeys(("copy", "copy2", "copyfile", "copytree", "move", "symlink"), (("dst", 1),)),
    **dict.fromkeys(_TABLE_WRITERS | {"save_to_disk"}, (("path_or_buf", 0),)),
}
_WRITERS = {"write_text", "write_bytes", "mkdir", "touch"}


def outputs(script: ScriptFacts) -> Iterator[PathUse]:
    """The paths that results are written to: `output_dir`, saves, files opened for writing."""
    for config in script.training.configs:
        option = config.option("output_dir")
        if option.value is not ABSENT:
            yield PathUse(option.value, option.where, config.call.block, "output_dir")
    for save in script.persistence.saves:
        if save.kind == "local" and save.path is not ABSENT:
            argument = next(
                (name for name in ("save_directory", "output_dir", "path", "f") if name in save.call.keywords), ""
            )
            yield PathUse(save.path, save.call.argument_location(argument, 0), save.call.block, argument or "path")
    for call in script.calls:
        if call.written_name == "open":
            yield from _opened(call, writing=True)
        elif call.written_name in _TABLE_WRITERS:
            yield from _given(call, (("path_or_buf", 0),))


def made_by_script(script: ScriptFacts) -> Iterator[str]:
    """The paths that the script makes, or downloads or copies something to."""
    for call in script.calls:
        name = call.written_name
        if name in _MAKERS and not (name in _WRITERS and call.path is None):
            yield from (path for use in _given(call, _MAKERS[name]) for path in paths_in(use.value) or ())
        elif name in _WRITERS and call.live:
            yield from paths_in(call.receiver) or ()
        elif ("local_dir" in call.keywords or "download" in name.lower()) and call.live:
            values = [*call.keywords.values(), *(call.positional(i) for i in range(call.positional_count))]
            yield from (path for value in values for path in paths_in(value) or ())


def asked_about(script: ScriptFacts) -> Iterator[str]:
    """The paths whose existence the script asks about before it uses them."""
    for name in ("exists", "isfile", "isdir", "is_file", "is_dir", "lexists", "access"):
        for call in script.resolver.calls_by_written_name.get(name, ()):
            value = call.positional(0) if call.positional_count else call.receiver
            yield from paths_in(value) or ()


def overlaps(path: str, others: Iterable[str]) -> bool:
    """Whether one of `others` is the same place as `path`, around it or inside it."""
    mine = _segments(path)
    return any((theirs := _segments(other)) and mine[: len(theirs)] == theirs[: len(mine)] for other in others)


def _segments(path: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", path) if part not in ("", ".")]
