"""`trainguard train` as a daemon starts it: fenced, asked to stop, with steps left out, and sent back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.train.test_train_trainer import base

from trainguard.checkpoints import verify_manifest
from trainguard.cli import main
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.fencing import write_fence
from trainguard.train.events import read_lines

__all__ = ["base"]
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A run of ten steps with a checkpoint after every second one."""
    write_lines(tmp_path / "train.jsonl", numbered(40))
    values = {
        "base_model": str(base),
        "data": "train.jsonl",
        "output_dir": "out",
        "method": "full",
        "max_length": 64,
        "batch_size": 4,
        "epochs": 1,
        "logging_steps": 1,
        "save": {"steps": 2},
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    return tmp_path


def train(
    folder: Path, *args: str, on_event: Callable[[dict[str, Any]], None] | None = None, **environment: str
) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, what was printed, and what stood on stderr."""
    own = {**os.environ, **ENVIRONMENT, "HF_HOME": str(folder / "hf"), **environment}
    command = [sys.executable, "-m", "trainguard", "train", "config.json", "--format", "json", *args]
    said = []
    with (folder / "stderr.txt").open("w+") as errors, subprocess.Popen(
        command, cwd=folder, env=own, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            said.append(json.loads(line))
            if on_event is not None:
                on_event(said[-1])
        code = process.wait(timeout=300)
    return code, said, (folder / "stderr.txt").read_text()


def of(said: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [each for each in said if each["event"] == name]


def test_a_run_whose_folder_was_given_away_commits_nothing_more(folder: Path) -> None:
    output = folder / "out"

    def give_away(event: dict[str, Any]) -> None:
        if event["event"] == "metrics" and event["step"] >= 3 and latest_verified_checkpoint(output) is not None:
            write_fence(output, 8)

    more = ("--set", "data=train.jsonl", "--set", "epochs=40")
    code, said, errors = train(folder, *more, TRAINGUARD_FENCE="7")
    assert code == 75
    assert "number 7 of this process does not stand in" in errors
    assert not output.exists(), "its mount may be away: nothing is made in its place"

    output.mkdir()
    write_fence(output, 7)
    code, said, errors = train(folder, *more, on_event=give_away, TRAINGUARD_FENCE="7")
    assert code == 75
    assert "holds number 7 and another one was given 8" in errors
    assert of(said, "end")[0]["steps"] < 400
    written = read_lines(output / "trainguard/events.jsonl")
    fenced = of(written, "fenced")[0]
    assert (fenced["own"], fenced["highest"]) == (7, 8)
    assert all(each["time"] <= fenced["time"] for each in of(written, "verified"))
    assert not (output / "final").exists()
    assert not list(output.glob(".trainguard-staging-*"))
    assert latest_verified_checkpoint(output) is not None

    # Nor does it begin again.
    before = sorted(each.name for each in output.iterdir())
    code, said, errors = train(folder, *more, TRAINGUARD_FENCE="7")
    assert (code, of(said, "end")[0]["steps"]) == (75, 0)
    assert "holds number 7" in errors
    assert sorted(each.name for each in output.iterdir()) == before


def test_stopped_while_the_folder_is_read_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainguard.train import settling

    def settle(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    previous = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(settling, "settle", settle)
    (folder / "out").mkdir()
    try:
        code = main(["train", "config.json"])
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert code == 75
    assert "asked to stop while the data and the checkpoints were read" in capsys.readouterr().err


@pytest.mark.slow
def test_steps_are_left_out_after_going_back_and_the_next_file_goes_on(folder: Path) -> None:
    output = folder / "out"
    assert train(folder, "--file-id", "7", "--set", "save.keep=9")[0] == 0

    # The last two steps: nothing is left to train, and yet the file is complete.
    code, said, errors = train(folder, "--file-id", "7", "--before-step", "9", "--skip-steps", "9-10")
    assert code == 0, errors
    start = of(said, "plan")[0]["start"]
    assert (start["kind"], start["step"], start["skipped"]) == ("resume", 8, [[9, 10]])
    assert (of(said, "end")[0]["steps"], of(said, "end")[0]["planned"]) == (8, 8)
    assert verify_manifest(output / "final") == []
    assert json.loads((output / "checkpoint-8/trainguard.json").read_text())["run"]["planned_steps"] == 8
    assert (output / "quarantine/checkpoint-10/trainguard.json").is_file()

    # A resume takes the window from the manifest; going back with another one replaces it.
    code, said, errors = train(folder, "--file-id", "7", "--before-step", "5", "--skip-steps", "6-7")
    assert (code, of(said, "end")[0]["planned"]) == (0, 8), errors
    skipped = read_lines(output / "trainguard/skipped.jsonl")
    assert len(skipped) == 8
    lines = (folder / "train.jsonl").read_text().splitlines()
    for each in skipped:
        question = json.loads(lines[each["line"] - 1])["messages"][0]["content"]
        assert question in each["text"]
    trained = json.loads((output / "checkpoint-8/trainguard.json").read_text())["run"]
    assert (trained["skipped"], trained["file_id"]) == ([[6, 7]], "7")

    code, said, errors = train(folder, "--file-id", "8")
    assert code == 0, errors
    assert of(said, "plan")[0]["start"]["step_before"] == 8
    events = read_lines(output / "trainguard/events.jsonl")
    last = events[max(at for at, each in enumerate(events) if each["event"] == "attempt") :]
    assert [last[0][name] for name in ("kind", "step_before", "file_id")] == ["next", 8, "8"]
    assert of(last, "planned")[0]["planned_steps"] == 10
    assert of(last, "first-step")[0]["step"] == 9
    assert Path(of(last, "verified")[-1]["path"]).name == "checkpoint-18"
    assert {name: last[-1][name] for name in ("event", "exit_code", "steps", "made", "pid")} == {
        "event": "end", "exit_code": 0, "steps": 10, "made": 10, "pid": last[0]["pid"],
    }  # fmt: skip
    history = json.loads((output / "checkpoint-18/trainguard.json").read_text())["run"]["history"]
    assert [(each["file_id"], each["steps"], each["skipped"]) for each in history] == [("7", 8, [[6, 7]])]
