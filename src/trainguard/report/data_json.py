"""Training data for programs: the reports of docs/json.md, each with the summary of its data."""

from __future__ import annotations

from collections.abc import Sequence

from trainguard.findings import Report
from trainguard.report.data_summary import Summary
from trainguard.report.json_ import FORMAT_VERSION, to_json
from trainguard.report.summary import totals


def render_data_json(subjects: Sequence[tuple[Summary | None, Report]]) -> str:
    """One JSON object; `data` of a report is null where the data could not be looked at."""
    return to_json(
        {
            "version": FORMAT_VERSION,
            "reports": [{**report.to_dict(), "data": data} for data, report in subjects],
            "summary": totals([report for _, report in subjects]).to_dict(),
        }
    )
