"""Training data for people at a terminal: figures, bars, then the findings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from trainguard.findings import Report
from trainguard.report import data_summary as words
from trainguard.report.data_summary import Bar, Summary
from trainguard.report.text import Style, render_findings, render_summary
from trainguard.report.visible import masked, visible

_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_BAR = "\x1b[36m"
_LABEL = 13  # cells of the column of headings
_NARROWEST = 40
_DEFAULT_WIDTH = 100  # of files and pipes
_BINS = 12  # rows of the histogram
_LONGEST_BAR = 36
# Eighths of a cell: U+258F to U+2588. A number that is not 0 has a bar that can be seen.
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def render_data_text(
    subjects: Sequence[tuple[Summary | None, Report]],
    *,
    color: bool = False,
    width: int | None = None,
    unicode: bool = True,
) -> str:
    """A block for each set of data (None: it could not be looked at), its findings, and a sentence at the end.

    `width` is the terminal's in cells, None for files and pipes: findings are not wrapped then. `unicode` False
    draws bars in ASCII.
    """
    page = _Page(Style(color), max(width or _DEFAULT_WIDTH, _NARROWEST), unicode=unicode)
    blocks = []
    for data, report in subjects:
        if data is not None and data["files"]:
            blocks.append("\n".join(page.block(data)))
        if findings := render_findings(report, color=color, width=width):
            blocks.append(findings)
    blocks.append(render_summary([report for _, report in subjects], color=color, width=width))
    return "\n\n".join(blocks) + "\n"


class _Page:
    """Lines of one width and style."""

    def __init__(self, style: Style, width: int, *, unicode: bool) -> None:
        self._style = style
        self._width = width
        self._unicode = unicode
        self._dot = " · " if unicode else ", "

    def block(self, data: Summary) -> list[str]:
        """Everything that is known of one set of data."""
        lines = [self._style(_BOLD, _safe(data["path"]))]
        lines += self._wrapped("", self._dot.join(words.headline(data)))
        sections = [
            self._columns(data),
            self._bars("Roles", words.bars_of(data["roles"]), "of messages"),
            self._bars("Messages", words.turn_bars(data["turns"]), "of rows, by messages a row"),
            self._lengths(data),
            [line for name, said in words.comparisons(data) for line in self._wrapped(name, said)],
        ]
        for section in sections:
            lines += ["", *section] if section else []
        return lines

    def _columns(self, data: Summary) -> list[str]:
        lines = []
        if len(data["layouts"]) > 1:
            layouts = (
                f"{words.layout_words(name)} {number:,}"
                for name, number in sorted(data["layouts"].items(), key=lambda item: -item[1])
            )
            lines += self._wrapped("Layouts", self._dot.join(layouts))
        if data["columns"]:
            lines += self._wrapped("Columns", self._dot.join(words.columns_words(data)))
        return lines

    def _lengths(self, data: Summary) -> list[str]:
        lengths = data["lengths"]
        if lengths is None or not lengths["counted"]:
            return []
        lines = self._wrapped("Length", words.length_words(lengths, data["rows"], data["tokenizer"]))
        bins = words.histogram_bins(lengths, most=_BINS)
        whole = sum(rows for _, _, rows in bins) or 1
        lines += self._bars(
            "", [Bar(words.range_words(first, last), rows, rows / whole) for first, last, rows in bins], "of rows"
        )
        percentiles = lengths["percentiles"]
        figures = [f"shortest {lengths['shortest']:,}"]
        figures += [
            f"{_percentile(percent)} {percentiles[percent]:,}"
            for percent in ("5", "50", "90", "95", "99")
            if percent in percentiles
        ]
        figures += [f"longest {lengths['longest']:,}"]
        lines += self._wrapped("", self._dot.join(figures))
        total = f"{words.rounded(lengths['total'])} tokens in all, {lengths['mean']:,.0f} a row"
        lines += self._wrapped("", ("" if lengths["exact"] else "about ") + total)
        over = [f"{int(tokens):,}: {words.percent_words(share)}" for tokens, share in words.shares_over(lengths)]
        lines += self._wrapped("Longer than", self._dot.join(over))
        return lines

    def _bars(self, heading: str, bars: Sequence[Bar], whole: str) -> list[str]:
        """One line a bar: label, number, bar, share. Bars are drawn in proportion to the largest."""
        if not bars:
            return []
        numbers = [f"{bar.number:,}" for bar in bars]
        digits = max(map(len, numbers))
        room = self._width - (_LABEL + 2) - digits - 11  # for label and bar: 7 cells for the share, two gaps
        labels = [_short(_safe(bar.label), max(min(room, self._width // 3), 8)) for bar in bars]
        widest = max(map(len, labels))
        cells = min(room - widest - 2, _LONGEST_BAR)
        largest = max(bar.number for bar in bars) or 1
        numeric = all(label[:1].isdigit() for label in labels)
        lines: list[str] = []
        for bar, label, number in zip(bars, labels, numbers, strict=True):
            drawn = self._bar(bar.number / largest, cells) if cells >= 4 else ""
            pad = " " * (max(cells, 0) - len(drawn)) if cells >= 4 else ""
            shown = f"{self._style(_BAR, drawn)}{pad}  " if cells >= 4 else ""
            share = words.percent_words(bar.share)
            head = self._heading(heading) if not lines else " " * (_LABEL + 2)
            align = label.rjust(widest) if numeric else label.ljust(widest)
            lines.append(f"{head}{align}  {number:>{digits}}  {shown}{share:>7}".rstrip())
        if len(_plain(lines[0])) + len(whole) + 2 <= self._width:
            lines[0] += self._style(_DIM, f"  {whole}")
        return lines

    def _bar(self, share: float, cells: int) -> str:
        if not share:
            return ""
        if not self._unicode:
            return "#" * round(share * cells) or "."
        eighths = max(round(share * cells * 8), 1)
        return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()

    def _heading(self, text: str) -> str:
        return "  " + self._style(_BOLD, text) + " " * (_LABEL - len(text))

    def _wrapped(self, heading: str, text: str) -> list[str]:
        # A figure stays with its sign, and a dot with what is before it.
        held = _safe(text).replace(" %", "\x1f%").replace(" · ", "\x1f· ")
        parts = textwrap.wrap(held, max(self._width - _LABEL - 3, 20), break_on_hyphens=False) or [""]
        parts = [part.replace("\x1f", " ") for part in parts]
        indent = " " * (_LABEL + 2)
        return [(self._heading(heading) if number == 0 else indent) + part for number, part in enumerate(parts)]


def _plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def _percentile(percent: str) -> str:
    return "median" if percent == "50" else f"{percent} %"


def _safe(text: str) -> str:
    return masked(visible(text))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
