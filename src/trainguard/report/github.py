"""Findings as annotations of a GitHub Actions run.

Commands and their escaping: docs.github.com, "Workflow commands for GitHub Actions", and
`packages/core/src/command.ts` of actions/toolkit (escapeData, escapeProperty).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainguard.findings import Finding, Report, Severity
from trainguard.report.places import annotated, unreadable_reason
from trainguard.report.visible import visible

_COMMANDS: Mapping[Severity, str] = {"error": "error", "warn": "warning", "info": "notice"}


def render_github(reports: Sequence[Report]) -> str:
    """One workflow command a line, "" for no findings."""
    lines = []
    for report in reports:
        if report.unreadable is not None:
            lines.append(
                _command("error", {"file": report.subject, "title": "cannot be read"}, unreadable_reason(report))
            )
        title = {"title": "trainguard failed"}
        lines += [_command("error", title, f"{error.origin}: {error.message}") for error in report.errors]
        lines.extend(_annotation(finding, report) for finding in report.findings)
    return "".join(f"{line}\n" for line in lines)


def _annotation(finding: Finding, report: Report) -> str:
    path, where, place = annotated(finding, report)
    properties: dict[str, str | int | None] = {"file": path}
    if where.line is not None:
        properties |= {"line": where.line, "endLine": where.end_line}
        if where.end_line in (None, where.line):  # GitHub takes columns only within one line
            properties |= {"col": where.column, "endColumn": where.end_column}
    properties["title"] = " ".join(word for word in (finding.code, finding.name) if word) or "trainguard"
    fix = f"\nfix: {finding.fix.text}" if finding.fix is not None else ""
    return _command(_COMMANDS[finding.severity], properties, f"{place}{finding.message}{fix}")


def _command(name: str, properties: Mapping[str, str | int | None], message: str) -> str:
    given = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None)
    return f"::{name} {given}::{_data(message)}"


def _data(text: str) -> str:
    text = "\n".join(visible(line) for line in text.replace("\r", "\n").split("\n"))
    return text.replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return visible(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
