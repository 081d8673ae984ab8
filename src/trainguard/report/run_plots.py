"""Curves of a run as SVG: a metric over steps, with marks where something was found. No script, nothing from outside.

All text that comes from a run is escaped; colours come from the style sheet of the page, by class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainguard.findings import Severity
from trainguard.report.data_plots import escaped
from trainguard.report.run_view import Curve, figure

WIDTH = 720
_LEFT, _RIGHT, _TOP, _HEIGHT, _BOTTOM = 64, 16, 16, 160, 40
# Marks with a label beside them; the others are lines alone.
_MOST_LABELS = 6
# A curve spans so many powers of ten, all above 0, before its axis is logarithmic.
_LOG_FROM = 2.5
_SMALLEST, _LARGEST = 1e-300, 1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place on the axis of steps: what was found there, or where a fault began (`css` onset)."""

    at: float
    label: str
    css: str = "info"
    about: str = ""

    @staticmethod
    def of(severity: Severity, at: float, label: str, about: str = "") -> Mark:
        return Mark(at=at, label=label, css=severity, about=about)


def curve_plot(name: str, curve: Curve, *, marks: Sequence[Mark] = (), span: tuple[float, float] | None = None) -> str:
    """One metric as an `<svg>` of its own, "" where there is nothing to draw. See `curve_parts`."""
    inside, height = curve_parts(name, curve, marks=marks, span=span)
    if not inside:
        return ""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">{inside}</svg>'


def curve_parts(
    name: str, curve: Curve, *, marks: Sequence[Mark] = (), span: tuple[float, float] | None = None
) -> tuple[str, int]:
    """What is inside of the `<svg>` of one metric, and its height; `span` is the first and the last step shown.

    The axis is cut at what nine in ten points reach where single spikes would hide the rest; spikes beyond it end in
    a triangle.
    """
    if not curve.points and not curve.bad:
        return "", 0
    steps = [at for at, _ in curve.points] + curve.bad
    first, last = span if span is not None else (min(steps), max(steps))
    last = last if last > first else first + 1
    rows = min(len(marks), _MOST_LABELS)
    top = _TOP + 14 * rows
    axis = _Axis.of([value for _, value in curve.points], top, may_be_log="learning_rate" not in name)
    room = WIDTH - _LEFT - _RIGHT

    def across(at: float) -> float:
        return _LEFT + room * min(max((at - first) / (last - first), 0.0), 1.0)

    parts = [*_grid(axis), *_step_labels(first, last, top)]
    parts += _line(curve, axis, across)
    for at in curve.bad:
        x = across(at)
        parts.append(
            f'<g><title>step {figure(at)}: {escaped(name)} is NaN or infinite</title><path class="bad" '
            f'd="M{x - 4:.1f},{top - 4}L{x + 4:.1f},{top + 4}M{x - 4:.1f},{top + 4}L{x + 4:.1f},{top - 4}"/></g>'
        )
    for row, mark in enumerate(sorted(marks, key=lambda each: each.at)):
        parts.append(_mark(mark, across(mark.at), row if row < _MOST_LABELS else None, top + _HEIGHT))
    said = f"{name} from {figure(curve.first)} to {figure(curve.last)} over steps {figure(first)} to {figure(last)}"
    said += "".join(f"; {mark.label} at step {figure(mark.at)}" for mark in marks[:20])
    return f"<title>{escaped(name)}</title><desc>{escaped(said)}</desc>{''.join(parts)}", top + _HEIGHT + _BOTTOM


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    log: bool
    top: int

    @staticmethod
    def of(values: Sequence[float], top: int, *, may_be_log: bool = True) -> _Axis:
        if not values:
            return _Axis(0.0, 1.0, False, top)
        ordered = sorted(values)
        low, high = ordered[0], ordered[-1]
        if may_be_log and low > 0 and math.log10(high / low) > _LOG_FROM:
            return _Axis(math.log10(low), math.log10(high), True, top)
        # One spike far above all others must not press the curve flat.
        usual = ordered[int(len(ordered) * 0.9)]
        if len(ordered) >= 20 and high - low > 12 * (usual - low) > 0:
            high = usual + (usual - low)
        pad = (high - low) * 0.06 or abs(high) * 0.1 or 0.5
        if not _SMALLEST < high - low + 2 * pad < _LARGEST or abs(high) > _LARGEST:
            return _Axis(-_LARGEST, _LARGEST, False, top)  # beyond what can be reckoned with: a flat line says enough
        return _Axis(low - pad, high + pad, False, top)

    def up(self, value: float) -> float:
        value = math.log10(value) if self.log and value > 0 else value
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.top + _HEIGHT * (1 - min(max(share, 0.0), 1.0))

    def beyond(self, value: float) -> bool:
        return not self.log and value > self.high

    def ticks(self) -> list[float]:
        if self.log:
            whole = range(math.ceil(self.low), math.floor(self.high) + 1)
            every = max(1, -(-len(whole) // 5))
            return [10.0**power for power in whole[::every]]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step = next((step * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 5), step)
        first = math.ceil(self.low / step)
        return [(first + number) * step for number in range(6) if (first + number) * step <= self.high]


def _grid(axis: _Axis) -> list[str]:
    parts = []
    for tick in axis.ticks():
        y = axis.up(tick)
        value = 0.0 if abs(tick) < 1e-12 * max(abs(axis.high), abs(axis.low)) else tick
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_tick(value)}</text>'
        )
    return parts


def _tick(value: float) -> str:
    """A number for the room left of the axis, which is eight narrow characters wide."""
    text = figure(value)
    if len(text) < 8:
        return text
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _step_labels(first: float, last: float, top: int) -> list[str]:
    room, y = WIDTH - _LEFT - _RIGHT, top + _HEIGHT + 18
    parts = []
    for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")):
        step = first + (last - first) * share
        parts.append(
            f'<text class="tick" x="{_LEFT + room * share:.1f}" y="{y}" text-anchor="{anchor}">{step:,.0f}</text>'
        )
    parts.append(f'<text class="axis" x="{_LEFT + room / 2:.1f}" y="{y + 17}" text-anchor="middle">step</text>')
    return parts


def _line(curve: Curve, axis: _Axis, across: Callable[[float], float]) -> list[str]:
    parts = []
    runs: list[list[tuple[float, float]]] = [[]]
    before = -math.inf
    for at, value in curve.points:
        if at < before:  # the run was resumed from before here
            runs.append([])
        before = at
        runs[-1].append((across(at), axis.up(value)))
        if axis.beyond(value):
            x, y = runs[-1][-1]
            parts.append(
                f'<g><title>step {figure(at)}: {figure(value)}</title><path class="over" '
                f'd="M{x:.1f},{y - 7:.1f}l4,7h-8z"/></g>'
            )
    for run in runs:
        if len(run) == 1:
            parts.append(f'<circle class="dot" cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3"/>')
        elif run:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            parts.insert(0, f'<polyline class="line" points="{points}"/>')
    return parts


def _mark(mark: Mark, x: float, row: int | None, bottom: int) -> str:
    about = f"step {figure(mark.at)}: {mark.label}" + (f": {mark.about}" if mark.about else "")
    line = f'<line class="mark {mark.css}" x1="{x:.1f}" x2="{x:.1f}" y1="{14 * (row or 0) + 6}" y2="{bottom}"/>'
    text = ""
    if row is not None:
        anchor, shift = ("end", -5) if x > WIDTH * 0.7 else ("start", 5)
        text = (
            f'<text class="note {mark.css}" x="{x + shift:.1f}" y="{14 * row + 16}" text-anchor="{anchor}">'
            f"{escaped(mark.label)}</text>"
        )
    return f"<g><title>{escaped(about)}</title>{line}{text}</g>"
