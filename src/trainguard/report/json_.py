"""Findings for programs. The format is described in docs/json.md and versioned."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainguard.findings import Report
from trainguard.report.summary import totals

FORMAT_VERSION = 1


def render_json(reports: Sequence[Report]) -> str:
    """All reports as one JSON object. `Finding.from_dict` reads each finding back."""
    document = {
        "version": FORMAT_VERSION,
        "reports": [report.to_dict() for report in reports],
        "summary": totals(reports).to_dict(),
    }
    return to_json(document)


def to_json(document: object) -> str:
    """Strict, ASCII-only JSON: any reader and any terminal encoding takes it."""
    return json.dumps(_strict(document), indent=2, allow_nan=False, default=str) + "\n"


def _strict(value: Any) -> Any:
    # JSON has no NaN and no infinity; evidence may hold them.
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value
