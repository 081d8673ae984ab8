"""Counts over several reports, and the rules that were not asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from trainguard.findings import Report

# What the user can add so that a rule has something to judge. What has no remedy on the command line
# is left out of the text: nobody should be told about a batch when there is one script.
_REMEDIES: Mapping[str, str] = {
    "a job": "add --flavor, --timeout, --with or --job FILE",
    "the declared dependencies": "add --with PACKAGE, or a PEP 723 block",
}


_JOB = re.compile(r"(\.json|\])$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many subjects were looked at, and what came of them."""

    subjects: int
    errors: int
    warnings: int
    infos: int
    unreadable: int
    internal_errors: int

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def totals(reports: Iterable[Report]) -> Totals:
    """The counts of `reports` together. A rule file that fails everywhere counts once."""
    reports = list(reports)
    return Totals(
        subjects=len(reports),
        errors=sum(report.count("error") for report in reports),
        warnings=sum(report.count("warn") for report in reports),
        infos=sum(report.count("info") for report in reports),
        unreadable=sum(report.unreadable is not None for report in reports),
        internal_errors=len({error.origin for report in reports for error in report.errors}),
    )


def noun(reports: Sequence[Report]) -> str:
    """What the subjects of `reports` are called: jobs where all come out of job files, else files."""
    return "job" if reports and all(_JOB.search(report.subject) for report in reports) else "file"


def counted(number: int, noun: str) -> str:
    """`3 warnings`, `1 info`, `2 infos`."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def not_asked_lines(reports: Sequence[Report]) -> list[str]:
    """One line for each thing that rules lacked, with the codes and how to ask them."""
    missing: dict[str, set[str]] = {}
    for report in reports:
        for code, lack in report.not_asked.items():
            missing.setdefault(lack, set()).add(code)
    return [
        f"Not asked: {compressed(codes)} {'needs' if len(codes) == 1 else 'need'} {lack} ({_REMEDIES[lack]})."
        for lack, codes in sorted(missing.items())
        if lack in _REMEDIES
    ]


def compressed(codes: Iterable[str]) -> str:
    """`JOB001, JOB003-JOB006`: three and more in a row become a range."""
    runs: list[list[str]] = []
    for code in sorted(codes):
        if runs and _follows(runs[-1][-1], code):
            runs[-1].append(code)
        else:
            runs.append([code])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def _follows(before: str, code: str) -> bool:
    first, second = (re.fullmatch(r"([A-Z]+)(\d+)", text) for text in (before, code))
    return bool(first and second and first[1] == second[1] and int(second[2]) == int(first[2]) + 1)
