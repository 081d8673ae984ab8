"""Why a line is not a row: what is wrong with its bytes or its JSON, and in which column."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from trainguard.facts.data.judge import Where
from trainguard.facts.data.records import ProblemKind

# Where an error is told with the bytes of the line, as msgspec 0.22 words it: "... (byte 12)".
_BYTE = re.compile(r"\(byte (\d+)\)$")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_OBJECTS = re.compile(rb"\}\s*\{")
_WORDS = re.compile(r"^JSON is malformed: ")


class BadLine(NamedTuple):
    """`byte` is the offset in the line, None where there is no one place; `name` is what the line is counted as."""

    kind: ProblemKind
    byte: int | None
    detail: str
    name: str


def bad_line(line: bytes, error: Exception) -> BadLine:
    """What a line that msgspec refused has, from the most fundamental: encoding before JSON before size of numbers."""
    if isinstance(error, RecursionError):
        return BadLine("hostile-line", _deepest(line), "nested too deep to be read", "nested too deep")
    try:
        if not line.isascii():
            str(line, "utf-8")
    except UnicodeDecodeError as wrong:
        return BadLine("bad-encoding", wrong.start, f"byte 0x{line[wrong.start]:02x} is not UTF-8", "invalid UTF-8")
    words = str(error)
    # What msgspec 0.22 says of half a pair: "invalid utf-16 surrogate pair", and "truncated" for want of the second.
    halved = "surrogate" in words or ("truncated" in words and line.endswith((b"}", b"]")))
    if halved and (b"\\ud" in line or b"\\uD" in line):
        lone = lone_surrogate(line)
        if lone is not None:
            shown = line[lone : lone + 6].decode("ascii")
            return BadLine("bad-encoding", lone, f"{shown} is half of a surrogate pair", "lone surrogate")
    if line.startswith(b"\xef\xbb\xbf"):
        return BadLine("bad-encoding", 0, "a byte order mark within the file", "byte order mark")
    if "out of range" in words:
        found = _HUGE.search(line)
        at = found.start() if found else None
        return BadLine("malformed-json", at, "a number too large for any type", "number too large")
    return _malformed(line, words)


_HUGE = re.compile(rb"(?<![\w.\"-])-?\d+(?:\.\d+)?[eE]\+?\d{3,}|\d{300,}")


def _malformed(line: bytes, words: str) -> BadLine:
    found = _BYTE.search(words)
    byte = int(found[1]) if found else None
    if b"\0" in line:
        return BadLine("malformed-json", line.index(b"\0"), "NUL bytes", "NUL bytes")
    if "truncated" in words and line[-1:] in (b"{", b"[", b","):
        what = "the line ends within the JSON, as in a document over several lines; JSON Lines has each object on one"
        return BadLine("malformed-json", len(line), what, "cut off")
    if "truncated" in words:
        return BadLine("malformed-json", len(line), "the line ends within the JSON", "cut off")
    if "trailing characters" in words and byte:
        byte -= 1  # the byte that msgspec 0.22 names here is the one after
        if line[byte : byte + 1] in (b"{", b"["):
            return BadLine("malformed-json", byte, "more than one JSON value on the line", "more than one object")
        if line[byte:].strip() == b",":
            return BadLine("malformed-json", byte, "a comma after the object", "comma after the object")
    first = line.lstrip()[:1]
    if byte is not None and first not in (b"{", b"["):
        return BadLine("malformed-json", byte, "no JSON", "no JSON")
    reason = _WORDS.sub("", _BYTE.sub("", words)).strip()
    return BadLine("malformed-json", byte, reason, "broken JSON")


def with_nan(line: bytes, error: Exception) -> dict[str, Any] | None:
    """The object of a line that is sound but for NaN or Infinity; None for every other line.

    Python's json writes them, and datasets 5.2 (pyarrow's reader) takes them, so that no training fails of them.
    """
    if not isinstance(error, msgspec.DecodeError) or "invalid" not in str(error):
        return None
    if b"NaN" not in line and b"Infinity" not in line:
        return None
    replaced = _NOT_A_NUMBER.sub(_as_null, line)
    try:
        row = msgspec.json.decode(replaced)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None
    return row if isinstance(row, dict) else None


# A string as a whole, so that nothing within one is taken for a number.
_NOT_A_NUMBER = re.compile(rb'"(?:[^"\\]+|\\.)*+"|-?\b(?:NaN|Infinity)\b', re.DOTALL)


def _as_null(found: re.Match[bytes]) -> bytes:
    token = found.group()
    return token if token[:1] == b'"' else b"null"


def not_an_object(value: Any) -> BadLine:
    """A line that is JSON, but no object."""
    if isinstance(value, list):
        name = "array"
    elif isinstance(value, str):
        name = "string"
    else:
        name = "null" if value is None else "bool" if isinstance(value, bool) else "number"
    return BadLine("malformed-json", 0, f"the line is a JSON {name}, not an object", f"{name}, not an object")


def lone_surrogate(line: bytes) -> int | None:
    """The offset of the first escape that is half of a surrogate pair without its other half."""
    high: tuple[int, int] | None = None  # start and end of a high half that waits for its low one
    for found in _ESCAPE.finditer(line):
        if high is not None and found.start() != high[1]:
            return high[0]
        code = int(found[1], 16) if found[1] else 0
        if high is not None:
            if not 0xDC00 <= code <= 0xDFFF:
                return high[0]
            high = None
        elif 0xD800 <= code <= 0xDBFF:
            high = found.span()
        elif 0xDC00 <= code <= 0xDFFF:
            return found.start()
    return high[0] if high else None


_BRACKET = re.compile(rb'"(?:[^"\\]+|\\.)*+"|[\[{\]}]', re.DOTALL)
# msgspec gives up where Python's recursion limit (1,000) is reached.
_DEEP = 900


def _deepest(line: bytes) -> int | None:
    depth = 0
    for found in _BRACKET.finditer(line):
        mark = line[found.start()]
        if mark in b"[{":
            depth += 1
            if depth > _DEEP:
                return found.start()
        elif mark in b"]}":
            depth -= 1
    return None


def column_of(line: bytes, byte: int | None) -> int | None:
    """The column, in characters from 1, of an offset in bytes."""
    return None if byte is None else len(line[:byte].decode("utf-8", "replace")) + 1


_MAX_WALKED = 500_000
_TOKEN = re.compile(r'"(?:[^"\\]+|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)


def column_at(text: str, where: Where) -> int | None:
    """The column (from 1) of the value that the keys and indexes of `where` lead to, None if it is not found.

    Keys are compared as JSON states them, the last of equal ones is meant, as decoders do.
    """
    if len(text) > _MAX_WALKED:
        return None
    tokens = [(found.group(), found.start()) for found in _TOKEN.finditer(text)]
    if not tokens:
        return None
    at = 0
    for step in where:
        found_at = _step(tokens, at, step)
        if found_at is None:
            return tokens[at][1] + 1
        at = found_at
    return tokens[at][1] + 1


def _step(tokens: list[tuple[str, int]], at: int, step: str | int) -> int | None:
    """The index of the token that begins the member `step` of the value beginning at token `at`."""
    opened = tokens[at][0]
    if opened not in ("{", "["):
        return None
    depth, index, result = 1, 0, None
    i = at + 1
    while i < len(tokens) and depth:
        token = tokens[i][0]
        if depth == 1 and opened == "{" and token[0] == '"' and i + 2 < len(tokens) and tokens[i + 1][0] == ":":
            if _text(token) == step:
                result = i + 2
            i += 2
            token = tokens[i][0]
        elif depth == 1 and opened == "[" and token not in (",", "]") and (i == at + 1 or tokens[i - 1][0] == ","):
            if index == step:
                return i
            index += 1
        if token in ("{", "["):
            depth += 1
        elif token in ("}", "]"):
            depth -= 1
        i += 1
    return result


def _text(token: str) -> str | None:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return None
