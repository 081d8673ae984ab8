"""Findings and reports: the currency."""

from __future__ import annotations

import json

import pytest

from trainguard.findings import Evidence, Finding, Fix, InternalError, Location, Report, exit_code

WHERE = Location("train.py", 3, 5, 3, 20)
FULL = Finding(
    "warn",
    "a message",
    code="JOB002",
    name="default-timeout",
    where=Location("nb.ipynb", 3, 5, 3, 20, cell=2),
    fix=Fix("write this", replacement="x", where=WHERE),
    evidence={"timeout_seconds": 1800.0, "parts": {"weights": [1, 2]}},
    step=7,
    docs="docs/rules/JOB002.md",
)


def test_severity_and_message_are_enough() -> None:
    finding = Finding("error", "it breaks")
    assert (finding.code, finding.where, finding.fix, finding.step) == (None, None, None, None)
    assert dict(finding.evidence) == {}


def test_another_severity_is_refused() -> None:
    with pytest.raises(ValueError, match="severity is 'fatal'"):
        Finding("fatal", "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("finding", [FULL, Finding("info", "x"), Finding("warn", "y", fix="do that")])
def test_plain_dicts_bring_a_finding_back_through_json(finding: Finding) -> None:
    plain = json.loads(json.dumps(finding.to_dict()))
    assert Finding.from_dict(plain) == finding


def test_a_finding_is_hashable_and_cannot_be_changed() -> None:
    assert len({FULL, Finding.from_dict(FULL.to_dict())}) == 1
    with pytest.raises(AttributeError):
        FULL.message = "another"  # type: ignore[misc]
    with pytest.raises(TypeError):
        FULL.evidence["timeout_seconds"] = 1  # type: ignore[index]


def test_the_evidence_of_a_finding_does_not_follow_its_source() -> None:
    numbers = {"rows": [1, 2]}
    finding = Finding("warn", "x", evidence=numbers)
    numbers["rows"].append(3)
    assert finding.evidence["rows"] == (1, 2)
    assert finding.evidence == Evidence({"rows": (1, 2)})


def test_findings_sort_by_place_then_severity() -> None:
    first = Finding("info", "a", where=Location("a.py", 2, 1))
    second = Finding("error", "b", where=Location("a.py", 2, 4))
    third = Finding("warn", "c", where=Location("a.py", 10, 1))
    other = Finding("error", "d", where=Location("b.py", 1, 1))
    nowhere = Finding("warn", "e")
    assert sorted([other, third, second, first, nowhere]) == [nowhere, first, second, third, other]
    worse = Finding("error", "z", where=Location("a.py", 2, 1))
    assert sorted([first, worse]) == [worse, first]


@pytest.mark.parametrize(
    ("report", "fail_on", "code"),
    [
        (Report(subject="a"), "info", 0),
        (Report(subject="a", findings=(Finding("warn", "x"),)), "error", 0),
        (Report(subject="a", findings=(Finding("warn", "x"),)), "warn", 1),
        (Report(subject="a", findings=(Finding("error", "x"),)), "error", 1),
        (Report(subject="a", findings=(Finding("error", "x"),)), "never", 0),
        (Report(subject="a", unreadable="gone"), "never", 2),
        (Report(subject="a", errors=(InternalError(origin="r", message="m"),)), "never", 3),
    ],
)
def test_a_report_knows_its_exit_code(report: Report, fail_on: str, code: int) -> None:
    assert report.exit_code(fail_on) == code  # type: ignore[arg-type]


def test_the_worst_report_decides() -> None:
    clean, unreadable = Report(subject="a"), Report(subject="b", unreadable="gone")
    crashed = Report(subject="c", errors=(InternalError(origin="r", message="m"),))
    assert exit_code([]) == 0
    assert exit_code([clean, unreadable]) == 2
    assert exit_code([crashed, clean, unreadable]) == 3


def test_a_location_reads_as_editors_write_it() -> None:
    assert str(Location("a.py", 3, 5)) == "a.py:3:5"
    assert str(Location("nb.ipynb", 3, 5, cell=2)) == "nb.ipynb:cell 2:3:5"
    assert str(Location()) == "<input>"
