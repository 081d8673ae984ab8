"""What one range of a file adds to the facts, as it is sent from a worker to the parent."""

from __future__ import annotations

from typing import Any

import msgspec

from trainguard.facts.data.records import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES, ProblemKind

_MAX_NAME = 80  # characters
_MAX_NAMES = 200


class Spot(msgspec.Struct, array_like=True):
    """A place of a problem: `line` counts from 0 within the range, `column` from 1."""

    line: int
    column: int | None
    text: str
    detail: str


class Trouble(msgspec.Struct, array_like=True):
    """One kind of problem within a range: the rows that have it, what exactly, and the first few."""

    count: int = 0
    counts: dict[str, int] = {}
    spots: list[Spot] = []

    def name(self, name: str, count: int) -> None:
        """Counts by name, of not too many and not too long names: they come from the data."""
        name = name[:_MAX_NAME]
        if name in self.counts or len(self.counts) < _MAX_NAMES:
            self.counts[name] = self.counts.get(name, 0) + count

    @property
    def full(self) -> bool:
        return len(self.spots) >= MAX_SAMPLES


class Seen(msgspec.Struct, array_like=True):
    """Rows with one pattern of roles; `row` is the first of them, on `line` of the range, for a template to judge."""

    pattern: tuple[str, ...]
    count: int
    row: bytes = b""
    line: int = 0


class Tally(msgspec.Struct, kw_only=True):
    """The counts of one range. `lines` are those that begin in it, blank ones too; `rows` those that could be read.

    `hashes` holds (first line, xxh3 of each line from there as 8 bytes in the machine's order, 0 for a line without
    a row). `numbers` maps the lines of the range to lines of the file where they are not the same (CSV).
    `size` is the bytes of JSON that were read. `error` says why the range could not be read to its end.
    """

    lines: int = 0
    rows: int = 0
    size: int = 0
    layouts: dict[str, int] = {}
    layout_firsts: dict[str, int] = {}
    conversational: int = 0
    columns: dict[str, int] = {}
    patterns: list[Seen] = []
    troubles: dict[str, Trouble] = {}
    hashes: list[tuple[int, bytes]] = []
    numbers: list[int] = []
    measured: Any = None
    near: list[tuple[int, bytes, str]] = []
    leaks: Any = None
    error: str | None = None
    notes: list[str] = []

    def trouble(self, kind: ProblemKind) -> Trouble:
        found = self.troubles.get(kind)
        if found is None:
            found = self.troubles[kind] = Trouble()
        return found


# Characters of a sample that stand before the place in question, so that it can be recognised.
_BEFORE = 40


def excerpt(text: str, column: int | None) -> str:
    """The part of a line around the column (from 1), at most `MAX_SAMPLE_CHARACTERS` long."""
    if column is None or column <= _BEFORE or len(text) <= MAX_SAMPLE_CHARACTERS:
        return text[:MAX_SAMPLE_CHARACTERS]
    start = column - 1 - _BEFORE
    return text[start : start + MAX_SAMPLE_CHARACTERS]
