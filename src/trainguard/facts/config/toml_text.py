"""TOML with places: tomllib reads it, and a second pass over the text finds where each key and value stands."""

from __future__ import annotations

import bisect
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trainguard.facts.config.node import MAX_DEPTH, Entry, InvalidDocumentError, Node, from_python, too_deep

Path: TypeAlias = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
# tomllib's messages end so (Lib/tomllib/_parser.py, Python 3.11 `suffixed_err_msg`).
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
# A dotted key of so many parts: tomllib takes the square of their number (30 s for a key of 256 KiB, Python 3.11).
_LONG_KEY = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]++\s*+\.\s*+){{{MAX_DEPTH}}}""")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""("{0,2})', re.DOTALL),
    re.compile(r"'''.*?'''('{0,2})", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


@dataclass(slots=True)
class _Place:
    key: tuple[int, int] | None = None
    value: tuple[int, int] | None = None
    text: str = ""


def parse_toml(text: str) -> Node:
    """The document. Raises InvalidDocumentError, with the place, for what is no TOML."""
    text = text.replace("\r\n", "\n")
    if long := _LONG_KEY.search(text):
        line = text.count("\n", 0, long.start()) + 1
        raise too_deep(line, long.start() - text.rfind("\n", 0, long.start()))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _in_words(text, str(error)) from None
    except RecursionError:
        raise too_deep(None, None) from None
    except ValueError as error:  # an integer of thousands of digits, a date that does not exist
        raise InvalidDocumentError(str(error).partition(";")[0], "TOML", "it cannot be read") from None
    from_python(document)  # refuses what is nested too deep, before the second pass goes into it
    places = _Scanner(text).places()
    return _node(document, (), places)


def _node(value: Any, path: Path, places: dict[Path, _Place]) -> Node:
    place = places.get(path, _Place())
    line, column = place.value or place.key or (None, None)
    if isinstance(value, dict):
        entries = []
        for key, item in value.items():
            own = places.get((*path, key), _Place())
            key_line, key_column = own.key or (None, None)
            entries.append(Entry(key=key, node=_node(item, (*path, key), places), line=key_line, column=key_column))
        return Node(value=tuple(entries), is_table=True, line=line, column=column)
    if isinstance(value, list):
        items = tuple(_node(item, (*path, index), places) for index, item in enumerate(value))
        return Node(value=items, line=line, column=column)
    plain = not isinstance(value, str)
    scalar = value if isinstance(value, str | int | float | bool) else str(value)  # a date or a time
    return Node(value=scalar, line=line, column=column, text=place.text, plain=plain)


@dataclass(slots=True)
class _Scanner:
    """Walks over text that tomllib has accepted, so that nothing has to be judged here."""

    text: str
    at: int = 0
    _found: dict[Path, _Place] = field(default_factory=dict)
    _lengths: dict[Path, int] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=list)

    def places(self) -> dict[Path, _Place]:
        self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        table: Path = ()
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return self._found
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table, 0)

    def _header(self) -> Path:
        start = self._here()
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        keys = self._keys()
        self.at += 2 if is_array else 1
        path: Path = ()
        for index, key in enumerate(keys):
            path = (*path, key)
            self._found.setdefault(path, _Place(key=start))
            last = index == len(keys) - 1
            if last and is_array:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
                self._found.setdefault(path, _Place(key=start))
        return path

    def _pair(self, table: Path, depth: int) -> None:
        start = self._here()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._found.setdefault(path, _Place(key=start))
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path, depth)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            if self.text[self.at] in "\"'":
                written = self._string()
                keys.append(next(iter(tomllib.loads(f"{written}=0"))))
            else:
                match = _BARE_KEY.match(self.text, self.at)
                assert match is not None  # tomllib has accepted it
                keys.append(match[0])
                self.at = match.end()
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _value(self, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise too_deep(*self._here())
        place = self._found.setdefault(path, _Place())
        place.value = self._here()
        start = self.at
        char = self.text[start]
        if char == "[":
            self._list(path, depth)
        elif char == "{":
            self._table(path, depth)
        elif char in "\"'":
            place.text = self._string()
        else:
            match = _SCALAR.match(self.text, start)
            assert match is not None  # the pattern matches the empty text
            place.text = match[0].strip()
            self.at = match.end()

    def _list(self, path: Path, depth: int) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._value((*path, index), depth + 1)
            index += 1

    def _table(self, path: Path, depth: int) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path, depth + 1)

    def _string(self) -> str:
        for pattern in _STRINGS:
            if match := pattern.match(self.text, self.at):
                self.at = match.end()
                return match[0]
        raise AssertionError(f"tomllib has read a text at {self._here()} that has no end")

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _here(self) -> tuple[int, int]:
        line = bisect.bisect_right(self._starts, self.at)
        return line, self.at - self._starts[line - 1] + 1


def _in_words(text: str, message: str) -> InvalidDocumentError:
    match = _PLACE.fullmatch(message)
    problem = match[1] if match else message
    lines = text.split("\n")
    if problem.startswith("Cannot "):  # a key or a table for the second time; tomllib names the place behind it
        line = int(match[2]) if match and match[2] else len(text.rstrip().split("\n"))
        written = lines[line - 1]
        column = len(written) - len(written.lstrip()) + 1
        because = f"{problem[0].lower()}{problem[1:]}: it stands further up already"
        return InvalidDocumentError(_shortened(written.strip()), "each key once", because, line, column)
    if match is None or match[2] is None:
        return InvalidDocumentError("the end of the file", "TOML", problem, len(lines), len(lines[-1]) + 1)
    line, column = int(match[2]), int(match[3])
    written = lines[line - 1]
    rest = written[column - 1 :].strip()
    value = written.partition("=")[2].strip()
    shown = _shortened(rest or written.strip())
    if problem == "Invalid value" and re.fullmatch(r"[A-Za-z_./~-][\w./~-]*", value):
        return InvalidDocumentError(value, f'"{value}"', "a text stands in quotes in TOML", line, column)
    return InvalidDocumentError(shown or "the end of the line", "TOML", problem, line, column)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}…"
