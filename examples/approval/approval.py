"""What the terminal and the web page have in common: the findings in their JSON form, and their words.

Messages quote the script that is being judged, and whoever wrote that script may have meant it for the
reader's terminal or browser. So everything goes through `visible` here, before either side adds its markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainguard import run_preflight_checks
from trainguard.report.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One finding as it is shown: plain text without control characters, still to be escaped for HTML."""

    severity: str
    title: str
    place: str
    message: str
    fix: str


def review(arguments: Any) -> dict[str, Any]:
    """The JSON form of an approval: `{"findings": [...]}`. Never raises, whatever the arguments are."""
    return {"findings": [finding.to_dict() for finding in run_preflight_checks(arguments)]}


def entries(findings: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """What to show for the findings of the JSON form, in their order."""
    return [_entry(finding) for finding in findings]


def _entry(finding: Mapping[str, Any]) -> Entry:
    where = finding.get("where", {})
    line = where.get("line")
    place = [str(part) for part in (where.get("path"), f"line {line}" if line else None) if part]
    return Entry(
        severity=visible(finding["severity"]),
        title=visible(" ".join(finding[key] for key in ("code", "name") if key in finding)),
        place=visible(", ".join(place)),
        message=visible(finding["message"]),
        fix=visible(finding.get("fix", {}).get("text", "")),
    )
