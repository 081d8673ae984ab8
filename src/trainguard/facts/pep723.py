"""The inline metadata of a script: its PEP 723 block, with the tables that launchers read from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_OPENING = re.compile(r"# /// (?P<type>[a-zA-Z0-9-]+)")
_CLOSING = "# ///"
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pep723:
    """What the `script` block says. `line` is where the block begins, from 1.

    `dependencies` is None where the block does not have the key. `hf_jobs` is the table
    `[tool.hf-jobs]`, `uv` the table `[tool.uv]`. `error` is why the block cannot be read; the other
    fields are empty then.
    """

    line: int
    end_line: int
    dependencies: tuple[str, ...] | None = None
    requires_python: str | None = None
    hf_jobs: Mapping[str, Any] = field(default_factory=dict)
    uv: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def read_pep723(text: str) -> Pep723 | None:
    """The block of `text`, None where it has none. Malformed blocks come back with `error` set."""
    if "# /// script" not in text:
        return None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    blocks = [(start, end) for kind, start, end in _blocks(lines) if kind == "script"]
    if not blocks:
        return None
    start, end = blocks[0]
    line, end_line = start + 1, end + 1
    if len(blocks) > 1:
        return Pep723(line=line, end_line=end_line, error="the script has more than one `# /// script` block")
    content = "\n".join(comment[2:] if comment.startswith("# ") else comment[1:] for comment in lines[start + 1 : end])
    import tomllib

    try:
        return _read_table(tomllib.loads(content), line, end_line)
    except (ValueError, RecursionError) as error:
        return Pep723(line=line, end_line=end_line, error=str(error) or type(error).__name__)


def _blocks(lines: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Type, first and last index of every block, as the reference expression finds them (packaging.python.org,
    "Inline script metadata"): from `# /// TYPE` to the last `# ///` of the same run of comment lines.

    The expression itself is quadratic on blocks that never close.
    """
    position = 0
    while position < len(lines):
        start = position
        while position < len(lines) and (lines[position] == "#" or lines[position].startswith("# ")):
            position += 1
        if position == start:
            position += 1
            continue
        run = range(start, position)
        end = next((index for index in reversed(run) if lines[index] == _CLOSING), None)
        if end is None:
            continue
        for index in range(start, end - 1):
            if match := _OPENING.fullmatch(lines[index]):
                yield match["type"], index, end
                break


def _read_table(table: Mapping[str, Any], line: int, end_line: int) -> Pep723:
    dependencies = table.get("dependencies")
    if dependencies is not None and not _is_list_of_texts(dependencies):
        raise ValueError("`dependencies` is not a list of texts")
    requires_python = table.get("requires-python")
    if requires_python is not None and not isinstance(requires_python, str):
        raise ValueError("`requires-python` is not a text")
    tool = _table(table.get("tool"))
    return Pep723(
        line=line,
        end_line=end_line,
        dependencies=None if dependencies is None else tuple(dependencies),
        requires_python=requires_python,
        hf_jobs=MappingProxyType(dict(_table(tool.get("hf-jobs")))),
        uv=MappingProxyType(dict(_table(tool.get("uv")))),
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _EMPTY
