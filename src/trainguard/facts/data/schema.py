"""The shape that the rows of some data have, as a typed decoder that refuses every other shape.

The shape is learnt from rows that have been looked at one by one. A block of lines that the decoder takes is JSON,
UTF-8 and of that shape to the last key, and that is known after one call of C code; a block that it refuses is looked
at row by row, and widens the shape where its rows are sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

# Rows with more columns than this are looked at one by one: a shape of so many keys is hardly ever the same twice.
_MAX_COLUMNS = 64
_MISSING = msgspec.UNSET
_MAX_ROLES = 32
# The columns that a layout is told by, and those of a message.
LAYOUT_COLUMNS = frozenset(
    {"messages", "conversations", "prompt", "completion", "text", "chosen", "rejected", "label", "input_ids"}
)


class Shape:
    """What rows have looked like so far; `decoder` is None as long as no block can be read by it.

    `texts` and `chats` are the layout's columns that hold a string or a list of messages, as attributes of a decoded
    row; `others` are (attribute, name) of the remaining columns. `speaker` and `said` are "role" and "content" or
    "from" and "value", which are always the first two attributes, m0 and m1, of a message. `simple` says that every
    content is a string and that messages have no other keys.
    """

    def __init__(self) -> None:
        self.layout: str | None = None
        self.columns: dict[str, bool] = {}  # name -> in every row
        self.kinds: dict[str, str] = {}  # layout column -> text, chat or other
        self.keys: set[str] = set()  # of messages
        self.roles: set[str] = set()
        self.simple = True
        self.usable = True
        self.decoder: msgspec.json.Decoder[Any] | None = None
        self.texts: list[tuple[str, str]] = []
        self.chats: list[tuple[str, str]] = []
        self.others: list[tuple[str, str]] = []
        self.calls: tuple[str, ...] = ()
        self._stale = True

    def learn(self, layout: str, row: Mapping[str, Any]) -> None:
        """Widens the shape by a sound row."""
        if not self.usable:
            return
        if self.layout is None:
            self.layout = layout
            self.columns = dict.fromkeys(row, True)
            self.kinds = {name: _kind(value) for name, value in row.items() if name in LAYOUT_COLUMNS}
            self._stale = True
        elif layout != self.layout:
            return
        else:
            self._widen(row)
        for name, kind in self.kinds.items():
            if kind == "chat" and isinstance(row.get(name), list):
                for message in row[name]:
                    self._learn_message(message)
        if len(self.columns) > _MAX_COLUMNS or len(self.keys) > _MAX_COLUMNS:
            self.usable = False
            self.decoder = None

    def _widen(self, row: Mapping[str, Any]) -> None:
        if row.keys() != self.columns.keys():
            for name in row.keys() - self.columns.keys():
                self.columns[name] = False
                self._stale = True
            for name in self.columns.keys() - row.keys():
                if self.columns[name]:
                    self.columns[name] = False
                    self._stale = True

    def _learn_message(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if not self.keys:
            self.keys = set(message)
            self._stale = True
        elif not message.keys() <= self.keys:
            self.keys |= message.keys()
            self._stale = True
        role = message.get("from" if "from" in self.keys else "role")
        if isinstance(role, str) and role not in self.roles and len(self.roles) <= _MAX_ROLES:
            self.roles.add(role)
            self._stale = True
        said = message.get("value" if "from" in self.keys else "content")
        if self.simple and (not isinstance(said, str) or len(self.keys) != 2):
            self.simple = False
            self._stale = True

    def prepare(self) -> msgspec.json.Decoder[Any] | None:
        """The decoder for the shape as it is now; None where blocks have to be read row by row."""
        if self._stale and self.usable and self.layout is not None:
            self._stale = False
            self.decoder = self._build()
        return self.decoder

    def _build(self) -> msgspec.json.Decoder[Any] | None:
        # A layout's column that is missing or null in some rows makes them another layout: those are rare, and judged
        # one by one.
        if any(name in LAYOUT_COLUMNS and not always for name, always in self.columns.items()):
            return None
        if "label" in self.kinds and self.layout == "kto":
            self.kinds["label"] = "other"
        message: Any = None
        if "chat" in self.kinds.values():
            message = self._message()
            if message is None:
                return None
        self.texts, self.chats, self.others = [], [], []
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        rename: dict[str, str] = {}
        optional: list[tuple[str, Any, Any]] = []
        for at, (name, always) in enumerate(self.columns.items()):
            attribute = f"c{at}"
            rename[attribute] = name
            kind = self.kinds.get(name)
            if kind == "text":
                self.texts.append((attribute, name))
                fields.append((attribute, str))
            elif kind == "chat":
                self.chats.append((attribute, name))
                fields.append((attribute, list[message]))
            else:
                self.others.append((attribute, name))
                if always:
                    fields.append((attribute, Any))
                else:
                    optional.append((attribute, Any, _MISSING))
        return _decoder("Row", [*fields, *optional], rename)

    def _message(self) -> Any:
        pair = next((pair for pair in (("role", "content"), ("from", "value")) if set(pair) <= self.keys), None)
        if pair is None:
            return None
        rename = {"m0": pair[0], "m1": pair[1]}
        # One of a few known words is decoded without making a string, and its hash is known.
        said: Any = Literal[tuple(sorted(self.roles))] if 0 < len(self.roles) <= _MAX_ROLES else str
        fields: list[Any] = [("m0", said)]
        if self.simple:
            fields.append(("m1", str))
        else:
            fields.append(("m1", str | list[Any] | None, None))
        calls = []
        for at, name in enumerate(sorted(self.keys - set(pair))):
            rename[f"m{at + 2}"] = name
            fields.append((f"m{at + 2}", Any, None))
            if name in ("tool_calls", "function_call"):
                calls.append(f"m{at + 2}")
        self.calls = tuple(calls)
        return _struct("Message", fields, rename)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    return "chat" if isinstance(value, list) and value and isinstance(value[0], dict) else "other"


def _struct(name: str, fields: list[Any], rename: dict[str, str]) -> Any:
    try:
        return msgspec.defstruct(name, fields, rename=rename, forbid_unknown_fields=True, gc=False)
    except (ValueError, TypeError):  # a key with a quote, a backslash or a control character in it
        return None


def _decoder(name: str, fields: list[Any], rename: dict[str, str]) -> msgspec.json.Decoder[Any] | None:
    row = _struct(name, fields, rename)
    return None if row is None else msgspec.json.Decoder(row)
