"""Lines of a file in bounded memory, and the file of those that are rejected."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import msgspec

_BLOCK_BYTES = 1 << 20
# Base64 writes three bytes as four characters, so that pieces of a multiple of three can be written one by one.
_PIECE_BYTES = 3 << 18


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end, or for one over `limit` bytes its `pieces` without the end; these are read once, at once.

    `end` is the number of bytes of the file up to the end of the line, as far as it was read.
    """

    number: int
    raw: bytes
    end: int
    limit: int = 0
    pieces: Iterator[bytes] | None = None


def lines(file: IO[bytes], limit: int) -> Iterator[Line]:
    """The lines of a file in order, numbered from 1."""
    number, done, rest = 0, 0, b""
    while True:
        block = file.read(_BLOCK_BYTES)
        if not block:
            break
        rest += block
        parts = rest.split(b"\n")
        rest = parts.pop()
        for part in parts:
            number += 1
            done += len(part) + 1
            yield Line(number, part + b"\n", done)
        if len(rest) > limit:
            number += 1
            long = _Long(file, rest)
            yield Line(number, b"", done, limit, long.pieces())
            for _ in long.pieces():  # what was not taken
                pass
            done += long.size
            rest = long.after
    if rest:
        yield Line(number + 1, rest, done + len(rest))


class _Long:
    """A line that is not held: its pieces are read as they are asked for."""

    def __init__(self, file: IO[bytes], begun: bytes) -> None:
        self._file, self._begun = file, begun
        self._open = True
        self.after = b""
        self.size = 0

    def pieces(self) -> Iterator[bytes]:
        while self._open:
            piece, self._begun = self._begun or self._file.read(_BLOCK_BYTES), b""
            if not piece:
                self._open = False
                return
            at = piece.find(b"\n")
            if at >= 0:
                piece, self.after = piece[:at], piece[at + 1 :]
                self._open = False
                self.size += 1
            self.size += len(piece)
            yield piece


class Rejects:
    """Writes rejected lines as JSON Lines: line, reason and `raw`; `raw_base64` where it is not UTF-8 or too long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, number: int, reason: str, raw: bytes) -> None:
        record: dict[str, object] = {"line": number, "reason": reason}
        try:
            record["raw"] = raw.decode("utf-8")
        except UnicodeDecodeError:
            record["raw_base64"] = base64.b64encode(raw).decode("ascii")
        self._file.write(msgspec.json.encode(record) + b"\n")

    def write_long(self, number: int, reason: str, pieces: Iterator[bytes]) -> None:
        head = msgspec.json.encode({"line": number, "reason": reason})[:-1]
        self._file.write(head + b',"raw_base64":"')
        rest = b""
        for piece in pieces:
            rest += piece
            whole = len(rest) - len(rest) % 3
            self._file.write(base64.b64encode(rest[:whole]))
            rest = rest[whole:]
        self._file.write(base64.b64encode(rest) + b'"}\n')
