"""Rows of the database as records, and text that both databases take. A row that makes no sense is mended."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from trainguard.queue.records import PRIORITIES, STATES, Event, OutboxEntry, QueuedFile, Worker

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

# Bytes that are no UTF-8, as os.fsdecode gives them (PEP 383), other surrogates, and NUL, which no text column takes.
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
CAUSE_LENGTH = 4000
# What the key of the lineage of an SQLite file is made of: it has one, whatever its folder is called by now.
SQLITE_LINEAGE = "the lineage of this file"

_FILE_FIELDS = QueuedFile.__struct_fields__
_DEFAULTS: Mapping[str, Any] = {"name": "?", "lineage": "", "sha256": "", "origin": "", "priority": "normal"}


def rows_of(connection: Connection, query: Executable) -> list[dict[str, Any]]:
    """All rows that `query` gives, by the names of their columns."""
    return [dict(row) for row in connection.execute(query).mappings()]


def plain_text(text: str) -> str:
    """`text` with escapes for what is no text: a byte as \\xNN, a lone surrogate as \\uNNNN."""
    return _NOT_TEXT.sub(_escape, text)


def short(text: str | None) -> str | None:
    """A cause for the database: plain, and not a whole log."""
    if text is None:
        return None
    text = plain_text(text)
    return text if len(text) <= CAUSE_LENGTH else text[: CAUSE_LENGTH - 1] + "…"


def key_of(*parts: str) -> str:
    """A short key that is equal for equal parts only, whatever bytes they have."""
    raw = [part.encode("utf-8", "surrogatepass") for part in parts]
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in raw)).hexdigest()


def to_json(value: Any) -> str:
    """`value` as JSON text: numbers that are not finite as null, keys and other objects as their text."""
    return msgspec.json.encode(_plain(value)).decode()


def from_json(text: str | None) -> dict[str, Any]:
    """Raises ValueError for anything but a JSON object."""
    value = msgspec.json.decode(text or "{}")
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def file_of(row: Mapping[str, Any]) -> QueuedFile:
    """The file of a row. Raises ValueError for a row that was written by nobody who knows the states."""
    values = {name: row[name] for name in _FILE_FIELDS}
    try:
        values["memory"] = from_json(values["memory"])
        return msgspec.convert(values, QueuedFile)
    except (msgspec.ValidationError, msgspec.DecodeError, TypeError) as error:
        raise ValueError(str(error)) from error


def mended(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row that `file_of` refuses, with other values where they are wrong."""
    right: dict[str, Any] = {}
    for field in msgspec.structs.fields(QueuedFile):
        value = row[field.name]
        if field.name == "memory":
            right["memory"] = _memory(value)
            continue
        try:
            right[field.name] = msgspec.convert(value, field.type)
        except (msgspec.ValidationError, TypeError):
            if field.name in _DEFAULTS:
                right[field.name] = str(value) if isinstance(value, str) and value else _DEFAULTS[field.name]
            else:
                right[field.name] = None if field.default is None else 0
    if right["priority"] not in PRIORITIES:
        right["priority"] = "normal"
    if right["state"] not in STATES:
        right["state"] = "held"
    if right["held_from"] not in STATES:
        right["held_from"] = None
    return {name: value for name, value in right.items() if value != row[name]}


def shown(row: Mapping[str, Any]) -> QueuedFile:
    """The file of a row, mended where it must be: for tables that people look at."""
    try:
        return file_of(row)
    except ValueError:
        return file_of({**row, **mended(row)})


def event_of(row: Mapping[str, Any]) -> Event:
    values = {name: row[name] for name in Event.__struct_fields__}
    try:
        values["data"] = from_json(values["data"])
    except (ValueError, msgspec.DecodeError, TypeError):
        values["data"] = {"unreadable": plain_text(str(values["data"]))}
    return Event(**values)


def entry_of(row: Mapping[str, Any]) -> OutboxEntry:
    values = {name: row[name] for name in OutboxEntry.__struct_fields__}
    try:
        values["delivered"] = {str(channel): float(time) for channel, time in from_json(values["delivered"]).items()}
    except (ValueError, msgspec.DecodeError, TypeError):
        values["delivered"] = {}
    return OutboxEntry(**values)


def worker_of(row: Mapping[str, Any]) -> Worker:
    return Worker(**{name: row[name] for name in Worker.__struct_fields__})


def _memory(value: Any) -> str:
    try:
        from_json(value)
    except (ValueError, msgspec.DecodeError, TypeError):
        return "{}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.to_builtins(value))
    return plain_text(str(value))


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number == 0:
        return "\\x00"
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"
