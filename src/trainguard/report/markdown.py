"""Findings as a table for a pull request comment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trainguard.findings import Location, Report, Severity
from trainguard.report.places import unreadable_reason
from trainguard.report.summary import counted, not_asked_lines, noun, totals
from trainguard.report.visible import visible

_NAMES: Mapping[Severity, str] = {"error": "error", "warn": "warning", "info": "info"}
# Punctuation that GitHub Flavored Markdown gives a meaning (spec 0.29, 6.1: any of it may be
# backslash-escaped). `@` and `&` become entities: a script must not be able to mention people.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$-])")


def render_markdown(reports: Sequence[Report]) -> str:
    """A headline, and a table where there is something to list."""
    total = totals(reports)
    counts = [(total.errors, "error"), (total.warnings, "warning"), (total.infos, "info")]
    found = ", ".join(counted(number, noun) for number, noun in counts if number) or "nothing found"
    lines = [f"**trainguard**: {found} in {counted(total.subjects - total.unreadable, noun(reports))}", ""]
    rows = [row for report in reports for row in _rows(report)]
    if rows:
        lines += ["| | where | rule | what, and what to do |", "|---|---|---|---|", *rows, ""]
    lines += [escape_markdown(text) for text in not_asked_lines(reports)]
    return "\n".join(lines).rstrip() + "\n"


def _rows(report: Report) -> list[str]:
    rows = []
    if report.unreadable is not None:
        rows.append(_row("cannot be read", report.subject, "", unreadable_reason(report)))
    rows += [_row("internal error", report.subject, "", f"{e.origin}: {e.message}") for e in report.errors]
    for finding in report.findings:
        where = finding.where or Location()
        place = str(Location(where.path or report.subject, where.line, cell=where.cell))
        rule = " ".join(word for word in (finding.code, finding.name) if word)
        text = escape_markdown(finding.message)
        if finding.fix is not None:
            text += f"<br>**fix:** {escape_markdown(finding.fix.text)}"
        rows.append(_row(_NAMES[finding.severity], place, rule, text, escaped=True))
    return rows


def _row(severity: str, place: str, rule: str, text: str, *, escaped: bool = False) -> str:
    text = text if escaped else escape_markdown(text)
    return f"| {severity} | {escape_markdown(place)} | {escape_markdown(rule)} | {text} |"


def escape_markdown(text: str) -> str:
    """`text` as it stands, in a table cell: nothing of it is markup."""
    text = _SPECIAL.sub(r"\\\1", visible(text).replace("&", "&amp;"))
    return text.replace("@", "&#64;")
