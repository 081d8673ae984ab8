"""A second file on the checkpoint of a first one: the stock Trainer trains nothing of it, here all of it is trained."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from trainguard.errors import TrainguardError
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.train.lineage import Continuation
from trainguard.train.trainer import GuardedSFTTrainer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 40
pytestmark = [
    # Of the libraries among themselves: peft 0.21 and trl 1.16 ask transformers 5.23 by older names.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    # torch's loader of data on a machine without a GPU.
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's model."""
    spec = importlib.util.spec_from_file_location("make_model", ROOT / "examples/train/make_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("base")
    module.make_model(folder)
    return folder


def rows(first: int, count: int = EXAMPLES) -> Dataset:
    """Tokenized examples; the second token is the number of the example, so that it can be recognised."""
    ids = [[5, 10 + first + number, 6, 7, 8, 9] for number in range(count)]
    return Dataset.from_dict({"input_ids": ids, "labels": [list(each) for each in ids]})


class _Seen:
    """Notes the examples of each training step."""

    seen: list[int]

    def training_step(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        numbers = inputs["input_ids"][:, 1].tolist()
        self.seen = [*getattr(self, "seen", []), *(each - 10 for each in numbers)]
        return super().training_step(model, inputs, *more, **named)  # type: ignore[misc]


class Stock(_Seen, SFTTrainer):
    """trl's own trainer."""


class Guarded(_Seen, GuardedSFTTrainer):
    """Ours."""


class StopAt(TrainerCallback):
    """Ends a run after a step, as a kill between two steps does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if state.global_step == self._step:
            control.should_training_stop = True
        return control


class Rates(TrainerCallback):
    """Notes the learning rate of each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "learning_rate" in logs:
            self.rates.append(logs["learning_rate"])


def make(kind: type[Any], base: Path, output: Path, data: Dataset, *callbacks: Any, **more: Any) -> Any:
    given = {name: more.pop(name) for name in ("continuation", "peft_config") if name in more}
    arguments = SFTConfig(
        **{
            "output_dir": str(output),
            "num_train_epochs": 2,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            "warmup_steps": 4,
            "logging_steps": 1,
            "save_steps": 8,
            "activation_checkpointing": False,
            "bf16": False,
            "use_cpu": True,
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            **more,
        }
    )
    return kind(
        model=LlamaForCausalLM.from_pretrained(base),
        args=arguments,
        train_dataset=data,
        processing_class=PreTrainedTokenizerFast.from_pretrained(base),
        callbacks=list(callbacks),
        **given,
    )


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in trainer.model.state_dict().items()}


def test_the_stock_trainer_trains_nothing_of_the_second_file_and_reports_success(base: Path, tmp_path: Path) -> None:
    first = make(Stock, base, tmp_path, rows(0))
    first.train()
    assert Counter(first.seen) == Counter(dict.fromkeys(range(EXAMPLES), 2))

    second = make(Stock, base, tmp_path, rows(100))
    output = second.train(resume_from_checkpoint=True)
    assert getattr(second, "seen", []) == []  # 0 of 40 examples
    assert (output.global_step, second.state.max_steps) == (40, 40)  # and it looks done


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a guarded run over the first file: 40 steps."""
    output = tmp_path_factory.mktemp("trained")
    trainer = make(Guarded, base, output, rows(0))
    trainer.train()
    assert trainer.own_steps == 40
    return output


def copied(trained: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(trained, to / "out"))


def last(output: Path) -> Path:
    found = latest_verified_checkpoint(output)
    assert found is not None
    return found


def test_here_every_example_of_the_second_file_is_trained_once_an_epoch(
    base: Path, trained: Path, tmp_path: Path
) -> None:
    output = copied(trained, tmp_path)
    begin = last(output)
    noted = Rates()
    second = make(Guarded, base, output, rows(100), noted, continuation=Continuation(step_before=40, weights=begin))
    assert second.planned_steps() == 40
    second.train()
    assert Counter(second.seen) == Counter({100 + number: 2 for number in range(EXAMPLES)})
    assert sorted(second.seen[:EXAMPLES]) == [100 + number for number in range(EXAMPLES)]
    assert (second.own_steps, second.state.global_step, second.state.max_steps) == (40, 80, 80)
    assert last(output).name == "checkpoint-80"
    # Its schedule is one of its own: the warm-up of 4 steps, then down to 0 over 40.
    assert noted.rates[:5] == pytest.approx([0, 0.0025, 0.005, 0.0075, 0.01], rel=1e-6)
    assert noted.rates[-1] == pytest.approx(0.01 / 36, rel=1e-6)


def test_it_begins_with_the_weights_of_the_first_file(base: Path, trained: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    output = copied(trained, tmp_path)
    begin = last(output)
    fresh = LlamaForCausalLM.from_pretrained(base).state_dict()
    second = make(
        Guarded, base, output, rows(100), max_steps=1, learning_rate=1e-12,
        continuation=Continuation(step_before=40, weights=begin),
    )  # fmt: skip
    second.train()
    saved = load_file(begin / "model.safetensors")
    name = "model.embed_tokens.weight"
    assert torch.allclose(weights(second)[name], saved[name], atol=1e-6)
    assert not torch.allclose(weights(second)[name], fresh[name], atol=1e-3)


@pytest.mark.parametrize("stop", [44, 60, 61])
def test_a_kill_in_the_second_file_resumes_there_with_nothing_lost_and_nothing_twice(
    base: Path, trained: Path, tmp_path: Path, stop: int
) -> None:
    output = copied(trained, tmp_path)
    begin = last(output)
    continuation = Continuation(step_before=40, weights=begin)
    whole = make(Guarded, base, output, rows(100), continuation=continuation, output_dir=str(tmp_path / "whole"))
    whole.train()

    # The save interval of 1 stands for a checkpoint at the step of the kill.
    killed = make(Guarded, base, output, rows(100), StopAt(stop), continuation=continuation, save_steps=1)
    killed.train()
    resumed = make(Guarded, base, output, rows(100), continuation=Continuation(step_before=40), save_steps=1)
    resumed.train(resume_from_checkpoint=str(last(output)))

    assert killed.own_steps == stop - 40
    assert killed.seen + resumed.seen == whole.seen
    assert resumed.state.global_step == 80
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_the_moments_are_taken_along_where_asked_for(base: Path, trained: Path, tmp_path: Path) -> None:
    output = copied(trained, tmp_path)
    begin = last(output)
    saved = torch.load(begin / "optimizer.pt", weights_only=True)

    class Moments(TrainerCallback):
        steps: float = -1
        rate: float = -1

        def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any) -> None:
            found = optimizer.state_dict()
            self.steps = max((float(each["step"]) for each in found["state"].values()), default=0.0)
            self.rate = found["param_groups"][0]["initial_lr"]

    for keep, steps in ((False, 0.0), (True, float(max(each["step"] for each in saved["state"].values())))):
        noted = Moments()
        trainer = make(
            Guarded, base, output, rows(100), noted, max_steps=1, learning_rate=3e-3, save_strategy="no",
            continuation=Continuation(step_before=40, weights=begin, moments=keep),
        )  # fmt: skip
        trainer.train()
        assert noted.steps == steps
        assert noted.rate == pytest.approx(3e-3)


def test_one_global_schedule_goes_on_where_all_steps_so_far_have_brought_it(
    base: Path, trained: Path, tmp_path: Path
) -> None:
    output = copied(trained, tmp_path)
    noted, again = Rates(), Rates()
    continuation = Continuation(step_before=40, weights=last(output), schedule="global")
    killed = make(Guarded, base, output, rows(100), noted, StopAt(50), continuation=continuation, save_steps=1)
    killed.train()
    resumed = make(
        Guarded, base, output, rows(100), again, continuation=Continuation(step_before=40, schedule="global")
    )
    resumed.train(resume_from_checkpoint=str(last(output)))
    rates = noted.rates + again.rates
    # Linear over 80 steps after 4 of warm-up, from step 41 on: one line, no second warm-up.
    expected = [0.01 * (80 - step) / 76 for step in range(40, 80)]
    assert (len(noted.rates), len(again.rates)) == (10, 30)
    assert rates == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_with_moments_the_own_schedule_survives_a_kill_too(base: Path, trained: Path, tmp_path: Path) -> None:
    output = copied(trained, tmp_path)
    noted, again = Rates(), Rates()
    continuation = Continuation(step_before=40, weights=last(output), moments=True)
    killed = make(Guarded, base, output, rows(100), noted, StopAt(50), continuation=continuation, save_steps=1)
    killed.train()
    assert last(output).name == "checkpoint-50"
    resumed = make(Guarded, base, output, rows(100), again, continuation=Continuation(step_before=40, moments=True))
    resumed.train(resume_from_checkpoint=str(last(output)))
    expected = [0.01 * min(step / 4, (40 - step) / 36) for step in range(40)]
    assert noted.rates + again.rates == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_adapters_go_from_file_to_file_too(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    def adapter() -> Any:
        return LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")

    first = make(Guarded, base, tmp_path, rows(0, 8), peft_config=adapter(), num_train_epochs=1)
    first.train()
    begin = last(tmp_path)
    assert (begin / "adapter_model.safetensors").is_file()
    after = {name: value for name, value in weights(first).items() if "lora_B" in name}
    second = make(
        Guarded, base, tmp_path, rows(100, 8), peft_config=adapter(), num_train_epochs=1, learning_rate=1e-12,
        continuation=Continuation(step_before=4, weights=begin),
    )  # fmt: skip
    second.train()
    assert Counter(second.seen) == Counter(range(100, 108))
    assert all(value.abs().max() > 0 for value in after.values())
    for name, value in after.items():
        assert torch.allclose(weights(second)[name], value, atol=1e-6), name


def test_a_checkpoint_before_the_file_is_refused(base: Path, trained: Path, tmp_path: Path) -> None:
    output = copied(trained, tmp_path)
    trainer = make(Guarded, base, output, rows(100), continuation=Continuation(step_before=60))
    with pytest.raises(TrainguardError, match="is at step 40, and this file begins at 60"):
        trainer.train(resume_from_checkpoint=str(last(output)))


def test_the_saved_state_counts_on_and_verifies(base: Path, trained: Path, tmp_path: Path) -> None:
    output = copied(trained, tmp_path)
    trainer = make(Guarded, base, output, rows(100), continuation=Continuation(step_before=40, weights=last(output)))
    trainer.checkpoint_run = {"step_before": 40}
    trainer.train()
    state = json.loads((last(output) / "trainer_state.json").read_text())
    assert (state["global_step"], state["max_steps"]) == (80, 80)
    assert not (output / "README.md").exists()
    throughput = next(line for line in state["log_history"] if "loss" in line)
    assert throughput["step"] == 41
