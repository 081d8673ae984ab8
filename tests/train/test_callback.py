"""GuardCallback on a stock Trainer: what it sees, what it does, and what it leaves as it was."""

from __future__ import annotations

import json
import logging
import math
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.train.tiny_runs import codes, model, rows, trainer
from transformers import LlamaForCausalLM, Trainer, TrainerCallback

from trainguard.errors import UnreadableInputError, UsageError
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.findings import Finding
from trainguard.train.actions import NotReadyError
from trainguard.train.callback import GuardCallback
from trainguard.train.events import read_lines
from trainguard.train.heartbeat import read_heartbeats


class NanAt(LlamaForCausalLM):
    """The loss of some forward passes is NaN, or gradients are infinite in one tensor only."""

    passes = 0
    at: tuple[int, ...] = ()
    value = math.nan

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        if self.training:
            self.passes += 1
            if self.passes in self.at:
                output.loss = output.loss * self.value
        return output


def nan_model(*at: int, value: float = math.nan) -> NanAt:
    net = NanAt(model().config)
    net.load_state_dict(model().state_dict())
    net.at, net.value = at, value
    return net


def finite(checkpoint: Path) -> bool:
    return all(bool(value.isfinite().all()) for value in load_file(checkpoint / "model.safetensors").values())


def events(output: Path, name: str | None = None) -> list[dict[str, Any]]:
    lines = read_lines(output / "trainguard" / "events.jsonl")
    return [line for line in lines if name is None or line["event"] == name]


# NaN.


def test_stock_trainer_hides_and_saves_it(tmp_path: Path) -> None:
    """What this is all about: without the guard the run ends well, and its checkpoints hold NaN."""
    stock = trainer(tmp_path, net=nan_model(3), logging_steps=4)
    stock.train()
    assert all(math.isfinite(line["loss"]) for line in stock.state.log_history if "loss" in line)
    assert not finite(tmp_path / "checkpoint-4")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("more", [{}, {"max_grad_norm": 0.0}, {"gradient_accumulation_steps": 2}])
def test_nan_is_seen_and_not_saved(tmp_path: Path, value: float, more: dict[str, Any]) -> None:
    guard = GuardCallback()
    run = trainer(tmp_path, guard, net=nan_model(11, value=value), save_steps=2, max_steps=20, **more)
    run.train()
    at = 6 if "gradient_accumulation_steps" in more else 11
    assert codes(guard.findings) == ["RUN002" if math.isinf(value) else "RUN001"]
    assert guard.findings[0].step == at
    assert guard.findings[0].severity == "error"
    assert guard.findings[0].evidence["weights_finite"] is False
    assert run.state.global_step == at
    assert guard.stopped is not None
    assert guard.exit_code == 1
    saved = sorted(tmp_path.glob("checkpoint-*"))
    assert saved
    assert all(finite(each) for each in saved)
    assert guard.rollback_to == latest_verified_checkpoint(tmp_path) == tmp_path / f"checkpoint-{(at - 1) // 2 * 2}"


@pytest.mark.parametrize("strategy", [{"save_steps": 3}, {"save_strategy": "epoch"}])
def test_nan_in_the_very_step_that_saves(tmp_path: Path, strategy: dict[str, Any]) -> None:
    guard = GuardCallback()
    # 8 steps an epoch; the log would not show it before step 100.
    at = 3 if "save_steps" in strategy else 8
    trainer(tmp_path, guard, net=nan_model(at), logging_steps=100, max_steps=16, **strategy).train()
    assert codes(guard.findings) == ["RUN001"]
    assert not list(tmp_path.glob("checkpoint-*"))


class SpoilsOneWeight(TrainerCallback):
    """Infinite in a tensor whose gradient nobody looks at, in the step that saves."""

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 3:
            with torch.no_grad():
                model.model.layers[0].mlp.up_proj.weight[3, 5] = math.inf


def test_one_infinite_weight_is_not_saved(tmp_path: Path) -> None:
    guard = GuardCallback()
    trainer(tmp_path, SpoilsOneWeight(), guard, logging_steps=100).train()
    assert codes(guard.findings) == ["RUN001"]
    assert "model.layers.0.mlp.up_proj.weight" in guard.findings[0].message
    assert not list(tmp_path.glob("checkpoint-*"))


class NoStepOnNan(torch.optim.AdamW):
    """An optimizer that leaves out steps whose gradients are not finite."""

    def step(self, closure: Any = None) -> Any:
        grads = [each.grad for group in self.param_groups for each in group["params"] if each.grad is not None]
        if all(bool(each.isfinite().all()) for each in grads):
            return super().step(closure)
        return None


def test_nan_that_did_no_harm_stops_nothing(tmp_path: Path) -> None:
    net = nan_model(3)
    guard = GuardCallback()
    made = NoStepOnNan(net.parameters(), lr=1e-3)
    run = trainer(tmp_path, guard, net=net, trainer_optimizers=(made, None), logging_steps=4)
    run.train()
    assert [(each.code, each.severity) for each in guard.findings] == [("RUN001", "warn")]
    assert run.state.global_step == 8
    assert (guard.stopped, guard.exit_code) == (None, 0)


def test_nan_again_and_again_is_an_error(tmp_path: Path) -> None:
    net = nan_model(*range(3, 20))
    guard = GuardCallback()
    made = NoStepOnNan(net.parameters(), lr=1e-3)
    run = trainer(tmp_path, guard, net=net, trainer_optimizers=(made, None), logging_steps=4, max_steps=20)
    run.train()
    assert [(each.severity, each.step) for each in guard.findings] == [("warn", 3), ("error", 5)]
    assert run.state.global_step == 5


# Before the first step.


def test_masked_labels_stop_before_the_first_step(tmp_path: Path) -> None:
    guard = GuardCallback()
    run = trainer(tmp_path, guard, data=rows(masked=True))
    with pytest.raises(NotReadyError, match="all 288 labels of 24 sampled examples are masked"):
        run.train()
    assert codes(guard.findings) == ["RUN017"]
    assert run.state.global_step == 0


class Stream(torch.utils.data.IterableDataset[Any]):
    def __init__(self, data: list[Any]) -> None:
        self.data, self.read = data, 0

    def __iter__(self) -> Any:
        for row in self.data:
            self.read += 1
            yield row


def test_masked_labels_of_a_stream_are_seen_in_the_first_batches(tmp_path: Path) -> None:
    stream = Stream(rows(200, masked=True))
    guard = GuardCallback()
    run = trainer(tmp_path, guard, data=stream, max_steps=40)
    run.train()
    # 8 micro-batches are a verdict.
    assert "RUN017" in codes(guard.findings)
    assert run.state.global_step == 8


def test_a_healthy_stream_is_read_once(tmp_path: Path) -> None:
    stream = Stream(rows(200))
    guard = GuardCallback()
    trainer(tmp_path, guard, data=stream, max_steps=10).train()
    assert guard.findings == []
    plain = Stream(rows(200))
    trainer(tmp_path / "plain", data=plain, max_steps=10).train()
    assert stream.read == plain.read


def test_the_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    """Bit for bit the same weights, the same losses, and the same random numbers afterwards."""
    ends = []
    for guards in ([], [GuardCallback()]):
        random.seed(0), np.random.seed(0)
        net = model(attention_dropout=0.1)
        run = trainer(
            tmp_path / str(len(guards)),
            *guards,
            net=net,
            eval_strategy="steps",
            eval_steps=3,
            trainer_eval_dataset=rows(8),
        )
        run.train()
        losses = [line["loss"] for line in run.state.log_history if "loss" in line]
        ends.append((losses, {k: v.clone() for k, v in net.state_dict().items()}, torch.rand(3), random.random()))
    (losses, weights, drawn, number), (others, guarded, also_drawn, also_number) = ends
    assert losses == others
    assert all(torch.equal(value, guarded[name]) for name, value in weights.items())
    assert torch.equal(drawn, also_drawn)
    assert number == also_number


def test_a_resumed_run_that_is_complete_is_no_success(tmp_path: Path) -> None:
    trainer(tmp_path).train()
    guard = GuardCallback()
    with pytest.raises(NotReadyError, match="resumes at step 8 and 8 steps are planned"):
        trainer(tmp_path, guard).train(resume_from_checkpoint=True)
    assert codes(guard.findings) == ["RUN015"]


def test_a_broken_checkpoint_is_set_aside_before_the_trainer_chooses(tmp_path: Path) -> None:
    trainer(tmp_path, GuardCallback()).train()
    (tmp_path / "checkpoint-8" / "rng_state.pth").write_bytes(b"torn")
    guard = GuardCallback()
    run = trainer(tmp_path, guard, max_steps=12)
    assert (tmp_path / "quarantine" / "checkpoint-8").is_dir()
    run.train(resume_from_checkpoint=True)
    events = [json.loads(line) for line in (tmp_path / "trainguard" / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["event"] == "resume"] == [4]
    assert codes(guard.findings) == []
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-12"


def test_a_broken_checkpoint_is_not_trained_on(tmp_path: Path) -> None:
    trainer(tmp_path, GuardCallback()).train()
    # The Trainer takes it up without a word, having no use for this file.
    (tmp_path / "checkpoint-8" / "rng_state.pth").write_bytes(b"torn")
    guard = GuardCallback()
    run = trainer(tmp_path, max_steps=12)
    run.add_callback(guard)  # too late to set it aside
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the Trainer itself may refuse it
        run.train(resume_from_checkpoint=True)
    assert isinstance(raised.value, NotReadyError)
    assert codes(guard.findings) == ["CKPT005"]
    assert "checkpoint-4" in guard.findings[0].message


def test_the_limit_of_a_run_that_failed_is_that_of_the_next(tmp_path: Path) -> None:
    class Fails(TrainerCallback):
        def on_step_end(self, *told: Any, **_: Any) -> None:
            raise OSError("a disk went away")

    run = trainer(tmp_path, GuardCallback(), save_total_limit=2, save_steps=2, max_steps=12)
    run.add_callback(Fails())
    with pytest.raises(OSError, match="went away"):
        run.train()
    again = Trainer(model=run.model, args=run.args, train_dataset=run.train_dataset, callbacks=[GuardCallback()])
    again.train()
    kept = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert kept == ["checkpoint-10", "checkpoint-12"]
    assert run.args.save_total_limit == 2


def test_log_lets_a_run_that_is_not_ready_go_on(tmp_path: Path) -> None:
    guard = GuardCallback(actions={"RUN017": "log", "RUN001": "log", "RUN020": "log"})
    run = trainer(tmp_path, guard, data=rows(masked=True), max_steps=2)
    run.train()
    assert "RUN017" in codes(guard.findings)
    assert run.state.global_step == 2
    assert guard.exit_code == 1


# Actions.


class Says(GuardCallback):
    """A guard that says something at a step."""

    def __init__(self, finding: Finding, at: int, **options: Any) -> None:
        super().__init__(**options)
        self._finding, self._at = finding, at

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step == self._at:
            self._saying.say(self._finding, self._at)
        return super().on_log(args, state, control, **kwargs)


WARN = Finding("warn", "slow", code="RUN009")
ERROR = Finding("error", "diverged", code="RUN003")


@pytest.mark.parametrize(
    ("finding", "actions", "steps", "saved"),
    [
        (WARN, {}, 8, [4, 8]),
        (WARN, {"RUN009": "stop"}, 3, []),
        (WARN, {"RUN009": "checkpoint_and_stop"}, 3, [3]),
        (ERROR, {}, 3, []),
        (ERROR, {"RUN003": "rollback"}, 3, []),
        (ERROR, {"RUN003": "alert"}, 8, [4, 8]),
        (Finding("info", "a spike", code="RUN003"), {"RUN003": "stop"}, 8, [4, 8]),
        (Finding("error", "lost", code="RUN014"), {}, 3, [3]),
    ],
)
def test_actions(tmp_path: Path, finding: Finding, actions: dict[str, Any], steps: int, saved: list[int]) -> None:
    guard = Says(finding, 3, actions=actions)
    run = trainer(tmp_path, guard)
    run.train()
    assert run.state.global_step == steps
    assert sorted(int(each.name.split("-")[1]) for each in tmp_path.glob("checkpoint-*")) == saved
    assert (guard.stopped is not None) == (steps == 3)


def test_rollback_names_the_checkpoint(tmp_path: Path) -> None:
    guard = Says(ERROR, 6, actions={"RUN003": "rollback"})
    trainer(tmp_path, guard).train()
    assert guard.exit_code == 1
    assert guard.rollback_to == tmp_path / "checkpoint-4"
    assert events(tmp_path, "end")[0]["rollback_to"] == "checkpoint-4"
    assert events(tmp_path, "stop")[0]["action"] == "rollback"


def test_callers_see_each_finding_and_cannot_break_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Finding] = []

    def look(finding: Finding) -> None:
        seen.append(finding)
        raise RuntimeError("of the script")

    guard = Says(WARN, 3, on_finding=look)
    run = trainer(tmp_path, guard)
    with caplog.at_level(logging.WARNING, logger="trainguard"):
        run.train()
    assert seen == guard.findings
    assert run.state.global_step == 8
    assert "RUN009 slow" in caplog.text


def test_a_fault_of_trainguard_does_not_end_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **named: Any) -> None:
        raise ZeroDivisionError

    for name in ("before_first_step", "nonfinite_parameters", "ModelWatch"):
        monkeypatch.setattr(f"trainguard.train.callback.{name}", fails)
    run = trainer(tmp_path, GuardCallback())
    run.train()
    assert run.state.global_step == 8
    assert "failed inside trainguard" in caplog.text


def test_early_stopping_is_nobodys_fault(tmp_path: Path) -> None:
    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step >= 5

    guard = GuardCallback()
    trainer(tmp_path, Stops(), guard).train()
    assert guard.findings == []
    assert guard.exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "ppo"}, "method is 'ppo'"),
        ({"actions": {"RUN003": "halt"}}, "actions\\['RUN003'\\] is 'halt'"),
        ({"actions": {"RUN999": "stop"}}, "RUN999"),
        ({"alerts": {"url": "https://token@example.org"}}, "alerts is a dict that does not fit"),
    ],
)
def test_arguments_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        GuardCallback(**options)
    assert "token" not in str(raised.value)


def test_prompts_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match="cannot be read"):
        GuardCallback(prompts=tmp_path / "none.txt")


# Checkpoints and files.


def test_old_checkpoints_are_deleted_only_once_new_ones_are_verified(tmp_path: Path) -> None:
    guard = GuardCallback()
    run = trainer(tmp_path, guard, save_steps=2, save_total_limit=1)
    run.train()
    assert run.args.save_total_limit == 1
    # The Trainer alone would keep one, and delete it before the next is whole.
    assert sorted(each.name for each in tmp_path.glob("checkpoint-*")) == ["checkpoint-6", "checkpoint-8"]
    assert [line["checkpoint"] for line in events(tmp_path, "verified")] == [f"checkpoint-{n}" for n in (2, 4, 6, 8)]


def test_without_verifying_the_trainer_does_as_ever(tmp_path: Path) -> None:
    trainer(tmp_path, GuardCallback(verify_checkpoints=False), save_steps=2, save_total_limit=1).train()
    assert [each.name for each in tmp_path.glob("checkpoint-*")] == ["checkpoint-8"]
    assert not list(tmp_path.glob("checkpoint-*/trainguard.json"))


def test_heartbeats_name_the_phases(tmp_path: Path) -> None:
    trainer(tmp_path, GuardCallback(), eval_strategy="steps", eval_steps=3, trainer_eval_dataset=rows(8)).train()
    beats = read_heartbeats(tmp_path / "trainguard" / "heartbeat.jsonl")
    phases = [beat.phase for beat in beats]
    assert phases[0] == "train"
    assert phases[-1] == "idle"
    assert {"save", "evaluate"} <= set(phases)
    assert [beat.t for beat in beats] == sorted(beat.t for beat in beats)
    assert beats[-1].step == 8


def test_a_resumed_run_goes_on_with_what_was_learnt(tmp_path: Path) -> None:
    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step >= 4

    trainer(tmp_path, GuardCallback(), Stops()).train()
    before = json.loads((tmp_path / "trainguard" / "watcher.json").read_text())
    guard = GuardCallback()
    trainer(tmp_path, guard).train(resume_from_checkpoint=True)
    after = json.loads((tmp_path / "trainguard" / "watcher.json").read_text())
    assert [line["event"] for line in events(tmp_path) if line["event"] in ("start", "resume")] == ["start", "resume"]
    assert after["watcher"]["index"] > before["watcher"]["index"] > 0
    assert after["t"] > before["t"]
    assert guard.findings == []


def test_signal_handlers_are_given_back(tmp_path: Path) -> None:
    def mine(number: int, frame: Any) -> None: ...

    previous = signal.signal(signal.SIGTERM, mine)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer(tmp_path, GuardCallback(), max_steps=2).train()
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_one_guard_serves_several_runs(tmp_path: Path) -> None:
    guard = GuardCallback()
    trainer(tmp_path / "a", guard, net=nan_model(3)).train()
    assert codes(guard.findings) == ["RUN001"]
    trainer(tmp_path / "b", guard).train()
    assert guard.findings == []
    assert (guard.stopped, guard.exit_code, guard.rollback_to) == (None, 0, None)


def test_nothing_is_logged_by_a_healthy_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="trainguard"):
        trainer(tmp_path, GuardCallback()).train()
    assert [record for record in caplog.records if record.name.startswith("trainguard")] == []
