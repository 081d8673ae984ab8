"""assert_ready: all problems of a Trainer at once, and none of a healthy one."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tests.train.tiny_runs import codes, lora, model, rows, trainer
from torch import nn
from transformers import Trainer, default_data_collator

from trainguard.train.actions import NotReadyError
from trainguard.train.memory import release_gpu_memory
from trainguard.train.ready import assert_ready
from trainguard.train.soundness import finite_weights

# peft 0.21 still asks transformers 5.23 by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def problems(run: Any) -> list[str]:
    with pytest.raises(NotReadyError) as raised:
        assert_ready(run)
    return [finding.message for finding in raised.value.findings if finding.severity == "error"]


def test_a_healthy_trainer_is_ready_and_left_as_it_was(tmp_path: Path) -> None:
    def collate(given: list[Any]) -> Any:
        random.random(), np.random.rand(), torch.rand(1)  # as those that mask or augment
        return default_data_collator(given)

    run = trainer(tmp_path, trainer_data_collator=collate)
    before, drawn = list(tmp_path.iterdir()), (torch.get_rng_state(), random.getstate(), np.random.get_state()[2])
    findings = assert_ready(run)
    # The one thing to say of it: there is no tokenizer.
    assert [(each.severity, "tokenizer" in each.message) for each in findings] == [("info", True)]
    assert list(tmp_path.iterdir()) == before
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert (random.getstate(), np.random.get_state()[2]) == drawn[1:]
    assert run.optimizer is None
    assert run.state.global_step == 0
    run.train()
    assert run.state.global_step == 8


def test_healthy_trainers_of_other_kinds(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": [], "text": []}
    for row in rows(8):
        columns["input_ids"].append(row["input_ids"].tolist())
        columns["labels"].append(row["labels"].tolist())
        columns["text"].append("left out by the Trainer")
    data = Dataset.from_dict(columns)
    for run in (
        trainer(tmp_path, net=lora()),
        trainer(tmp_path, data=data, remove_unused_columns=True),
        trainer(tmp_path, num_train_epochs=1, max_steps=-1),
        trainer(tmp_path, save_total_limit=2, logging_strategy="epoch", warmup_steps=0.1),
    ):
        assert not [each for each in assert_ready(run) if each.severity != "info"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("per_device_train_batch_size", 0, "expected at least 1"),
        ("per_device_train_batch_size", "4", "type str"),
        ("gradient_accumulation_steps", 0, "expected at least 1"),
        ("num_train_epochs", None, "calculates with it"),
        ("max_steps", None, "calculates with it"),
        ("max_grad_norm", None, "calculates with it"),
        ("learning_rate", 0.0, "expected above 0"),
        ("learning_rate", float("nan"), "expected above 0"),
        ("logging_steps", 0, "expected above 0"),
        ("save_steps", None, "calculates with it"),
        ("adam_beta2", 1.5, "at most 1"),
        ("max_steps", True, "type bool"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, name: str, value: Any, words: str) -> None:
    run = trainer(tmp_path)
    setattr(run.args, name, value)
    said = problems(run)
    assert len(said) == 1
    assert said[0].startswith(f"{name}={value!r}: ")
    assert words in said[0]


def test_all_problems_at_once(tmp_path: Path) -> None:
    net = model()
    net.requires_grad_(False)
    run = trainer(tmp_path, net=net, data=rows(masked=True))
    run.args.num_train_epochs = None
    run.args.max_steps = 0
    (tmp_path / "file").write_text("")
    run.args.output_dir = str(tmp_path / "file" / "out")
    with pytest.raises(NotReadyError) as raised:
        assert_ready(run)
    errors = [finding for finding in raised.value.findings if finding.severity == "error"]
    assert sorted(codes(errors)) == ["RUN016", "RUN017", "RUN022", "SYS003"]
    assert all((finding.code or "") in str(raised.value) for finding in errors)


def test_no_steps(tmp_path: Path) -> None:
    assert "no step would be trained" in problems(trainer(tmp_path, num_train_epochs=0, max_steps=-1))[0]
    assert "is empty" in problems(trainer(tmp_path, data=[]))[0]
    run = trainer(tmp_path)
    run.train_dataset = None
    assert "no train_dataset" in problems(run)[0]
    few = trainer(tmp_path, data=rows(2), dataloader_drop_last=True)
    assert "dataloader_drop_last=True drops them all" in problems(few)[0]


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    raw = Dataset.from_dict({"question": ["a"] * 4, "answer": ["b"] * 4})
    assert (
        "no column of train_dataset (question, answer)"
        in problems(trainer(tmp_path, data=raw, remove_unused_columns=True))[0]
    )
    # The default collator cannot make tensors of texts, and gives an empty batch.
    assert problems(trainer(tmp_path, data=raw))
    unlabelled = [{"input_ids": row["input_ids"]} for row in rows(8)]
    assert "returns no loss" in problems(trainer(tmp_path, data=unlabelled))[0]

    def collate(given: list[dict[str, Any]]) -> dict[str, Any]:
        return {"input_ids": torch.stack([row["tokens"] for row in given])}

    assert "KeyError: 'tokens'" in problems(trainer(tmp_path, trainer_data_collator=collate))[0]


def test_a_model_that_makes_its_own_loss_is_let_be(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(64))

        def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": self.weight[input_ids].mean()}

    unlabelled = [{"input_ids": row["input_ids"]} for row in rows(8)]
    assert_ready(trainer(tmp_path, net=Own(), data=unlabelled))

    class OwnLoss(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *given: Any, **named: Any) -> Any:
            return model(**inputs).logits.mean()

    run = trainer(tmp_path, data=unlabelled, kind=OwnLoss)
    assert_ready(run)
    run.train()


def test_float16_weights_with_a_loss_scaler(tmp_path: Path) -> None:
    run = trainer(tmp_path, net=model().half())
    run.args.fp16 = True
    assert "Attempting to unscale FP16 gradients" in problems(run)[0]


def test_output_folders(tmp_path: Path) -> None:
    run = trainer(tmp_path / "out")
    (tmp_path / "file").write_text("")
    run.args.output_dir = str(tmp_path / "file" / "deeper")
    assert "is a file" in problems(run)[0]
    # A folder that nobody can write into, root neither.
    run.args.output_dir = "/proc"
    assert "cannot be written to" in problems(run)[0]


def test_an_output_folder_that_cannot_be_made_although_nothing_is_saved(tmp_path: Path) -> None:
    run = trainer(tmp_path, save_strategy="no")
    run.args.output_dir = "/proc/x/y"
    with pytest.raises(NotReadyError) as raised:
        assert_ready(run)
    (found,) = [each for each in raised.value.findings if each.severity == "error"]
    assert (found.code, found.evidence["output_dir"]) == ("SYS003", "/proc/x/y")
    assert "neither the result nor a log" in found.message
    run.args.output_dir = str(tmp_path / ("long" * 100))
    assert "cannot be written to" in problems(run)[0]


def test_token_ids_that_the_embedding_does_not_have(tmp_path: Path) -> None:
    data = rows()
    data[-1]["input_ids"][5] = 64
    for net in (model(), lora(), lora(modules_to_save=["embed_tokens"])):
        with pytest.raises(NotReadyError) as raised:
            assert_ready(trainer(tmp_path, net=net, data=data))
        (found,) = [each for each in raised.value.findings if each.severity == "error"]
        assert (found.code, found.docs) == ("MODEL005", "docs/rules/MODEL005.md")
        assert (found.evidence["largest_id"], found.evidence["rows"]) == (64, 64)
        assert "resize_token_embeddings" in found.message
    # The same, once the remedy is applied, by hand too; and where the model takes such ids itself.
    resized, by_hand, own = model(), model(), model()
    resized.resize_token_embeddings(65)
    by_hand.model.embed_tokens.weight = nn.Parameter(torch.zeros(65, 32))
    own.model.embed_tokens.register_forward_pre_hook(lambda _, given: (given[0].clamp(max=63),))
    for net in (resized, by_hand, own):
        assert_ready(trainer(tmp_path, net=net, data=data))


def test_weights_that_are_not_finite_at_the_start(tmp_path: Path) -> None:
    for value, frozen in ((float("nan"), False), (float("inf"), False), (float("nan"), True), (float("inf"), True)):
        net: Any = lora() if frozen else model()
        name, weight = next(each for each in net.named_parameters() if "down_proj" in each[0])
        weight.data[3, 4] = value
        with pytest.raises(NotReadyError) as raised:
            assert_ready(trainer(tmp_path, net=net))
        (found,) = [each for each in raised.value.findings if each.severity == "error"]
        assert (found.code, found.evidence["tensors"], found.evidence["names"]) == ("RUN001", 1, (name,))
        assert name in found.message
    # A mask of attention that is kept as a frozen parameter, and large numbers of half precision.
    net = model().half()
    net.lm_head.weight.data[0] = 65504.0
    net.mask = nn.Parameter(torch.full((4, 4), float("-inf")).triu(1), requires_grad=False)
    assert_ready(trainer(tmp_path, net=net))


def test_the_weights_are_looked_at_with_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    net = model()
    net.lm_head.bfloat16()
    waits = []
    real = torch.Tensor.tolist
    for name in ("tolist", "item", "__bool__", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda tensor, name=name: waits.append(name) or real(tensor))
    assert list(finite_weights(net)) == []
    assert waits == ["tolist"]


def test_hostile_objects_are_no_crash() -> None:
    class Nothing:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    with pytest.raises(NotReadyError):
        assert_ready(None)
    with pytest.raises((NotReadyError, RuntimeError)):
        assert_ready(Nothing())


def test_release_without_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with caplog.at_level(logging.INFO):
        done = release_gpu_memory()
    assert (done.before, done.after, done.freed_bytes, done.warnings) == ((), (), 0, ())
    assert "no GPU is visible to PyTorch" in done.note
    assert done.note in caplog.text
    for share in (-0.1, 1.1, True, "0.1", float("nan")):
        with pytest.raises(ValueError, match="expected a share from 0 to 1"):
            release_gpu_memory(warn_above=share)  # type: ignore[arg-type]


class FakeGpu:
    """What torch.cuda says of one GPU of which a part is freed."""

    def __init__(self, left: int) -> None:
        self.left, self.emptied, self.waited = left, 0, 0

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Properties:
            total_memory = 1000

        def empty() -> None:
            self.emptied += 1

        def wait(device: int) -> None:
            self.waited += 1

        fakes = {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "device_count": lambda: 1,
            "memory_allocated": lambda device: self.left if self.emptied else 600,
            "memory_reserved": lambda device: self.left if self.emptied else 800,
            "get_device_properties": lambda device: Properties,
            "synchronize": wait,
            "empty_cache": empty,
            "ipc_collect": lambda: None,
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)


def test_release_reports_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu(left=150)
    gpu.patch(monkeypatch)
    done = release_gpu_memory()
    assert (gpu.emptied, gpu.waited, done.freed_bytes) == (1, 1, 650)
    assert (done.before[0].allocated_bytes, done.after[0].allocated_bytes) == (600, 150)
    assert len(done.warnings) == 1
    assert "15% of its memory and more than warn_above=10%" in done.warnings[0]
    assert release_gpu_memory(warn_above=0.2).warnings == ()
