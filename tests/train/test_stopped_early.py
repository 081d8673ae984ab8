"""What is said of a run that was asked to stop before its first step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainguard.train.events import EventLog
from trainguard.train.lineage import Start
from trainguard.train.stopped_early import is_early_stop, stopped_early, stopped_saving


def test_the_checkpoint_that_it_goes_on_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = Start(kind="resume", checkpoint=tmp_path / "checkpoint-20", step=20)
    told: list[Any] = []
    events = EventLog(tmp_path / "events.jsonl")

    def tell(event: str, /, **values: Any) -> None:
        told.append((event, values))

    assert stopped_early("tokenize", start, tell, events) == 75
    events.close()
    words = (
        "asked to stop while tokenizing: nothing was trained in this start; the same command goes on from checkpoint-20"
    )
    assert capsys.readouterr() == ("", words + "\n")
    assert told == [("stopped", {"code": 75, "steps": 0, "checkpoint": "checkpoint-20", "words": words})]
    assert '"exit_code":75' in (tmp_path / "events.jsonl").read_text()


def test_a_run_that_has_made_steps_or_ends_otherwise_is_none(tmp_path: Path) -> None:
    start = Start(kind="resume", checkpoint=tmp_path, step=20)
    at = {step: SimpleNamespace(state=SimpleNamespace(global_step=step)) for step in (0, 20, 21)}
    assert is_early_stop(SystemExit(75), "load", start, None)
    assert is_early_stop(KeyboardInterrupt(), "train", start, at[0])
    assert is_early_stop(SystemExit(75), "train", start, at[20])
    assert not is_early_stop(SystemExit(75), "train", start, at[21])
    assert not is_early_stop(SystemExit(75), "save", start, at[21])
    assert not is_early_stop(SystemExit(1), "load", start, None)


def test_stopped_while_the_result_was_saved_it_says_that_all_steps_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = EventLog(tmp_path / "events.jsonl")
    told: list[Any] = []
    start = Start(kind="resume", checkpoint=tmp_path / "checkpoint-60", step=60, step_before=40)
    assert stopped_saving(40, start, lambda event, **values: told.append((event, values["steps"])), events) == 75
    events.close()
    assert "all 40 steps are made and checkpoint-80 stands" in capsys.readouterr().err
    assert told == [("stopped", 40)]
    assert '"step":80' in (tmp_path / "events.jsonl").read_text()
