"""The columns of a data file that lies beside the script, from its first rows.

The one place where columns are read from disk. Whatever the file is, this answers or says that it cannot tell: at
most 64 KB are read, of plain files within the script's own folder only.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from trainguard.facts.columns_schema import Columns
from trainguard.libraries.dataset_formats import ColumnKind

FileFormat: TypeAlias = Literal["json", "csv", "parquet"]

_MAX_BYTES = 64 * 1024
# Of a file that is longer than what is read, so many rows with the same keys are taken to speak for the rest. The
# loader of datasets takes the keys of all rows of a block of 10 MB, so that one row speaks for itself alone.
_ENOUGH_ROWS = 3
_MAX_COLUMNS = 200


def columns_of_file(script: str | None, path: str, kind: FileFormat, *, separator: str = ",") -> Columns | None:
    """The columns of the file that `path` names in the script at the path `script`; None where it cannot be told."""
    found = _resolved(script, path)
    if found is None:
        return None
    if kind == "parquet":
        columns = _parquet(found)
    else:
        head = _head(found)
        if head is None:
            return None
        text, complete = head
        columns = _csv(text, separator, complete=complete) if kind == "csv" else _json(text, complete=complete)
    if columns is None or not columns or len(columns) > _MAX_COLUMNS:
        return None
    return Columns(columns, source=Path(path).name)


def _resolved(script: str | None, path: str) -> Path | None:
    """The plain file that a relative path means beside the script; None for all that leads elsewhere."""
    if script is None or not path or "\0" in path or "://" in path or any(mark in path for mark in "*?[]~$"):
        return None
    if Path(path).is_absolute() or ".." in Path(path).parts:
        return None
    try:
        if not Path(script).is_file():
            return None
        folder = Path(script).resolve().parent
        found = (folder / path).resolve()
        return found if found.is_relative_to(folder) and found.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _head(path: Path) -> tuple[str, bool] | None:
    """The beginning of a file as text, and whether that is all of it."""
    try:
        # Not to wait for a writer, should the file have become a pipe since it was looked at.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            raw = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    complete = len(raw) <= _MAX_BYTES
    if not complete:
        raw = raw[: raw.rfind(b"\n", 0, _MAX_BYTES) + 1] or raw[:_MAX_BYTES]
    try:
        text = raw.decode("utf-8", "strict" if complete else "ignore")
    except UnicodeDecodeError:
        return None
    return None if text.startswith("\ufeff") or "\0" in text else (text, complete)


# -- JSON ----------------------------------------------------------------------


def _json(text: str, *, complete: bool) -> dict[str, ColumnKind | None] | None:
    start = text.lstrip()
    try:
        if start.startswith("["):
            rows, complete = _items(start)
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    return _of_rows(rows, complete=complete)


def _items(text: str) -> tuple[list[Any], bool]:
    """The items of a JSON list as far as the text goes, and whether it goes to the end."""
    decoder = json.JSONDecoder()
    rows: list[Any] = []
    place = 1
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if place >= len(text):
            return rows, False
        if text[place] == "]":
            return rows, not text[place + 1 :].strip()
        try:
            row, place = decoder.raw_decode(text, place)
        except ValueError:
            return rows, False
        rows.append(row)


def _of_rows(rows: list[Any], *, complete: bool) -> dict[str, ColumnKind | None] | None:
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        return None
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if not complete and (len(rows) < _ENOUGH_ROWS or any(len(row) != len(keys) for row in rows)):
        return None
    found: dict[str, ColumnKind | None] = {}
    for key in keys:
        kinds = {kind_of(row.get(key)) for row in rows}
        found[key] = kinds.pop() if len(kinds) == 1 else None
    return found


def kind_of(value: object) -> ColumnKind | None:
    """What a value of a row is; None where its column may hold other things too."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, list):
        first = value[0] if value else None
        if not isinstance(first, Mapping):
            return "list" if value else None
        if "role" in first:
            return "chat"
        return "turns" if "from" in first and "value" in first else "list"
    return None


# -- CSV and Parquet -----------------------------------------------------------


def _csv(text: str, separator: str, *, complete: bool) -> dict[str, ColumnKind | None] | None:
    try:
        rows = csv.reader(io.StringIO(text), delimiter=separator)
        header = next(rows, [])
        first = next(rows, None)
    except (csv.Error, TypeError, ValueError):
        return None
    # A row longer than the header makes its first columns an index; a name that stands twice is renamed.
    if first is None or len(first) != len(header) or len(set(header)) != len(header):
        return None
    if not complete and "\n" not in text:
        return None
    if any(not name or not name.isprintable() or name != name.strip() for name in header[1:]):
        return None
    return {name or "Unnamed: 0": _cell_kind(value) for name, value in zip(header, first, strict=True)}


def _cell_kind(value: str) -> ColumnKind | None:
    """What a column of a CSV file is told to be by one cell: text, if that is no number and no other marker."""
    stripped = value.strip()
    if len(stripped) < 10 or not any(letter.isalpha() for letter in stripped):
        return None  # may be read as a number, a date, a bool, or as nothing (`NA`)
    return "text"


def _parquet(path: Path) -> dict[str, ColumnKind | None] | None:
    if not _has_small_footer(path):
        return None
    try:
        import pyarrow.parquet  # type: ignore[import-untyped,import-not-found,unused-ignore]

        names = pyarrow.parquet.read_schema(path).names
    except Exception:  # whatever a file that is none makes it raise
        return None
    return {str(name): None for name in names if not str(name).startswith("__index_level_")}


def _has_small_footer(path: Path) -> bool:
    """Whether a file ends as a Parquet file does, with a footer of no more than is read of others."""
    try:
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            end = file.read(8)
    except (OSError, ValueError):
        return False
    return end[4:] == b"PAR1" and int.from_bytes(end[:4], "little") <= _MAX_BYTES
