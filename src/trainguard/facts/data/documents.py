"""A JSON document -> the elements of its array, one after the other, holding no more than one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from trainguard.facts.data.records import ProblemKind

_PIECE_BYTES = 1_000_000
# A string, a bracket, a comma; a quote alone is the start of a string whose end is not there yet.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]|"', re.DOTALL)
_BLANK = b" \t\r\n"


class DocumentError(Exception):
    """The document cannot be read further: what kind of problem it is, and a name to count it by."""

    def __init__(self, kind: ProblemKind, words: str, name: str, text: bytes = b"") -> None:
        super().__init__(words)
        self.kind = kind
        self.name = name
        self.text = text[:300].decode("utf-8", "replace")


def elements(stream: IO[bytes], max_bytes: int, head: bytes = b"") -> Iterator[bytes]:
    """The text of each element of the top-level array; of a document that is no array, the whole of it.

    `head` is what has been read of the stream already.

    Raises DocumentError where the document ends early or an element has more than `max_bytes`.
    """
    buffer = head
    while not (buffer := buffer.lstrip(_BLANK)):
        buffer = stream.read(_PIECE_BYTES)
        if not buffer:
            return
    if not buffer.startswith(b"["):
        yield from _one(stream, buffer, max_bytes)
        return
    start, at, depth = 1, 1, 1
    while True:
        for found in _TOKEN.finditer(buffer, at):
            mark = found.group()
            if mark == b'"':
                at = found.start()
                break
            at = found.end()
            if mark in (b"[", b"{"):
                depth += 1
            elif mark in (b"]", b"}"):
                depth -= 1
                if depth == 0:
                    last = buffer[start : found.start()].strip(_BLANK)
                    if last:
                        yield last
                    _ends(stream, buffer[at:])
                    return
            elif mark == b"," and depth == 1:
                yield buffer[start : found.start()].strip(_BLANK) or b"null"
                start = at
        else:
            at = len(buffer)
        buffer, at = buffer[start:], at - start
        start = 0
        if len(buffer) > max_bytes:
            raise DocumentError("hostile-line", f"a row of more than {max_bytes:,} bytes", "line too long", buffer)
        more = stream.read(max(_PIECE_BYTES, len(buffer)))
        if not more:
            raise DocumentError("malformed-json", "the file ends within the array", "cut off", buffer)
        buffer += more


def _one(stream: IO[bytes], buffer: bytes, max_bytes: int) -> Iterator[bytes]:
    while piece := stream.read(_PIECE_BYTES):
        buffer += piece
        if len(buffer) > max_bytes:
            words = f"one JSON value of more than {max_bytes:,} bytes, not an array of rows"
            raise DocumentError("hostile-line", words, "line too long", buffer)
    yield buffer.strip(_BLANK)


def _ends(stream: IO[bytes], rest: bytes) -> None:
    while not rest.strip(_BLANK):
        rest = stream.read(_PIECE_BYTES)
        if not rest:
            return
    raise DocumentError("malformed-json", "something follows the array", "more than one object", rest.lstrip(_BLANK))
