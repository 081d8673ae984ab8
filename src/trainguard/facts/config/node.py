"""A configuration as it stands in a file: values with their places, before anything is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

# A configuration has a few dozen lines; what is larger is data, or made to hurt its reader.
MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_NODES = 20_000
# Nobody reads more; a file with thousands of problems is no configuration.
MAX_PROBLEMS = 200
# Linux takes no longer path (limits.h, PATH_MAX).
MAX_PATH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and its place; `line` and `column` are None where it has none (a mapping, an environment variable).

    `value` is a scalar, a tuple of nodes, or a tuple of entries (`is_table`). `text` is a scalar as it is written;
    `plain` says that it stands without quotes.
    """

    value: Any
    is_table: bool = False
    line: int | None = None
    column: int | None = None
    text: str = ""
    plain: bool = False

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, tuple) and not self.is_table

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.value if self.is_table else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a table with its value."""

    key: str
    node: Node
    line: int | None = None
    column: int | None = None


class InvalidDocumentError(Exception):
    """A document that cannot be read: what stands there, what was expected, and why, with the place."""

    def __init__(
        self, got: str, expected: str, because: str, line: int | None = None, column: int | None = None
    ) -> None:
        self.got = got.replace("\n", "\\n")  # findings are one line
        super().__init__(self.got)
        self.expected = expected
        self.because = because
        self.line = line
        self.column = column


def from_python(value: object, depth: int = 0) -> Node:
    """The nodes of a Python value that is built as JSON is; anything else becomes its text.

    Raises InvalidDocumentError for what is nested too deep, such as a list that holds itself.
    """
    if depth > MAX_DEPTH:
        raise too_deep(None, None)
    if isinstance(value, Mapping):
        entries = tuple(Entry(key=str(key), node=from_python(item, depth + 1)) for key, item in value.items())
        return Node(value=entries, is_table=True)
    if isinstance(value, list | tuple | set | frozenset):
        return Node(value=tuple(from_python(item, depth + 1) for item in value))
    if value is None or isinstance(value, str | int | float | bool):
        return Node(value=value)
    return Node(value=str(value))  # a Path


def too_deep(line: int | None, column: int | None) -> InvalidDocumentError:
    return InvalidDocumentError(
        f"values nested more than {MAX_DEPTH} deep",
        "tables in tables, two or three deep",
        "no field lies deeper",
        line,
        column,
    )


def to_python(node: Node, budget: list[int] | None = None) -> Any:
    """The plain value of a node. Raises InvalidDocumentError where it has more than MAX_NODES parts.

    YAML's aliases share nodes, so that a short text can stand for a value of any size.
    """
    left = budget if budget is not None else [MAX_NODES]
    left[0] -= 1
    if left[0] < 0:
        raise InvalidDocumentError(
            f"a value of more than {MAX_NODES:,} parts", "a short one", "aliases make it grow", node.line, node.column
        )
    if node.is_table:
        return {entry.key: to_python(entry.node, left) for entry in node.entries}
    if node.is_list:
        return [to_python(item, left) for item in node.value]
    return node.value


def leaves(node: Node, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """Every scalar with its path."""
    if node.is_table:
        for entry in node.entries:
            yield from leaves(entry.node, (*path, entry.key))
    elif node.is_list:
        for index, item in enumerate(node.value):
            yield from leaves(item, (*path, index))
    else:
        yield path, node
