"""Labelled cases: what a perfect tool says of each script and job. See tests/cases/README.md."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from trainguard import run_preflight_checks, run_preflight_checks_batch
from trainguard.check import check_script
from trainguard.findings import Finding

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*.toml"))


def findings_of(case: dict[str, Any]) -> list[Finding]:
    if "batch" in case:
        return [finding for job in run_preflight_checks_batch(case["batch"]) for finding in job]
    if "arguments" in case:
        return run_preflight_checks(case["arguments"])
    return check_script(case["script"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path) -> None:
    case = tomllib.loads(path.read_text(encoding="utf-8"))
    findings = findings_of(case)
    shown = "\n".join(f"{f.where} {f.severity} {f.code} {f.message}" for f in findings)
    assert {f.code for f in findings if f.severity != "info"} == set(case["expect"]), f"{case['why']}\n{shown}"
    if "expect_info" in case:
        assert {f.code for f in findings if f.severity == "info" and f.code} == set(case["expect_info"]), shown
    for code, line in case.get("lines", {}).items():
        lines = [f.where.line for f in findings if f.code == code and f.where is not None]
        assert line in lines, f"{code} is expected at line {line}\n{shown}"


def test_there_are_enough_cases() -> None:
    assert len(FILES) >= 150
    kinds = [tomllib.loads(path.read_text(encoding="utf-8"))["kind"] for path in FILES]
    assert sum(kind.startswith("tricky") for kind in kinds) * 3 >= len(kinds) * 2
