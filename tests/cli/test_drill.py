"""`trainguard drill`: lists, runs, says what is not run, and exits with 1 when a drill fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.helpers import run

from trainguard.cli import drill as verb
from trainguard.drills.base import Drill
from trainguard.drills.registry import discover
from trainguard.drills.running import Result
from trainguard.errors import UsageError


def test_the_list_names_every_drill() -> None:
    listed = run("drill", "--list")
    assert listed.returncode == 0, listed.stderr
    assert " 25  machine     disk full  (SYS001)" in listed.stdout
    document = json.loads(run("drill", "--list", "--format", "json").stdout)
    assert [each["number"] for each in document["drills"]] == [drill.number for drill in discover()]


def test_a_drill_is_run_and_its_scratch_folder_removed(tmp_path: Path) -> None:
    done = run("drill", "46", "--format", "json", env={"TMPDIR": str(tmp_path)})
    document = json.loads(done.stdout)
    assert document["drills"][0]["result"] in ("passed", "not run"), document
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_kept_folder_is_named(tmp_path: Path) -> None:
    done = run("drill", "46", "--keep", env={"TMPDIR": str(tmp_path)})
    kept = [line.split("kept: ")[1] for line in done.stdout.splitlines() if "kept: " in line]
    assert len(kept) == 1
    assert Path(kept[0], "out").is_dir()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["99"], "there is no drill 99"),
        (["x"], "'x' is no number of a drill"),
        (["1-"], "'1-' is no number"),
        (["--area", "weather"], "weather"),
    ],
)
def test_wrong_usage_is_said_in_one_line(arguments: list[str], says: str) -> None:
    done = run("drill", *arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_ranges_and_areas_choose() -> None:
    drills = discover()
    assert [drill.number for drill in verb._chosen(drills, ["44-46", "25"], None)] == [25, 44, 45, 46]
    assert {drill.area for drill in verb._chosen(drills, [], "machine")} == {"machine"}
    assert verb._chosen(drills, ["1-20"], "machine") == []
    with pytest.raises(UsageError, match="no drill 81-99"):
        verb._chosen(drills, ["81-99"], None)


@pytest.mark.parametrize(("verdict", "code"), [("passed", 0), ("failed", 1), ("not run", 0)])
def test_the_exit_code_is_that_of_the_worst(
    verdict: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(drills: list[Drill], **_: object) -> list[Result]:
        return [Result(drill=drills[0], verdict=verdict, why=("because\x1b[31m",))]  # type: ignore[arg-type]

    monkeypatch.setattr("trainguard.drills.running.run_drills", fake)
    assert verb.command.main(["25"], standalone_mode=False) == code
    printed = capsys.readouterr().out
    assert f"1 {verdict}." in printed
    assert "because\\x1b[31m" in printed
