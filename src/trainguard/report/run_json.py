"""A run for programs: one object at the end, or JSON lines while it goes on. Described in docs/json.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainguard.findings import Finding
from trainguard.report.json_ import FORMAT_VERSION, to_json
from trainguard.report.run_view import RunView
from trainguard.report.summary import totals


def run_document(view: RunView) -> dict[str, Any]:
    """The object of `docs/json.md`, with the run beside the findings of its report."""
    report = view.report()
    return {
        "version": FORMAT_VERSION,
        "reports": [{**report.to_dict(), "run": view.to_dict()}],
        "summary": totals([report]).to_dict(),
    }


def render_run_json(view: RunView) -> str:
    return to_json(run_document(view))


def record_line(record: Mapping[str, Any]) -> str:
    return _line({"record": record})


def finding_line(finding: Finding) -> str:
    return _line({"finding": finding.to_dict()})


def last_line(view: RunView) -> str:
    """The last JSON line: the whole object, without its line breaks."""
    return _line(run_document(view))


def _line(value: object) -> str:
    return json.dumps(json.loads(to_json(value)), separators=(",", ":")) + "\n"
