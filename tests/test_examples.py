"""The example jobs are what their table says, and TRL's own scripts are clean with a job that is fine."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

import pytest

from trainguard.check import check_paths

ROOT = Path(__file__).resolve().parent.parent
JOBS = ROOT / "examples/jobs"
EXPECTED: Mapping[str, list[str]] = json.loads((JOBS / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EXPECTED)
def test_exactly_the_expected_codes_are_found(name: str) -> None:
    (report,) = check_paths([JOBS / name])
    assert not report.errors
    assert report.unreadable is None
    found = sorted({finding.code or finding.message for finding in report.findings})
    assert found == EXPECTED[name], [f"{f.code} {f.where}: {f.message}" for f in report.findings]


def test_every_job_has_an_expectation_and_half_of_them_are_clean() -> None:
    files = {path.name for path in JOBS.iterdir() if path.suffix in (".json", ".ipynb")}
    assert files - {"expected.json"} == EXPECTED.keys()
    flawed = sum(bool(codes) for codes in EXPECTED.values())
    assert len(EXPECTED) >= 10
    assert len(EXPECTED) // 3 < flawed < 2 * len(EXPECTED) // 3 + 1


def test_the_table_for_people_says_the_same() -> None:
    table = {}
    for row in re.findall(r"^\| \[.*", (JOBS / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
        name, *_, codes = (cell.strip() for cell in row.strip("|").split("|"))
        table[re.search(r"\((.*)\)", name)[1]] = codes.split()  # type: ignore[index]
    assert table == EXPECTED


def test_every_script_belongs_to_a_job_and_parses() -> None:
    used = set()
    for path in JOBS.glob("*.json"):
        script = json.loads(path.read_text(encoding="utf-8")).get("script", "")
        used |= {script} if script.endswith(".py") else set()
    assert {path.name for path in JOBS.glob("*.py")} == used
    for script in used:
        ast.parse((JOBS / script).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_trls_own_scripts_are_clean(name: str) -> None:
    script = Path(str(distribution("trl").locate_file(f"trl/scripts/{name}.py")))
    job = json.loads((ROOT / f"examples/trl/{name}.json").read_text(encoding="utf-8"))
    (report,) = check_paths([script], arguments=job)
    assert (report.findings, report.errors, report.unreadable) == ((), (), None)
