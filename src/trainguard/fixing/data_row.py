"""The roles and keys of a row, put right in the text of its line: all that is not replaced stays byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from trainguard.facts.data.judge import lacks_name_alone
from trainguard.facts.data.roles import ROLES, mapped

# The columns that hold messages: those of trl 1.16, data_utils.py, maybe_convert_to_chatml.
_COLUMNS = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")
_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
RENAMED = "conversations of from and value became messages of role and content"
RENAMED_COLUMN = "column 'conversations' became 'messages'"


class _Message(NamedTuple):
    """What is to happen to one message."""

    keys: Mapping[str, str]
    role: str | None


class RowPlan(NamedTuple):
    """What is to happen to a row: `done` names each change, once for each time that it is made."""

    messages: Mapping[tuple[str, int], _Message]
    rename: bool
    done: tuple[str, ...]


def plan(row: Mapping[str, Any]) -> RowPlan | None:
    """What is to be put right in a row, None where nothing is."""
    messages: dict[tuple[str, int], _Message] = {}
    done: list[str] = []
    sharegpt = False
    for column in _COLUMNS:
        value = row.get(column)
        if not isinstance(value, list):
            continue
        for index, message in enumerate(value):
            if isinstance(message, dict):
                change = _message(message, done)
                if change is not None:
                    messages[column, index] = change
                    sharegpt = sharegpt or (column == "conversations" and bool(change.keys))
    rename = sharegpt and "messages" not in row and all(isinstance(each, dict) for each in row["conversations"])
    if sharegpt:
        done.append(RENAMED)
    elif lacks_name_alone(row):
        rename = True
        done.append(RENAMED_COLUMN)
    return RowPlan(messages, rename, tuple(done)) if messages or rename else None


def _message(message: Mapping[str, Any], done: list[str]) -> _Message | None:
    keys = {old: new for old, new in (("from", "role"), ("value", "content")) if old in message and new not in message}
    role = message.get("role", message.get("from"))
    new = mapped(role) if isinstance(role, str) and role not in ROLES else None
    if new is not None:
        done.append(f"role {role!r} became {new!r}")
    return _Message(keys, new) if keys or new is not None else None


def rewritten(text: str, wanted: RowPlan) -> str:
    """The line `text`, which is one JSON object, with the plan carried out."""
    pieces: list[str] = []
    at = 0
    for start, end, new in _edits(text, wanted):
        pieces += (text[at:start], new)
        at = end
    return "".join([*pieces, text[at:]])


def _edits(text: str, wanted: RowPlan) -> Iterator[tuple[int, int, str]]:
    """The strings to be replaced. A stack of what is open tells where each stands: row, column, message."""
    opened: list[str] = []
    column = key = ""
    index = -1
    name = False  # the next string is a key
    for found in _TOKEN.finditer(text):
        token = found.group()
        if token in ("{", "["):
            opened.append(token)
            name = token == "{"
            index = -1 if len(opened) == 2 else index + (len(opened) == 3)
        elif token in ("}", "]"):
            opened.pop()
            name = False
        elif token == ",":
            name = bool(opened) and opened[-1] == "{"
        elif token[0] == '"' and name:
            name = False
            key = _text(token)
            if len(opened) == 1:
                column = key
                if key == "conversations" and wanted.rename:
                    yield found.start(), found.end(), '"messages"'
            elif len(opened) == 3 and opened[1] == "[":
                message = wanted.messages.get((column, index))
                if message is not None and key in message.keys:
                    yield found.start(), found.end(), f'"{message.keys[key]}"'
        elif token != ":":
            if len(opened) == 2:
                index += 1  # a member of the list that is no object
            elif len(opened) == 3 and opened[1] == "[" and key in ("role", "from") and token[0] == '"':
                message = wanted.messages.get((column, index))
                # With both keys, the role is what `role` says.
                if message is not None and message.role is not None and (key == "role" or "from" in message.keys):
                    yield found.start(), found.end(), f'"{message.role}"'


def _text(token: str) -> str:
    return msgspec.json.decode(token, type=str)
