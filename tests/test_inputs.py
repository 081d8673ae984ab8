"""What paths name: scripts, notebooks, folders, job files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainguard.errors import UnreadableInputError
from trainguard.inputs import find_inputs, read_job_file

JOB = {"script": "elsewhere.py", "timeout": "2h"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "train.py": "x = 1\n",
        "note.ipynb": "{}",
        "job.json": json.dumps(JOB),
        "batch.json": json.dumps([JOB, JOB]),
        "data.json": json.dumps([{"messages": []}]),
        "settings.json": json.dumps({"script": "a"}),
        "broken.json": "{",
        "readme.md": "text",
        "venv/lib/a.py": "",
        "own/pyvenv.cfg": "",
        "own/a.py": "",
        ".hidden/a.py": "",
        "__pycache__/a.py": "",
        "sub/deep/b.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_folder_gives_its_scripts_notebooks_and_jobs(folder: Path) -> None:
    found = list(find_inputs([folder]))
    assert [str(i.path.relative_to(folder)) for i in found] == [
        "batch.json",
        "job.json",
        "note.ipynb",
        "sub/deep/b.py",
        "train.py",
    ]
    assert [i.is_job for i in found] == [True, True, False, False, False]


def test_each_path_comes_once_and_in_order(folder: Path) -> None:
    paths = [folder / "train.py", folder, folder / "train.py"]
    found = [i.path.name for i in find_inputs(paths)]
    assert found[0] == "train.py"
    assert found.count("train.py") == 1


def test_a_json_file_that_is_named_is_a_job_unless_it_holds_rows(folder: Path) -> None:
    named = [folder / name for name in ("data.json", "broken.json", "missing.json")]
    data, broken, missing = find_inputs(named)
    assert data.kind == "data"
    assert broken.error is not None
    assert "broken.json:1:2: not JSON" in broken.error
    assert missing.error is not None
    assert "cannot be read" in missing.error


def test_a_link_to_a_folder_is_not_followed(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder, target_is_directory=True)
    assert len(list(find_inputs([folder]))) == 5


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"", b'{"a": NaN'])
def test_broken_job_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"job\.json"):
        read_job_file(path)


def test_a_script_that_a_job_of_the_folder_runs_is_checked_with_its_job_only(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "job.json").write_text('{"script": "train.py", "timeout": "2h"}')
    found = [found.path.name for found in find_inputs([tmp_path])]
    assert found == ["job.json", "other.py"]
    explicit = [found.path.name for found in find_inputs([tmp_path / "train.py", tmp_path / "job.json"])]
    assert explicit == ["train.py", "job.json"]
