"""Findings for people: place, source line with a caret, reason and fix."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainguard.findings import Finding, Location, Report, Severity
from trainguard.report.places import unreadable_reason
from trainguard.report.snippet import SourceLines, snippet
from trainguard.report.summary import counted, not_asked_lines, noun, totals
from trainguard.report.visible import masked, visible

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_COLORS: Mapping[Severity, str] = {"error": "\x1b[1;31m", "warn": "\x1b[1;33m", "info": "\x1b[1;36m"}
_SECRET_CODE = "JOB012"
_WIDEST = 110
_MOST_SAMPLES = 5
_LONGEST_SAMPLE = 120  # characters


class Style:
    """Wraps text in ANSI codes, or leaves it plain."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self._color and text else text


_NOTHING = (
    "There is nothing to check: folders are searched for scripts, notebooks and jobs; "
    "name data, models and checkpoints."
)


def render_text(reports: Sequence[Report], *, color: bool = False, width: int | None = None) -> str:
    """All findings, grouped by file, then a summary.

    `width` is the terminal's, in cells: messages are wrapped to it. None, for files and pipes, leaves
    a message on one line, so that it can be searched.
    """
    style = Style(color)
    blocks = [block for report in reports for block in _report_blocks(report, style, width)]
    return "\n\n".join([*blocks, _summary(reports, style, width)]) + "\n"


def render_findings(report: Report, *, color: bool = False, width: int | None = None) -> str:
    """The findings of one report without a summary, "" for none."""
    return "\n\n".join(_report_blocks(report, Style(color), width))


def render_summary(reports: Sequence[Report], *, color: bool = False, width: int | None = None) -> str:
    """The last lines alone: how much was found, and what was not asked."""
    return _summary(reports, Style(color), width)


def _report_blocks(report: Report, style: Style, width: int | None) -> list[str]:
    blocks = []
    if report.unreadable is not None:
        head = f"{style(_BOLD, visible(report.subject))} {style(_COLORS['error'], 'cannot be read')}"
        blocks.append(f"{head}\n{_indented(visible(unreadable_reason(report)), width)}")
    for error in report.errors:
        head = f"{style(_BOLD, visible(report.subject))} {style(_COLORS['error'], 'internal error')}"
        text = f"{error.origin}: {error.message}; its findings are missing, the others stand"
        blocks.append(f"{head}\n{_indented(visible(text), width)}")
    lines = SourceLines(report)
    blocks.extend(_finding_block(finding, report, lines, style, width) for finding in report.findings)
    blocks.extend(f"{visible(report.subject)}: note: {visible(note)}" for note in report.notes)
    return blocks


def _finding_block(finding: Finding, report: Report, lines: SourceLines, style: Style, width: int | None) -> str:
    where = finding.where or Location()
    place = str(where if where.path is not None else replace(where, path=report.subject))
    words = [style(_BOLD, visible(place)), style(_COLORS[finding.severity], finding.severity)]
    words += [visible(word) for word in (finding.code, finding.name) if word]
    block = [" ".join(words)]
    if (line := lines.line_at(where)) is not None:
        block += _snippet_lines(finding, where, line, style, width)
    block.append(_indented(visible(finding.message), width))
    block += _sample_lines(finding, style, width)
    if finding.fix is not None:
        block.append(_indented(visible(finding.fix.text), width, label="fix: ", style=style))
    return "\n".join(block)


def _snippet_lines(finding: Finding, where: Location, line: str, style: Style, width: int | None) -> list[str]:
    gutter = max(len(str(where.line or 0)), 4)
    room = max(min(width or _WIDEST, _WIDEST) - gutter - 5, 20)
    shown = snippet(line, where, max_cells=room, secret=finding.code == _SECRET_CODE)
    bar = style(_DIM, "|")
    number = style(_DIM, f"{where.line or 0:>{gutter}}")
    source = [f"{number} {bar} {shown.text}".rstrip()]
    if shown.caret:
        caret = len(shown.caret) - len(shown.caret.lstrip())
        mark = " " * caret + style(_COLORS[finding.severity], shown.caret[caret:])
        source.append(f"{' ' * gutter} {bar} {mark}")
    return source


def _sample_lines(finding: Finding, style: Style, width: int | None) -> list[str]:
    """The samples of a finding about data, a line each: number, what is wrong there, the text, cut to the width."""
    samples = finding.evidence.get("samples")
    if not isinstance(samples, tuple):
        return []
    shown = [
        each for each in samples[:_MOST_SAMPLES] if isinstance(each, Mapping) and ("line" in each or "row" in each)
    ]
    places = [visible(_sample_place(each)) for each in shown]
    gutter = max([4, *map(len, places)])
    room = max(min(width or _WIDEST, _WIDEST) - gutter - 5, 20)
    lines = []
    for place, sample in zip(places, shown, strict=True):
        said = str(sample.get("detail", ""))
        said = "" if f": {said}" in finding.message else snippet(said, Location(), max_cells=room // 2).text
        said += ": " if said and sample.get("text") else ""
        text = _sample_text(sample, room - len(said))
        lines.append(f"{style(_DIM, place.rjust(gutter))} {style(_DIM, '|')} {said}{text}".rstrip())
    return lines


def _sample_place(sample: Mapping[str, object]) -> str:
    number = str(sample.get("line", sample.get("row")))
    return f"{sample['path']}:{number}" if "path" in sample else number


def _sample_text(sample: Mapping[str, object], room: int) -> str:
    """As much of a sample's text as there is room for, around the column that it is about."""
    text, column = masked(str(sample.get("text", ""))), sample.get("column")  # before a cut can hide a token
    # A text as long as samples get may be the middle of its line, which begins shortly before the column.
    if isinstance(column, int) and room - 12 < column <= len(text) + 1 <= _LONGEST_SAMPLE:
        text = "…" + text[-(room - 2) :]
    return snippet(text, Location(), max_cells=room).text


def _indented(text: str, width: int | None, *, label: str = "", style: Style | None = None) -> str:
    indent = "  "
    if width is not None:
        lines = textwrap.wrap(
            text,
            max(width - 1, 30),
            initial_indent=indent + label,
            break_on_hyphens=False,
            subsequent_indent=indent + " " * len(label),
            break_long_words=False,
        )
    else:
        lines = [f"{indent}{label}{text}"]
    if label and style is not None and lines:
        lines[0] = indent + style(_BOLD, label.rstrip()) + lines[0][len(indent) + len(label.rstrip()) :]
    return "\n".join(lines)


def _summary(reports: Sequence[Report], style: Style, width: int | None) -> str:
    total = totals(reports)
    found: list[tuple[Severity, str, int]] = [
        ("error", "error", total.errors),
        ("warn", "warning", total.warnings),
        ("info", "info", total.infos),
    ]
    parts = [style(_COLORS[severity], counted(count, noun)) for severity, noun, count in found if count]
    read = total.subjects - total.unreadable
    sentences = [f"{', '.join(parts) or 'Nothing found'} in {counted(read, noun(reports))}."] if read else []
    if total.unreadable:
        sentences.append(f"{counted(total.unreadable, noun(reports))} could not be read.")
    if total.internal_errors:
        sentences.append(f"{counted(total.internal_errors, 'rule')} failed inside trainguard: please report it.")
    lines = [" ".join(sentences) or _NOTHING]
    for text in not_asked_lines(reports):
        lines += textwrap.wrap(text, max(width - 1, 30), subsequent_indent="  ") if width is not None else [text]
    return "\n".join(lines)
