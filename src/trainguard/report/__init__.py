"""Findings as text, JSON, SARIF, GitHub annotations or Markdown: pure functions to `str`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from trainguard.findings import Report

if TYPE_CHECKING:
    from trainguard.report.rule_page import RuleInfo

Format: TypeAlias = Literal["text", "json", "sarif", "github", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)


def render(
    reports: Sequence[Report],
    output_format: Format = "text",
    *,
    color: bool = False,
    width: int | None = None,
    rules: Sequence[RuleInfo] = (),
    version: str = "0",
) -> str:
    """`reports` in one of `FORMATS`.

    `color` and `width` (cells; None does not wrap) are for text, `rules` and `version` for SARIF.
    Raises ValueError for another format. Each writer is imported on first use.
    """
    match output_format:
        case "text":
            from trainguard.report.text import render_text

            return render_text(reports, color=color, width=width)
        case "json":
            from trainguard.report.json_ import render_json

            return render_json(reports)
        case "sarif":
            from trainguard.report.sarif import render_sarif

            return render_sarif(reports, rules=rules, version=version)
        case "github":
            from trainguard.report.github import render_github

            return render_github(reports)
        case "markdown":
            from trainguard.report.markdown import render_markdown

            return render_markdown(reports)
    raise ValueError(f"output_format is {output_format!r}, expected one of {', '.join(FORMATS)}")
