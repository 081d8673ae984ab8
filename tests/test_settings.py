"""Settings are refused by file and key, never half taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainguard.errors import UsageError
from trainguard.settings import (
    Settings,
    find_settings_file,
    load_settings,
    refuse_unknown_codes,
    refuse_unknown_settings_codes,
)

KNOWN = ("JOB001", "JOB002", "JOB012", "PY001")


def _write(folder: Path, table: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(table, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("ignroe = []", "has no key 'ignroe'; did you mean 'ignore'?"),
        ("fail_on = 'warn'", "has no key 'fail_on'; did you mean 'fail-on'?"),
        ("qqq = 1", "has no key 'qqq'; it may be one of select, ignore"),
        ("ignore = 'JOB002'", "ignore is 'JOB002', expected a list of texts"),
        ("select = [1]", "select is 1, expected a text"),
        ("per-file-ignores = ['a']", "per-file-ignores is ['a'], expected a table"),
        ("per-file-ignores = {'*.py' = 'JOB002'}", "per-file-ignores.'*.py' is 'JOB002', expected a list"),
        (
            "severity = {JOB002 = 'warning'}",
            "severity.JOB002 is 'warning', expected one of error, warn, info (did you mean",
        ),
        ("severity = {JOB002 = 1}", "severity.JOB002 is 1, expected one of"),
        ("fail-on = 'allways'", "fail-on is 'allways', expected one of error, warn, info, never"),
        ("python-engine = 1", "python-engine is 1, expected true or false"),
        ("job = 'a'", "job is 'a', expected a table"),
        ("job = {hardware = 'a'}", "job has no key 'hardware'"),
        ("job = {env = ['A']}", "job.env is ['A'], expected a table"),
        ("job = {flavor = 3}", "job.flavor is 3, expected a text"),
        ("job = {with = 'trl'}", "job.with is 'trl', expected a list of texts"),
    ],
)
def test_wrong_tables_are_refused_by_file_and_key(tmp_path: Path, table: str, message: str) -> None:
    path = _write(tmp_path, f"[tool.trainguard]\n{table}\n")
    with pytest.raises(UsageError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"):
        load_settings(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.trainguard", "is not valid TOML"),
        ("[tool]\ntrainguard = 1", r"\[tool.trainguard\] is 1, expected a table"),
        ("[project]\nname = 'x'", r"has no \[tool.trainguard\] table"),
        ("tool = 1", r"has no \[tool.trainguard\] table"),
    ],
)
def test_files_without_a_table_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_settings(_write(tmp_path, text))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_settings(tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"[tool.trainguard]\nselect = ['\xe9']\n")
    with pytest.raises(UsageError, match="is not valid TOML"):
        load_settings(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("JOB003", "did you mean JOB00"),
        ("job002", "did you mean JOB002?"),
        ("JOBB", "did you mean JOB?"),
        ("E501", "`trainguard rules` lists them"),
        ("", "lists them"),
    ],
)
def test_unknown_codes_are_refused_with_what_may_be_meant(code: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"^--select: there is no rule {code!r}; .*{re.escape(hint)}"):
        refuse_unknown_codes([code], KNOWN, origin="--select")


def test_codes_and_beginnings_of_codes_are_known() -> None:
    refuse_unknown_codes(["JOB002", "JOB", "PY", "JOB00"], KNOWN, origin="--select")


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (Settings(select=("XX",)), "select"),
        (Settings(ignore=("XX",)), "ignore"),
        (Settings(per_file_ignores={"*.py": ("XX",)}), "per-file-ignores.'*.py'"),
        (Settings(severities={"XX001": "warn"}), "severity"),
        (Settings(severities={"JOB": "warn"}), "names several rules"),
    ],
)
def test_unknown_codes_in_settings_name_their_key(settings: Settings, where: str) -> None:
    with pytest.raises(UsageError, match=re.escape(where)):
        refuse_unknown_settings_codes(settings, KNOWN)


def test_everything_is_read(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        """
        [tool.trainguard]
        select = ["JOB"]
        ignore = ["JOB002"]
        fail-on = "warn"
        python-engine = false
        [tool.trainguard.per-file-ignores]
        "examples/*" = ["JOB012"]
        [tool.trainguard.severity]
        JOB001 = "error"
        [tool.trainguard.job]
        flavor = "a10g-large"
        timeout = 3600
        with = ["trl"]
        env = {A = "1"}
        secrets = ["HF_TOKEN"]
        """,
    )
    assert load_settings(path) == Settings(
        path=path,
        select=("JOB",),
        ignore=("JOB002",),
        fail_on="warn",
        python_engine=False,
        per_file_ignores={"examples/*": ("JOB012",)},
        severities={"JOB001": "error"},
        job={"flavor": "a10g-large", "timeout": 3600, "with": ("trl",), "env": {"A": "1"}, "secrets": ("HF_TOKEN",)},
    )


def test_the_nearest_file_with_a_table_is_found(tmp_path: Path) -> None:
    root = _write(tmp_path, "[tool.trainguard]\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    _write(tmp_path / "a", "[project]\ndependencies = ['trainguard']\n")
    assert find_settings_file(inner) == root
    broken = _write(inner, "[tool.trainguard")
    assert find_settings_file(inner) == broken


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert find_settings_file(tmp_path / "gone") is None or "trainguard" not in str(find_settings_file(tmp_path))
