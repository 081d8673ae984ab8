"""What paths name: scripts, notebooks, folders, job files."""

from __future__ import annotations

from pathlib import Path

from trainguard.inputs import find_inputs


def test_a_script_that_a_job_of_the_folder_runs_is_checked_with_its_job_only(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "job.json").write_text('{"script": "train.py", "timeout": "2h"}')
    found = [found.path.name for found in find_inputs([tmp_path])]
    assert found == ["job.json", "other.py"]
    explicit = [found.path.name for found in find_inputs([tmp_path / "train.py", tmp_path / "job.json"])]
    assert explicit == ["train.py", "job.json"]
