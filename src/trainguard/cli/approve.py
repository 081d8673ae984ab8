"""`trainguard approve`: what a job is, what it may cost, what is wrong with it, and a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainguard.cli.inputs import STDIN, make_options, read_job_file, read_settings
from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.cli.panels import PATH
from trainguard.findings import SEVERITIES, Report

if TYPE_CHECKING:
    from trainguard.cli.job_summary import JobSummary
    from trainguard.facts.job import JobFacts

EXIT_APPROVED = 0
EXIT_DECLINED = 1


@click.command("approve", short_help="Show a job, its worst cost and its findings; then ask.")
@click.option("--job", metavar="FILE", required=True, help="A job's arguments as JSON, - for stdin.")
@click.option("--yes", "-y", is_flag=True, help="Approve without asking; everything is still printed.")
@click.option("--format", "output_format", type=click.Choice(("text", "json")), default="text", help="Text, or JSON.")
@click.option("--config", type=PATH, metavar="FILE", help="Settings: a pyproject.toml with [tool.trainguard].")
@click.option("--isolated", is_flag=True, help="Go by no settings file.")
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour text.")
def command(job: str, yes: bool, output_format: str, config: Path | None, isolated: bool, color: Color) -> int:
    """Show a job before it is submitted: summary, worst cost and findings; then ask.

    Exits with 0 when approved and 1 when declined. The findings are advice and decide nothing. Where
    nobody can be asked, a job is declined unless --yes is given.

    \b
    Examples:
      trainguard approve --job job.json
      trainguard approve --job job.json --yes --format json
    """
    from trainguard.check import check_job
    from trainguard.cli.job_summary import summarize

    arguments, folder, shown = read_job_file(job)
    first = folder if folder is not None else Path.cwd()
    options = make_options(read_settings(config, isolated=isolated, first_path=first))
    reports = check_job(arguments, base_folder=folder, name=shown, options=options)
    submitted = arguments if isinstance(arguments, list) else [arguments]
    summaries = [summarize(_read(one, folder)) for one in submitted]
    if output_format == "text":
        write(_as_text(summaries, reports, shown, color))
    approved, reason = _answer(yes, can_ask=job != STDIN and sys.stdin.isatty(), total=_total(summaries))
    if output_format == "json":
        write(_as_json(summaries, reports, approved, reason))
    elif reason:
        print(reason, file=sys.stderr)
    return EXIT_APPROVED if approved else EXIT_DECLINED


def _read(arguments: Any, folder: Path | None) -> JobFacts:
    """The job, with what the script's own PEP 723 block declares."""
    from trainguard.facts.job import read_job, with_pep723
    from trainguard.facts.pep723 import read_pep723

    job = read_job(arguments)
    if job.script is None:
        return job
    if job.script_kind == "inline":
        return with_pep723(job, read_pep723(job.script))
    try:
        text = ((folder or Path()) / job.script).read_text(encoding="utf-8") if job.script_kind == "path" else ""
    except (OSError, ValueError):  # the check says so, as a finding
        return job
    return with_pep723(job, read_pep723(text), use_hf_jobs_table=True)


def _as_text(summaries: Sequence[JobSummary], reports: Sequence[Report], name: str, color: Color) -> str:
    from trainguard.cli.job_summary import render_summary
    from trainguard.report.text import render_text

    many = len(summaries) > 1
    parts = [
        render_summary(summary, f"{name}: job {number} of {len(summaries)}" if many else name)
        for number, summary in enumerate(summaries, 1)
    ]
    if many:
        parts.append(f"{len(summaries)} jobs, together at worst {_total(summaries)}\n")
    by_severity = [replace(report, findings=_worst_first(report)) for report in reports]
    parts.append(render_text(by_severity, color=use_color(color, sys.stdout), width=text_width(sys.stdout)))
    return "\n".join(parts)


def _worst_first(report: Report) -> tuple[Any, ...]:
    return tuple(sorted(report.findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _total(summaries: Sequence[JobSummary]) -> str:
    costs = [summary.worst_cost_usd for summary in summaries if summary.starts_job]
    known = sum(cost for cost in costs if cost is not None)
    if None in costs:
        return f"${known:.2f} and what is unknown" if known else "an unknown cost"
    return f"${known:.2f}"


def _answer(yes: bool, *, can_ask: bool, total: str) -> tuple[bool, str]:
    if yes:
        return True, "approved: --yes"
    if not can_ask:
        return False, "declined: stdin is not a terminal, so nobody can be asked; --yes approves"
    # The question goes to stderr: stdout may be a file.
    print(f"Submit this for at most {total}? [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        answer = ""
    return (True, "approved") if answer in ("y", "yes") else (False, "declined")


def _as_json(summaries: Sequence[JobSummary], reports: Sequence[Report], approved: bool, reason: str) -> str:
    from trainguard.report.json_ import FORMAT_VERSION, to_json
    from trainguard.report.summary import totals

    document = {
        "version": FORMAT_VERSION,
        "approved": approved,
        "reason": reason,
        "jobs": [asdict(summary) for summary in summaries],
        "reports": [report.to_dict() for report in reports],
        "summary": totals(reports).to_dict(),
    }
    return to_json(document)
