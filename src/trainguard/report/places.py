"""Which file a finding belongs to, for formats that annotate files."""

from __future__ import annotations

import re

from trainguard.findings import Finding, Location, Report

# How `trainguard.check` names what a job file carries: `job.json:script`, and `job.json[2]` in a batch.
_CARRIED = re.compile(r"(?P<file>.+?)(?:\[\d+\])?(?::(?:script|command))?", re.DOTALL)


def annotated(finding: Finding, report: Report) -> tuple[str, Location, str]:
    """The file to annotate, the place in it, and what to say before the message.

    The lines of a notebook's cell and of a script inside a job file are not those of the file: they are
    left out of the place and put into words.
    """
    where = finding.where or Location()
    path = where.path or report.subject
    match = _CARRIED.fullmatch(path)
    file = match["file"] if match is not None and (".json" in path or path.startswith("<")) else path
    if where.cell is None and file == path:
        return path, where, ""
    shown = Location(path, where.line, where.column, cell=where.cell)
    return file, Location(), f"{shown}: " if where.line is not None else ""


def unreadable_reason(report: Report) -> str:
    """Why the subject could not be read, without its name, which every format puts before it."""
    reason = report.unreadable or ""
    for prefix in (f"{report.subject}: ", "cannot be read: "):
        reason = reason.removeprefix(prefix)
    return reason
