"""The inline metadata of a script: its PEP 723 block, with the tables that launchers read from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

# The regular expression of the reference implementation, packaging.python.org, "Inline script metadata".
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
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
    text = text.replace("\r\n", "\n")
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        return None
    line = text.count("\n", 0, blocks[0].start()) + 1
    end_line = line + blocks[0].group().count("\n")
    if len(blocks) > 1:
        return Pep723(line=line, end_line=end_line, error="the script has more than one `# /// script` block")
    content = "\n".join(
        comment[2:] if comment.startswith("# ") else comment[1:] for comment in blocks[0]["content"].splitlines()
    )
    import tomllib

    try:
        return _read_table(tomllib.loads(content), line, end_line)
    except (ValueError, RecursionError) as error:
        return Pep723(line=line, end_line=end_line, error=str(error) or type(error).__name__)


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
