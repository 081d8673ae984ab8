"""`trainguard checkpoint`: table, verdict, quarantine and exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trainguard.cli.checkpoint import command
from trainguard.errors import UsageError
from trainguard.rules._example_files import write_files
from trainguard.rules.checkpoint._example_checkpoints import saved


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(command, list(arguments), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_files(saved(10) | saved(20, without=("optimizer.pt",)), tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def rest(folder: Path) -> None:
    """Makes all files of a checkpoint an hour older."""
    for path in folder.iterdir():
        at = path.stat().st_mtime - 3600
        os.utime(path, (at, at))


def test_list(out: Path) -> None:
    result = run("list", "out")

    lines = result.stdout.splitlines()
    assert lines[0].split() == ["STEP", "SAVED", "(UTC)", "SIZE", "VERIFIED", "WHY", "NOT"]
    assert lines[1].split()[0] == "10"
    assert "yes, structure" in lines[1]
    assert lines[2].endswith("optimizer.pt is missing")
    assert lines[-1] == "Resume from out/checkpoint-10, not from the newest."
    assert result.return_value == 0


def test_list_as_json(out: Path) -> None:
    found = json.loads(run("list", "out", "--format", "json", "--deep").stdout)

    assert found["latest_verified"] == "out/checkpoint-10"
    assert [each["verified"] for each in found["checkpoints"]] == [True, False]
    assert found["checkpoints"][1]["problems"][0]["kind"] == "partial-save"


def test_verify_says_by_its_exit_code_whether_the_newest_verifies(out: Path) -> None:
    assert run("verify", "out").return_value == 1
    assert run("verify", "out/checkpoint-10").return_value == 0
    (out / "empty").mkdir()
    assert run("verify", "out/empty").return_value == 1


def test_a_folder_that_is_not_there_is_wrong_usage(out: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: does not exist"):
        run("list", "nowhere")
    with pytest.raises(UsageError, match="--base nowhere: is no folder"):
        run("list", "out", "--base", "nowhere")


def test_what_a_trainer_may_be_writing_stays(out: Path) -> None:
    assert "a Trainer may be at it" in run("quarantine", "out").stdout
    assert (out / "checkpoint-20").is_dir()


def test_quarantine_takes_the_broken_ones(out: Path) -> None:
    rest(out / "checkpoint-20")

    dry = run("quarantine", "out", "--dry-run")
    assert "checkpoint-20: would be set aside: optimizer.pt is missing" in dry.stdout
    assert (out / "checkpoint-20").is_dir()

    run("quarantine", "out")
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint-10", "quarantine"]
    assert run("quarantine", "out").stdout == "Nothing to set aside: no checkpoint is broken.\n"


def test_quarantine_of_one_step(out: Path) -> None:
    run("quarantine", "out", "--step", "10")

    assert sorted(path.name for path in out.iterdir()) == ["checkpoint-20", "quarantine"]
    with pytest.raises(UsageError, match="--step 5: there is no such checkpoint in out, which has 20"):
        run("quarantine", "out", "--step", "5")


def test_names_are_shown_without_control_characters(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31mout"
    folder.mkdir()

    assert "\x1b" not in run("list", str(folder)).stdout
