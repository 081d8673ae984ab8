"""Where the source of each cell stands in the JSON of a notebook, and how to change it and nothing else.

Formats: nbformat 4 (`cells`, `source`) and 3 (`worksheets`, `input`), as `trainguard.facts.notebook` reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trainguard.fixing.changes import CannotFixError, Region, merged

_SPACE = re.compile(r"[ \t\n\r]*")
# One character of a JSON string as it is written (RFC 8259, section 7); two escapes make one beyond U+FFFF.
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One JSON string of a source: its place with the quotes, and the offset of each character and of the end."""

    start: int
    end: int
    offsets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSource:
    """The source of a cell, joined, and the JSON strings that it is made of."""

    text: str
    pieces: tuple[_Piece, ...]

    def in_json(self, regions: Sequence[Region]) -> list[Region]:
        """The regions of the source as regions of the JSON text."""
        found: list[Region] = []
        left = [len(piece) for piece in self.pieces]
        for region in regions:
            place = 0
            new = json.dumps(region.new)[1:-1]
            for index, piece in enumerate(self.pieces):
                start, end = max(region.start - place, 0), min(region.end - place, len(piece))
                is_last = index == len(self.pieces) - 1
                starts_here = place <= region.start < place + len(piece) or (is_last and region.start >= place)
                if start < end or (starts_here and new):
                    end = max(end, start)
                    written = new if starts_here else ""
                    found.append(Region(start=piece.offsets[start], end=piece.offsets[end], new=written))
                    left[index] += len(written) - (end - start)
                place += len(piece)
        return merged([*found, *self._emptied(left)])

    def _emptied(self, left: Sequence[int]) -> Iterator[Region]:
        """Takes out the strings of which nothing is left, with their commas."""
        kept = [index for index, count in enumerate(left) if count or not len(self.pieces[index])]
        for index, count in enumerate(left):
            if index in kept or count or not kept:
                continue
            if index < kept[-1]:
                yield Region(start=self.pieces[index].start, end=self.pieces[index + 1].start)
            else:
                yield Region(start=self.pieces[kept[-1]].end, end=self.pieces[index].end)


def cell_sources(raw: str) -> dict[int, CellSource]:
    """The sources of all cells by number, counted from 1. Raises CannotFixError for what is no notebook."""
    try:
        return {number: source for number, cell in enumerate(_cells(raw), 1) if (source := _source(raw, cell))}
    except (ValueError, IndexError, KeyError, RecursionError):
        raise CannotFixError("the JSON of the notebook cannot be edited") from None


def _cells(raw: str) -> Iterator[int]:
    document = _members(raw, _skip(raw, 0))
    if "cells" in document:
        yield from _items(raw, document["cells"])
        return
    for sheet in _items(raw, document["worksheets"]):
        if "cells" in (members := _members(raw, sheet)):
            yield from _items(raw, members["cells"])


def _source(raw: str, cell: int) -> CellSource | None:
    members = _members(raw, cell)
    place = members.get("source", members.get("input"))
    if place is None:
        return None
    starts = [place] if raw[place] == '"' else [item for item in _items(raw, place) if raw[item] == '"']
    texts, pieces = [], []
    for start in starts:
        text, end = _decoder.raw_decode(raw, start)
        offsets = (*(start + 1 + match.start() for match in _CHARACTER.finditer(raw[start + 1 : end - 1])), end - 1)
        if len(offsets) != len(text) + 1:
            raise ValueError(start)
        texts.append(text)
        pieces.append(_Piece(start=start, end=end, offsets=offsets))
    return CellSource(text="".join(texts), pieces=tuple(pieces)) if pieces else None


# -- JSON, by place ------------------------------------------------------------------------


def _skip(raw: str, place: int) -> int:
    match = _SPACE.match(raw, place)
    return match.end() if match is not None else place


def _members(raw: str, place: int) -> dict[str, int]:
    """The keys of the object at `place`, with where their values start. Of equal keys the last, as `json` does."""
    found: dict[str, int] = {}
    if raw[place] != "{":
        raise ValueError(place)
    place = _skip(raw, place + 1)
    while raw[place] != "}":
        key, place = _decoder.raw_decode(raw, place)
        place = _skip(raw, _skip(raw, place) + 1)  # the colon
        found[key] = place
        place = _after(raw, place)
    return found


def _items(raw: str, place: int) -> list[int]:
    """Where the items of the list at `place` start."""
    found: list[int] = []
    if raw[place] != "[":
        raise ValueError(place)
    place = _skip(raw, place + 1)
    while raw[place] != "]":
        found.append(place)
        place = _after(raw, place)
    return found


def _after(raw: str, place: int) -> int:
    """Where the next item or the end of the container stands, behind the value at `place` and a comma."""
    value: tuple[Any, int] = _decoder.raw_decode(raw, place)
    place = _skip(raw, value[1])
    return _skip(raw, place + 1) if raw[place] == "," else place
