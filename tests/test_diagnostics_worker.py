"""The Python engine in a process of its own: the same answers, and nothing imported from the folder that is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainguard.facts import diagnostics_worker
from trainguard.facts.diagnostics import Diagnostic, diagnose_each, diagnose_here
from trainguard.facts.diagnostics_worker import diagnose_in_worker

LATE = "def f():\n    print(late)\n    late = 1\n\n\nf()\n"
FAULTY = ["print(missing)\n", "def f(:\n", "x = 1\n", "y = '\ud800'\n", LATE]


def test_the_worker_says_what_this_process_says() -> None:
    expected = diagnose_here(FAULTY)
    assert any(expected)
    assert diagnose_in_worker(FAULTY, "3.12") == expected


def test_a_large_batch_goes_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def worker(sources: list[str], version: str) -> list[list[Diagnostic]]:
        seen.append(len(sources))
        return [[] for _ in sources]

    monkeypatch.setattr(diagnostics_worker, "diagnose_in_worker", worker)
    assert diagnose_each(["x = 1\n"] * 100) == [[]] * 100
    assert seen == [100]
    assert diagnose_each(["x = 1\n"] * 2) == [[], []]
    assert seen == [100]


def test_without_a_worker_this_process_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert diagnose_in_worker(["x = 1\n"], "3.12") is None
    answers = diagnose_each(["print(missing)\n"] * 100)
    assert [[each.kind for each in one] for one in answers if isinstance(one, list)] == [["undefined-name"]] * 100


def test_nothing_of_the_working_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ast.py", "json.py", "trainguard.py", "sitecustomize.py", "usercustomize.py"):
        (tmp_path / name).write_text("open('executed', 'w').close()\nraise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    assert diagnose_in_worker(["print(missing)\n"], "3.12") == diagnose_here(["print(missing)\n"])
    assert not (tmp_path / "executed").exists()
