"""A run as text: what is known of it, its metrics with a sparkline each, findings, a verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from trainguard.findings import Finding, Severity
from trainguard.report.run_view import RunView, duration, figure, ordered, sparkline
from trainguard.report.summary import counted
from trainguard.report.text import Style
from trainguard.report.visible import masked, visible

_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
COLORS: Mapping[Severity, str] = {"error": "\x1b[1;31m", "warn": "\x1b[1;33m", "info": "\x1b[1;36m"}
_NOUNS: Mapping[Severity, str] = {"error": "error", "warn": "warning", "info": "info"}
_MOST_METRICS = 8
_SPARK = 32


def safe(text: object) -> str:
    """Text of a run for a terminal: control characters visible, tokens starred out."""
    return masked(visible(str(text)))


def render_run_text(view: RunView, *, color: bool = False, width: int | None = None, unicode: bool = True) -> str:
    """All about a run: heading, metrics, findings, verdict."""
    style = Style(color)
    lines = [heading(view, style), *metric_lines(view, style, unicode=unicode)]
    blocks = ["\n".join(lines)]
    blocks += [finding_text(each, color=color, width=width) for each in view.findings]
    blocks += [f"note: {safe(note)}" for note in view.report().notes]
    blocks.append(verdict(view, color=color))
    return "\n\n".join(blocks) + "\n"


def heading(view: RunView, style: Style) -> str:
    """One line: `out: Trainer folder, sft (told from its metrics), 25 records, step 40 of 40, ended`."""
    words = [view.kind] if view.kind else []
    if view.method:
        words.append(view.method + (" (told from its metrics)" if view.method_told else ""))
    words.append(counted(view.records, "record"))
    if view.step is not None:
        words.append(f"step {view.step:,}" + (f" of {view.planned:,}" if view.planned else ""))
    if view.ended:
        words.append("ended")
    return f"{style(_BOLD, safe(view.subject))}: {safe(', '.join(words))}"


def metric_lines(view: RunView, style: Style, *, unicode: bool = True) -> list[str]:
    """A line a metric, those that people look at first."""
    shown = [(name, curve) for name, curve in ordered(view.curves) if curve.count][:_MOST_METRICS]
    if not shown:
        return []
    room = max(len(safe(name)) for name, _ in shown)
    lines = []
    arrow = "→" if unicode else "->"
    for name, curve in shown:
        values = f"{figure(curve.first)} {arrow} {figure(curve.last)}"
        spark = sparkline(curve, _SPARK, unicode=unicode)
        bad = f" ({counted(len(curve.bad), 'point')} NaN or infinite)" if curve.bad else ""
        lines.append(f"  {safe(name):<{room}}  {values:<22} {style(_DIM, spark)}{bad}".rstrip())
    return lines


def finding_text(finding: Finding, *, color: bool = False, width: int | None = None) -> str:
    """`step 340 error RUN001 loss-nan`, the message, the fix."""
    style = Style(color)
    place = f"step {finding.step:,}" if finding.step is not None else "the run"
    words = [style(_BOLD, place), style(COLORS[finding.severity], finding.severity)]
    words += [safe(word) for word in (finding.code, finding.name) if word]
    lines = [" ".join(words), *_wrapped(safe(finding.message), width)]
    if finding.fix is not None:
        lines += _wrapped(safe(finding.fix.text), width, label="fix: ")
    return "\n".join(lines)


def _wrapped(text: str, width: int | None, *, label: str = "") -> list[str]:
    if width is None:
        return [f"  {label}{text}"]
    return textwrap.wrap(
        text,
        max(width - 1, 30),
        initial_indent="  " + label,
        subsequent_indent="  " + " " * len(label),
        break_on_hyphens=False,
    )


def verdict(view: RunView, *, color: bool = False) -> str:
    """The last line: what was found, or that nothing was."""
    style = Style(color)
    found = [
        style(COLORS[severity], counted(number, noun))
        for severity, noun in _NOUNS.items()
        if (number := sum(each.severity == severity for each in view.findings))
    ]
    seen = counted(view.records, "record")
    text = f"{', '.join(found) or 'Nothing found'} in {seen}."
    if view.errors:
        text += f" {counted(len(view.errors), 'signal')} failed inside trainguard: please report it."
    return text


def status_line(view: RunView) -> str:
    """One line of where the run is, for a log: step, epoch, loss, learning rate, gradient norm, pace."""
    words = []
    if view.step is not None:
        words.append(f"step {view.step:,}" + (f"/{view.planned:,}" if view.planned else ""))
    if view.epoch is not None:
        words.append(f"epoch {view.epoch:.4g}")
    for name, short in (
        ("loss", "loss"),
        ("reward", "reward"),
        ("eval_loss", "eval loss"),
        ("learning_rate", "lr"),
        ("grad_norm", "grad norm"),
        ("tokens_per_second", "tokens/s"),
        ("memory_gb", "memory GB"),
    ):
        curve = view.curves.get(name)
        if curve is not None and curve.count:
            words.append(f"{short} {figure(curve.last)}")
    if view.pace:
        words.append(f"{figure(view.pace)} s/step")
    if view.seconds_left:
        words.append(f"{duration(view.seconds_left)} left")
    if view.phase:
        words.append(safe(view.phase))
    return " · ".join(words) or "nothing yet"
