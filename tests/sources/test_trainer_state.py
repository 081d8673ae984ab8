"""A Trainer's folder: which state counts, resumes, files that are being written, links."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from trainguard.errors import UsageError
from trainguard.sources.trainer_state import TrainerFolder


def save(folder: Path, steps: list[int], *, loss: float = 2.0, **extra: Any) -> Path:
    """The state that a Trainer writes at the last of these steps."""
    history = [{"loss": loss - step / 1000, "step": step, "epoch": step / 100} for step in steps]
    state = {
        "global_step": steps[-1] if steps else 0,
        "max_steps": 100,
        "logging_steps": 10,
        "eval_steps": 500,
        "save_steps": 500,
        "num_train_epochs": 1,
        "log_history": history,
        "stateful_callbacks": {"TrainerControl": {"args": {"should_training_stop": False}, "attributes": {}}},
        **extra,
    }
    path = folder / f"checkpoint-{state['global_step']}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "trainer_state.json").write_text(json.dumps(state))
    return path


def steps_of(source: TrainerFolder) -> list[Any]:
    return [each.get("step", each.get("event")) for each in source.poll()]


def test_new_checkpoints_append(tmp_path: Path) -> None:
    save(tmp_path, [10, 20])
    source = TrainerFolder(tmp_path, "out")

    assert steps_of(source) == [10, 20]
    assert steps_of(source) == []
    save(tmp_path, [10, 20, 30, 40])
    assert steps_of(source) == [30, 40]
    assert source.declared == {"max_steps": 100, "logging_steps": 10}  # 500 and 500 stand there unused
    assert not source.ended
    save(tmp_path, list(range(10, 101, 10)))
    assert steps_of(source) == [50, 60, 70, 80, 90, 100]
    assert source.ended


def test_checkpoints_are_ordered_by_number_not_by_name(tmp_path: Path) -> None:
    save(tmp_path, [90])
    save(tmp_path, [90, 100])

    assert steps_of(TrainerFolder(tmp_path, "out")) == [90, 100]


def test_a_resume_from_before_is_an_event(tmp_path: Path) -> None:
    save(tmp_path, [10, 20, 30])
    source = TrainerFolder(tmp_path, "out")
    assert steps_of(source) == [10, 20, 30]

    path = save(tmp_path, [10, 20, 30, 40])
    state = json.loads((path / "trainer_state.json").read_text())
    state["log_history"][2]["loss"] = 9.0
    (path / "trainer_state.json").write_text(json.dumps(state))

    records = list(source.poll())
    assert records[0] == {"event": "resume", "from_step": 20}
    assert [each["step"] for each in records[1:]] == [30, 40]


def test_a_state_that_is_being_written_waits(tmp_path: Path) -> None:
    save(tmp_path, [10])
    path = save(tmp_path, [10, 20]) / "trainer_state.json"
    whole = path.read_text()
    path.write_text(whole[:-40])
    source = TrainerFolder(tmp_path, "out")

    assert steps_of(source) == [10]
    path.write_text(whole)
    assert steps_of(source) == [20]


def test_nothing_but_a_broken_state_is_an_error(tmp_path: Path) -> None:
    (save(tmp_path, [10]) / "trainer_state.json").write_text('{"log_history": [')

    with pytest.raises(UsageError, match="is not the state of a Trainer, or it is being written"):
        list(TrainerFolder(tmp_path, "out").poll(last=True))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        '{"log_history": {}}',
        '{"log_history": [1, null, "a", []], "global_step": "x", "max_steps": -1, "stateful_callbacks": []}',
        '{"log_history": [{"loss": NaN, "step": -5}, {"loss": 1e999}], "global_step": -4, "max_steps": 1e99}',
        "[" * 100_000,
        '{"log_history": [], "global_step": ' + "9" * 5000 + "}",
        "\x00",
    ],
)
def test_hostile_states(tmp_path: Path, content: str) -> None:
    (tmp_path / "trainer_state.json").write_text(content)

    assert isinstance(list(TrainerFolder(tmp_path, "out").poll()), list)


def test_a_history_with_a_summary_before_the_last_planned_step_is_an_end(tmp_path: Path) -> None:
    summary = [{"loss": 1.0, "step": 40}, {"train_runtime": 1.0, "train_loss": 1.0, "step": 40}]
    save(tmp_path, [40], log_history=summary)

    assert list(TrainerFolder(tmp_path, "out").poll())[-1] == {"event": "end", "exit_code": 0, "step": 40}


@pytest.mark.parametrize(
    "callbacks",
    [{"TrainerControl": {"args": {"should_training_stop": True}}}, {}],
)
def test_a_run_that_a_callback_stopped_did_not_end_early(tmp_path: Path, callbacks: dict[str, Any]) -> None:
    summary = [{"loss": 1.0, "step": 40}, {"train_runtime": 1.0, "train_loss": 1.0, "step": 40}]
    save(tmp_path, [40], log_history=summary, stateful_callbacks=callbacks)
    source = TrainerFolder(tmp_path, "out")

    assert not any("event" in each for each in source.poll())
    assert source.ended


def test_early_stopping_is_declared(tmp_path: Path) -> None:
    callbacks = {"EarlyStoppingCallback": {"args": {"early_stopping_patience": 3}, "attributes": {}}}
    save(tmp_path, [10], stateful_callbacks=callbacks)
    source = TrainerFolder(tmp_path, "out")
    list(source.poll())

    assert source.declared["early_stopping_patience"] == 3


def test_links_and_fifos_are_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    save(elsewhere, [90])
    out = tmp_path / "out"
    save(out, [10])
    os.symlink(elsewhere / "checkpoint-90", out / "checkpoint-90")
    (out / "checkpoint-95").mkdir()
    os.mkfifo(out / "checkpoint-95" / "trainer_state.json")
    os.symlink("checkpoint-96", out / "checkpoint-96")

    assert steps_of(TrainerFolder(out, "out")) == [10]


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    path = save(tmp_path, [10])
    (path / "training_args.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR.")

    assert steps_of(TrainerFolder(tmp_path, "out")) == [10]
    assert not (tmp_path / "owned").exists()
