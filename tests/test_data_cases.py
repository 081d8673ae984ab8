"""Labelled training files: what a perfect tool says of each. See tests/cases/data/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainguard import check_data
from trainguard.findings import Finding

FOLDER = Path(__file__).parent / "cases" / "data"
CASES = [json.loads(line) for line in (FOLDER / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
_PATHS = ("eval_path", "tokenizer")


def complaints(folder: Path, case: dict[str, Any]) -> list[str]:
    """In what the findings of a case differ from its label."""
    options = {key: folder / value if key in _PATHS else value for key, value in case.get("options", {}).items()}
    findings = check_data(folder / case["path"], **options)
    said = [finding for finding in findings if finding.severity != "info"]
    shown = " | ".join(f"{f.where} {f.severity} {f.code} {f.message}" for f in said) or "nothing"
    wrong = []
    if {finding.code for finding in said} != set(case["expect"]):
        wrong.append(f"expected {case['expect'] or 'nothing'}, said: {shown}")
    elif case["expect"]:
        path, line = place(said[0])
        if "line" in case and line != case["line"]:
            wrong.append(f"expected at line {case['line']}, said: {shown}")
        if "in" in case and not path.endswith(case["in"]):
            wrong.append(f"expected in {case['in']}, said: {shown}")
        wrong += [f"{f.code} twice: {shown}" for f in said[1:] if f.code == said[0].code]
    return wrong


def place(finding: Finding) -> tuple[str, int | None]:
    """The file and the line that a finding names; the row, where the file has no lines."""
    assert finding.where is not None
    first = next(iter(finding.evidence.get("samples", ())), {})
    return str(finding.where.path), finding.where.line or first.get("row")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["path"])
def test_case(case: dict[str, Any]) -> None:
    wrong = complaints(FOLDER, case)
    assert not wrong, f"{case['why']}: {wrong}"


def test_there_are_enough_cases() -> None:
    valid = sum(not case["expect"] for case in CASES)
    assert len(CASES) >= 120
    assert valid * 5 >= len(CASES) * 2
    labelled = {code for case in CASES for code in case["expect"]}
    assert labelled >= {f"DATA{number:03}" for number in (*range(1, 13), *range(14, 19), 20)}


def test_every_file_has_a_label() -> None:
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    named = {case["path"] for case in CASES} | {case["path"].rpartition("/")[0] for case in CASES}
    folders = {case["path"] for case in CASES if (FOLDER / case["path"]).is_dir()}
    alone = {name for name in files if name not in named and not any(name.startswith(f"{each}/") for each in folders)}
    options = {value for case in CASES for value in case.get("options", {}).values()}
    assert alone - options == {"README.md", "labels.jsonl"}
