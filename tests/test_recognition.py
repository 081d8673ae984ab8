"""What a path is taken for, besides a script or a job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainguard.inputs import find_inputs

ROW = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
CONFIG = {"base_model": "Qwen/Qwen3-0.6B", "learning_rate": 1e-4, "batch_size": 4}


def kind_of(path: Path) -> list[str]:
    return [found.kind for found in find_inputs([path])]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("train.jsonl", json.dumps(ROW), "data"),
        ("train.jsonl.gz", "", "data"),
        ("train.json", json.dumps([ROW]), "data"),
        ("lines.json", f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n", "data"),
        ("run.toml", 'base_model = "x"', "config"),
        ("config.json", json.dumps(CONFIG), "config"),
        ("settings.json", json.dumps(CONFIG), "config"),
        ("config.json", '{"base_model": "x",', "config"),
        ("model.safetensors", "", "model"),
        ("job.json", json.dumps({"script": "train.py", "timeout": "2h"}), "script"),
        ("jobs.json", json.dumps([{"command": ["python"], "timeout": "2h"}]), "script"),
        ("plain.txt", "a text to train on", "data"),
        ("train.py", "print()", "script"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, kind: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert kind_of(path) == [kind]


def test_a_missing_config_is_a_config(tmp_path: Path) -> None:
    assert kind_of(tmp_path / "config.json") == ["config"]


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (["config.json", "model.safetensors"], ["model"]),
        (["adapter_config.json", "adapter_model.safetensors"], ["model"]),
        (["tokenizer.json"], ["model"]),
        (["checkpoint-10/trainer_state.json", "checkpoint-20/x"], ["checkpoint"]),
        (["config.json", "model.safetensors", "checkpoint-10/trainer_state.json"], ["model", "checkpoint"]),
        (["trainer_state.json", "model.safetensors"], ["checkpoint"]),
        (["a.jsonl", "b.parquet"], ["data"]),
        (["train.py", "train.jsonl"], ["script"]),
        (["notes.txt"], []),
    ],
)
def test_folders(tmp_path: Path, names: list[str], kinds: list[str]) -> None:
    folder = tmp_path / "folder"
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"model_type": "llama"}' if name == "config.json" else "", encoding="utf-8")
    assert kind_of(folder) == kinds


def test_a_checkpoint_that_is_empty_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-5").mkdir()
    assert kind_of(tmp_path / "checkpoint-5") == ["checkpoint"]


def test_data_of_a_project_is_left_alone_where_the_project_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print()\n")
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "broken.jsonl").write_text("{")
    assert [found.path.name for found in find_inputs([tmp_path])] == ["train.py"]


def test_the_same_path_is_checked_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    assert len(list(find_inputs([tmp_path, tmp_path, tmp_path / "a.jsonl", tmp_path / "a.jsonl"]))) == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("README.md", "# Title", ".md is no suffix of a script"),
        ("pyproject.toml", "[project]", ".toml is no suffix of a script"),
        ("config.json", '{"model_type": "llama"}', "a part of a model: trainguard check"),
        ("trainer_state.json", '{"global_step": 5}', "a part of a checkpoint: trainguard check"),
        ("ds_config.json", '{"zero_optimization": {}}', "holds neither a job nor a configuration"),
    ],
)
def test_what_cannot_be_checked_is_said_so(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    (found,) = find_inputs([tmp_path / name])
    assert found.error is not None
    assert words in found.error
