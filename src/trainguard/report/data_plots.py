"""Plots of the HTML report as inline SVG: bars, a histogram of lengths, the share that a max_length cuts.

All text that comes from the data is escaped. Colours come from the style sheet of the page, by class.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from trainguard.report.data_summary import Bar, percent_words, range_words, rounded
from trainguard.report.visible import masked, visible

_WIDTH = 720
_ROW = 26
_CHARACTER = 7.2  # pixels of a character at the size of labels, on the wide side


def escaped(text: object) -> str:
    """Text of the data for a web page: tokens starred out, control characters visible, markup harmless."""
    return html.escape(masked(visible(str(text))), quote=True)


def bar_plot(bars: Sequence[Bar], *, title: str, unit: str) -> str:
    """Horizontal bars with their label before and their number behind."""
    labels = [bar.label if len(bar.label) <= 28 else bar.label[:27] + "…" for bar in bars]
    left = max(60, *(int(len(label) * _CHARACTER) + 16 for label in labels))
    room = _WIDTH - left - 130
    largest = max((bar.number for bar in bars), default=0) or 1
    parts = []
    for index, (bar, label) in enumerate(zip(bars, labels, strict=True)):
        y = index * _ROW
        width = max(room * bar.number / largest, 2 if bar.number else 0)
        number = f"{bar.number:,} ({percent_words(bar.share)})"
        parts.append(
            f"<g><title>{escaped(bar.label)}: {escaped(number)} {unit}</title>"
            f"{_text('label', left - 10, y + 17, label, 'end')}"
            f'<rect class="bar" x="{left}" y="{y + 4}" width="{width:.1f}" height="{_ROW - 8}" rx="2"/>'
            f"{_text('value', left + width + 8, y + 17, number, 'start')}</g>"
        )
    said = "; ".join(f"{bar.label}: {bar.number:,}" for bar in bars)
    return _svg(len(bars) * _ROW + 4, "".join(parts), title=title, said=f"{said} {unit}")


def histogram_plot(bins: Sequence[tuple[int, int, int]], *, title: str, marks: Sequence[tuple[str, int]] = ()) -> str:
    """Rows by length in tokens. Every bin has the same width, whatever it spans. `marks` are (name, tokens)."""
    left, top, height, bottom = 56, 24 + 16 * len(marks), 200, 40
    room = _WIDTH - left - 16
    step = room / max(len(bins), 1)
    largest = max((rows for _, _, rows in bins), default=0) or 1
    ticks = _ticks(largest)
    scale = height / ticks[-1]
    parts = [
        f'<line class="grid" x1="{left}" x2="{_WIDTH - 16}" y1="{top + height - tick * scale:.1f}" '
        f'y2="{top + height - tick * scale:.1f}"/><text class="tick" x="{left - 8}" '
        f'y="{top + height - tick * scale + 4:.1f}" text-anchor="end">{rounded(tick)}</text>'
        for tick in ticks
    ]
    every = -(-len(bins) // 12) or 1
    for index, (first, last, rows) in enumerate(bins):
        x, tall = left + index * step, max(rows * scale, 1.5 if rows else 0)
        parts.append(
            f"<g><title>{range_words(first, last)} tokens: {rows:,} rows</title>"
            f'<rect class="bar" x="{x + 1:.1f}" y="{top + height - tall:.1f}" width="{max(step - 2, 1):.1f}" '
            f'height="{tall:.1f}"/></g>'
        )
        if index % every == 0 and x < _WIDTH - 80:  # the last one's label would touch that of the end
            parts.append(_text("tick", x, top + height + 18, f"{first:,}"))
    if bins:
        parts.append(_text("tick", _WIDTH - 16, top + height + 18, f"{bins[-1][1] - 1:,}", "end"))
    for index, (name, tokens) in enumerate(marks):
        parts.append(_mark(name, _position(bins, tokens, left, step), 16 + 16 * index, top + height))
    parts.append(_text("axis", left + room / 2, top + height + 36, "tokens in a row"))
    said = "; ".join(f"{range_words(first, last)} tokens: {rows:,} rows" for first, last, rows in bins if rows)
    return _svg(top + height + bottom, "".join(parts), title=title, said=said)


def _mark(name: str, x: float, y: int, bottom: int) -> str:
    anchor, shift = ("end", -5) if x > _WIDTH * 0.75 else ("start", 5)
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{bottom}"/>'
        f'<text class="note" x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}">{escaped(name)}</text>'
    )


def _position(bins: Sequence[tuple[int, int, int]], tokens: int, left: float, step: float) -> float:
    for index, (first, last, _) in enumerate(bins):
        if tokens < last:
            return left + step * (index + max(tokens - first, 0) / max(last - first, 1))
    return left + step * len(bins)


def cut_plot(
    curve: Sequence[tuple[int, float]],
    over: Sequence[tuple[int, float]],
    *,
    title: str,
    max_length: int | None = None,
) -> str:
    """The share of rows that are longer than a max_length, over max_length on a logarithmic scale.

    `curve` and `over` are (tokens, share) in order of tokens; those of `over` get a dot and their numbers.
    """
    left, top, height, bottom = 56, 22, 200, 40
    room = _WIDTH - left - 40
    lengths = [max(tokens, 1) for tokens, _ in (*curve, *over)] or [1]
    low = math.log2(min(lengths))
    high = max(math.log2(max(lengths)), low + 1)

    def at(tokens: float, share: float) -> tuple[float, float]:
        return left + room * (math.log2(max(tokens, 1)) - low) / (high - low), top + height * (1 - share)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = at(1, share)[1]
        parts.append(
            f'<line class="grid" x1="{left}" x2="{left + room}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f"{_text('tick', left - 8, y + 4, f'{share:.0%}', 'end')}"
        )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in curve))
    parts.append(f'<polyline class="line" points="{line}"/>')
    for tokens, share in over:
        x, y = at(tokens, share)
        parts.append(
            f"<g><title>max_length {tokens:,} cuts {percent_words(share)} of the rows</title>"
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            f"{_text('value', x + 5, y - 7, percent_words(share), 'start')}</g>"
            f"{_text('tick', x, top + height + 18, f'{tokens:,}')}"
        )
    if max_length is not None and max_length not in dict(over) and 2**low <= max_length <= 2**high:
        parts.append(_mark(f"max_length {max_length:,}", at(max_length, 0)[0], 14, top + height))
    parts.append(_text("axis", left + room / 2, top + height + 36, "max_length in tokens"))
    said = "; ".join(f"longer than {tokens:,}: {percent_words(share)}" for tokens, share in over)
    return _svg(top + height + bottom, "".join(parts), title=title, said=said)


def _ticks(largest: int) -> list[int]:
    """0 and up to five round numbers, the last at or above `largest`."""
    power = 10 ** max(math.floor(math.log10(largest / 4)), 0) if largest > 4 else 1
    step = next(power * factor for factor in (1, 2, 5, 10, 20, 50) if power * factor * 5 >= largest)
    return list(range(0, -(-largest // step) * step + 1, step))


def _text(css: str, x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(words)}</text>'


def _svg(height: float, inside: str, *, title: str, said: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img"><title>{escaped(title)}</title>'
        f"<desc>{escaped(said)}</desc>{inside}</svg>"
    )
