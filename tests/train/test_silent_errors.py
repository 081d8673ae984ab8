"""Six of the silent errors that TrainCheck publishes (Jiang et al., OSDI 2025), in miniature: each is seen within one
logged point of its trigger, and the same run without the error says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.tiny_runs import codes, lora, model, trainer
from transformers import LlamaForCausalLM, Trainer, TrainerCallback, get_linear_schedule_with_warmup

from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.train.actions import NotReadyError
from trainguard.train.callback import GuardCallback

# peft 0.21 still asks transformers 5.23 by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def run(output: Path, **given: Any) -> GuardCallback:
    guard = GuardCallback()
    trainer(output, *given.pop("before", ()), guard, **given).train()
    return guard


def optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-3)


def test_healthy_runs_say_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "full").findings == []
    # The frozen base is random, so that its loss stays at ln(vocabulary), which RUN004 says rightly.
    assert set(codes(run(tmp_path / "lora", net=lora()).findings)) <= {"RUN004"}
    net = model()
    made = optimizer([each for each in net.parameters() if each.requires_grad])
    assert run(tmp_path / "own", net=net, trainer_optimizers=(made, None)).findings == []


def test_healthy_optimizer_of_all_parameters_of_an_adapted_model(tmp_path: Path) -> None:
    net = lora()
    assert set(codes(run(tmp_path, net=net, trainer_optimizers=(optimizer(net.parameters()), None)).findings)) <= {
        "RUN004"
    }


def test_everything_frozen_but_norms(tmp_path: Path) -> None:
    # Wide enough that the norms are as small a share as they are in real models.
    net = model(hidden_size=64, intermediate_size=512)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("norm" in name)
    guard = run(tmp_path, net=net)
    found = guard.findings[0]
    assert (found.code, found.severity) == ("RUN016", "warn")
    assert "norms" in found.message
    assert found.evidence["trainable"] == 5 * 64
    assert guard.stopped is None


def test_freeze_applied_after_the_optimizer_was_built(tmp_path: Path) -> None:
    net = model()
    made = optimizer(net.parameters())
    net.model.layers[0].requires_grad_(False)
    guard = run(tmp_path, net=net, trainer_optimizers=(made, None))
    assert codes(guard.findings) == ["RUN021"]
    assert "frozen" in guard.findings[0].message
    assert guard.findings[0].evidence["frozen"] == 9


class FreezesAt(TrainerCallback):
    def __init__(self, step: int, *, to: bool = False) -> None:
        self.step, self.to = step, to

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == self.step:
            model.model.layers[0].requires_grad_(self.to)


def test_freeze_while_training(tmp_path: Path) -> None:
    guard = run(tmp_path, before=[FreezesAt(3)])
    assert codes(guard.findings) == ["RUN021"]
    assert guard.findings[0].evidence["frozen"] == 9
    # Frozen as step 4 begins, said at the log of step 4.
    said = [line for line in events(tmp_path) if line["event"] == "finding"]
    assert [line["step"] for line in said] == [4]


def test_thawed_layers_that_the_optimizer_does_not_have(tmp_path: Path) -> None:
    net = model()
    net.model.layers[0].requires_grad_(False)
    guard = run(tmp_path, net=net, before=[FreezesAt(3, to=True)])
    assert codes(guard.findings) == ["RUN021"]
    assert guard.findings[0].evidence["missing"] == 9


class KeepsGradients(LlamaForCausalLM):
    def zero_grad(self, set_to_none: bool = True) -> None:
        return


def test_no_zero_grad(tmp_path: Path) -> None:
    guard = run(tmp_path, net=KeepsGradients(model().config))
    found = [finding for finding in guard.findings if "add" in finding.message or "adds" in finding.message]
    assert codes(found) == ["RUN020"]
    # The first gradients are left over after step 1: said before step 2.
    assert found[0].step == 1
    assert guard.stopped is None


class SetsToZeros(LlamaForCausalLM):
    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none=False)


def test_gradients_that_are_set_to_zeros_are_healthy(tmp_path: Path) -> None:
    assert run(tmp_path, net=SetsToZeros(model().config)).findings == []


def test_planned_steps_wrong(tmp_path: Path) -> None:
    net = model()
    made = optimizer(net.parameters())
    # The schedule counts micro-batches: 8 steps of 4.
    schedule = get_linear_schedule_with_warmup(made, num_warmup_steps=0, num_training_steps=8 * 4)
    guard = run(
        tmp_path,
        net=net,
        trainer_optimizers=(made, schedule),
        gradient_accumulation_steps=4,
        per_device_train_batch_size=1,
    )
    assert codes(guard.findings) == ["RUN019"]
    assert guard.findings[0].evidence["schedule_steps"] == 32


def test_schedule_that_ends_before_the_run(tmp_path: Path) -> None:
    net = model()
    made = optimizer(net.parameters())
    schedule = get_linear_schedule_with_warmup(made, num_warmup_steps=0, num_training_steps=4)
    guard = run(tmp_path, net=net, trainer_optimizers=(made, schedule), max_steps=12)
    assert guard.findings[0].code == "RUN019"
    assert guard.findings[0].evidence == {"schedule_steps": 4, "max_steps": 12}


def test_no_steps_planned(tmp_path: Path) -> None:
    guard = GuardCallback()
    with pytest.raises(NotReadyError) as raised:
        trainer(tmp_path, guard, max_steps=-1, num_train_epochs=0).train()
    assert codes(raised.value.findings) == ["RUN015"]
    assert guard.exit_code == 1


class SavesOthers(Trainer):
    """Saves another state dict than the model's, as a hook that gathers shards wrongly does."""

    changed = "model.layers.1.mlp.up_proj.weight"

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.spoil(state)
        super()._save(output_dir, state)

    def spoil(self, state: dict[str, torch.Tensor]) -> None:
        for value in state.values():
            value.zero_()


class SavesLess(SavesOthers):
    def spoil(self, state: dict[str, torch.Tensor]) -> None:
        del state[self.changed]


class SavesEmpty(SavesOthers):
    def spoil(self, state: dict[str, torch.Tensor]) -> None:
        state[self.changed] = torch.empty(0)


@pytest.mark.parametrize(
    ("kind", "words"), [(SavesOthers, "has other values"), (SavesLess, "is missing"), (SavesEmpty, "has the shape [0]")]
)
def test_corrupt_state_dict_on_save(tmp_path: Path, kind: type[Trainer], words: str) -> None:
    guard = run(tmp_path, kind=kind)
    assert set(codes(guard.findings)) == {"CKPT005"}
    assert guard.findings[0].step == 4
    assert words in guard.findings[0].message
    assert not list(tmp_path.glob("checkpoint-*/trainguard.json"))
    assert guard.stopped is None


def test_corrupt_adapter_on_save(tmp_path: Path) -> None:
    class SavesOtherAdapter(Trainer):
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            state = {name: value * 2 if "lora_A" in name else value for name, value in self.model.state_dict().items()}
            super()._save(output_dir, state)

    # The learning rate is one at which the last layer, saved whole, learns enough in 8 steps.
    guard = run(tmp_path, learning_rate=5e-2, net=lora(modules_to_save=["lm_head"]), kind=SavesOtherAdapter)
    assert set(codes(guard.findings)) == {"CKPT005"}
    healthy = run(tmp_path / "healthy", learning_rate=5e-2, net=lora(modules_to_save=["lm_head"]))
    assert healthy.findings == []
    assert latest_verified_checkpoint(tmp_path / "healthy") == tmp_path / "healthy" / "checkpoint-8"


def test_optimizer_holding_other_parameters_than_the_model(tmp_path: Path) -> None:
    guard = GuardCallback()
    made = optimizer(model().parameters())
    with pytest.raises(NotReadyError, match="holds none of the model's 21 trainable parameters"):
        trainer(tmp_path, guard, net=model(), trainer_optimizers=(made, None)).train()
    assert codes(guard.findings) == ["RUN016"]


def test_optimizer_holding_other_parameters_is_seen_in_the_weights_too(tmp_path: Path) -> None:
    # With the check before the first step switched off, the watched weights tell.
    guard = GuardCallback(actions={"RUN016": "log"})
    made = optimizer(model().parameters())
    trainer(tmp_path, guard, net=model(), trainer_optimizers=(made, None), lr_scheduler_type="constant").train()
    assert "RUN021" in codes(guard.findings)
    assert guard.exit_code == 1


def events(output: Path) -> list[dict[str, Any]]:
    from trainguard.train.events import read_lines

    return read_lines(output / "trainguard" / "events.jsonl")
