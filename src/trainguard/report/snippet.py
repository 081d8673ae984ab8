"""The source line of a finding with a caret under what is meant."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from trainguard.findings import Location, Report
from trainguard.report.visible import escaped, masked

TAB_CELLS = 4
_LINE_END = re.compile(r"\r\n|\r|\n")  # the line ends of Python's own tokenizer; str.splitlines knows more
_MORE = "…"
_LONGEST_TOKEN = 400  # characters


@dataclass(frozen=True, slots=True)
class Snippet:
    """One line as shown, and the caret line below it, "" without a column."""

    text: str
    caret: str


class SourceLines:
    """The lines that the findings of one report point into, each text split once and only when asked for."""

    def __init__(self, report: Report) -> None:
        self._sources = report.sources
        self._lines: dict[tuple[str | None, int | None], list[str]] = {}

    def line_at(self, where: Location) -> str | None:
        """The line of `where`, numbered as Python numbers them; None where it is not known."""
        key = (where.path, where.cell)
        if where.line is None or key not in self._sources:
            return None
        if key not in self._lines:
            self._lines[key] = _LINE_END.split(self._sources[key])
        lines = self._lines[key]
        return lines[where.line - 1] if 0 < where.line <= len(lines) else None


def snippet(line: str, where: Location, *, max_cells: int = 110, secret: bool = False) -> Snippet:
    """What to show of `line`, at which `where` points.

    Columns count characters; the caret counts terminal cells, so that it stands right under tabs,
    wide characters and escapes. A line longer than `max_cells` is cropped around the caret.
    """
    start, end = _span(line, where)
    # A minified line may have millions of characters: only the part around the caret is looked at.
    offset = max(0, start - max_cells)
    window = line[offset : start + 2 * max_cells]
    # Masked with a margin: a token that the window cuts would not look like one.
    margin = max(0, offset - _LONGEST_TOKEN)
    safe = masked(line[margin : offset + len(window) + _LONGEST_TOKEN], secret=secret)
    shown = [_shown(char) for char in safe[offset - margin : offset - margin + len(window)]]
    cells = [cell_count(text) for text in shown]
    start, end = start - offset, min(end - offset, len(shown))
    first, last = _crop(cells, start, end, max_cells)
    more_before = first > 0 or offset > 0
    more_after = last < len(shown) or offset + len(window) < len(line)
    text = (_MORE if more_before else "") + "".join(shown[first:last]) + (_MORE if more_after else "")
    before = sum(cells[first:start]) + more_before
    caret = "" if where.column is None else " " * before + "^" * max(1, sum(cells[start : min(end, last)]))
    return Snippet(text.rstrip(), caret)


def _span(line: str, where: Location) -> tuple[int, int]:
    start = min(max((where.column or 1) - 1, 0), len(line))
    if where.end_line is not None and where.line is not None and where.end_line > where.line:
        return start, len(line.rstrip())
    return start, min(max(where.end_column - 1 if where.end_column else start + 1, start), len(line))


def _crop(cells: list[int], start: int, end: int, max_cells: int) -> tuple[int, int]:
    """The slice of characters to show: all, or a window with the caret about a third in."""
    if sum(cells) <= max_cells:
        return 0, len(cells)
    first, room = start, max_cells // 3
    if sum(cells[:end]) <= max_cells:
        first = 0
    while first > 0 and room >= cells[first - 1]:
        first -= 1
        room -= cells[first]
    last, room = first, max_cells
    while last < len(cells) and room >= cells[last]:
        room -= cells[last]
        last += 1
    return first, last


def _shown(char: str) -> str:
    if char == "\t":
        return " " * TAB_CELLS
    return char if char.isprintable() else escaped(char)


def cell_count(text: str) -> int:
    """The cells of a terminal that `text` takes."""
    return sum(_char_cells(char) for char in text)


def _char_cells(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1  # UAX #11: wide and fullwidth take two cells
