"""All places where a real Trainer leaves its metrics tell the same run: its folder, its log, TensorBoard, Trackio."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainguard.sources.base import Record, Source
from trainguard.sources.recognise import recognise

SCRIPT = """
import sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

torch.manual_seed(0)
torch.set_num_threads(1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                     num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=32))
rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 8, (64, 8))]
args = TrainingArguments(sys.argv[1], max_steps=20, per_device_train_batch_size=4, logging_steps=2, learning_rate=5e-3,
                         eval_strategy="steps", eval_steps=10, save_steps=10, warmup_steps=4,
                         lr_scheduler_type="cosine",
                         report_to=["tensorboard", "trackio"], project="watched", run_name="first", use_cpu=True)
trainer = Trainer(model, args, train_dataset=rows, eval_dataset=rows[:8])
trainer.train()
trainer.save_state()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    (folder / "train.py").write_text(SCRIPT)
    environment = {
        **os.environ,
        "TRACKIO_DIR": str(folder / "trackio"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "80",
    }
    with open(folder / "train.log", "wb") as log:
        command = [sys.executable, "-u", "train.py", "out"]
        subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True, timeout=300
        )
    return folder


def read(source: Source) -> list[Record]:
    records = list(source.poll(last=True))
    source.close()
    return records


def losses(records: list[Record]) -> dict[int, float]:
    return {each["step"]: each["loss"] for each in records if "loss" in each}


@pytest.fixture(scope="module")
def history(place: Path) -> list[Record]:
    return read(recognise(str(place / "out")))


def test_the_folder(place: Path, history: list[Record]) -> None:
    source = recognise(str(place / "out"))
    read(source)

    assert source.kind == "trainer"
    assert source.ended
    assert source.declared == {"max_steps": 20, "logging_steps": 2, "eval_steps": 10, "save_steps": 10}
    assert sorted(losses(history)) == list(range(2, 21, 2))
    assert [each["step"] for each in history if "eval_loss" in each] == [10, 20]
    assert not any("t" in each for each in history)


def test_a_checkpoint_holds_the_beginning(place: Path, history: list[Record]) -> None:
    source = recognise(str(place / "out" / "checkpoint-10"))

    assert losses(read(source)) == {step: loss for step, loss in losses(history).items() if step <= 10}
    assert not source.ended


def test_the_log(place: Path, history: list[Record]) -> None:
    source = recognise(str(place / "train.log"))
    records = read(source)

    assert losses(records) == pytest.approx(losses(history), abs=6e-4)  # printed with four digits
    assert [each["step"] for each in records if "eval_loss" in each] == [10, 20]
    assert source.declared["max_steps"] == 20
    assert source.ended


def test_tensorboard(place: Path, history: list[Record]) -> None:
    source = recognise(str(place / "out" / "runs"))
    records = read(source)

    assert source.kind == "tensorboard"
    assert losses(records) == pytest.approx(losses(history), rel=1e-6)
    assert [each["step"] for each in records if "eval_loss" in each] == [10, 20]
    assert source.ended
    assert source.declared["lr_scheduler_type"] == "cosine"
    assert (source.declared["max_steps"], source.declared["warmup_steps"]) == (20, 4)
    times = [each["t"] for each in records]
    assert times == sorted(times)


READ_TRACKIO = """
import json, sys
from trainguard.errors import UsageError
from trainguard.sources.recognise import recognise
found = {}
for name in sys.argv[1:]:
    try:
        source = recognise(name)
        found[name] = [list(source.poll(last=True)), source.declared, source.kind]
    except UsageError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def test_trackio(place: Path, history: list[Record]) -> None:
    """In a process of its own: Trackio settles where its store is when it is imported."""
    environment = {**os.environ, "TRACKIO_DIR": str(place / "trackio"), "HF_HUB_OFFLINE": "1"}
    names = ["watched", "watched/first", "trackio:watched", str(place / "trackio" / "watched.db")]
    command = [sys.executable, "-c", READ_TRACKIO, *names, "wached", "watched/frist"]
    done = subprocess.run(command, env=environment, cwd=place, capture_output=True, check=True, timeout=120)
    found = json.loads(done.stdout)

    for name in names:
        records, declared, kind = found[name]
        assert kind == "trackio"
        assert losses(records) == pytest.approx(losses(history))
        assert declared["lr_scheduler_type"] == "cosine"
        assert declared["max_steps"] == 20
    assert "did you mean watched?" in found["wached"]
    assert "did you mean watched/first?" in found["watched/frist"]
