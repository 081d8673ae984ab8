"""VerifiedSaves on a real Trainer: what stands, what is resumed from, what a failed save leaves."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.tiny_runs import arguments, model, rows
from transformers import Trainer, TrainerCallback

from trainguard import latest_verified_checkpoint
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.manifest import read_manifest
from trainguard.facts.checkpoint.verify import verify
from trainguard.train import staging
from trainguard.train.run_lock import RunLock
from trainguard.train.space import DiskFullError
from trainguard.train.verified_saves import VerifiedSaves


class Guarded(VerifiedSaves, Trainer):
    space_wait_seconds = 0.0


class Seen(TrainerCallback):
    """The names of the folders in the output folder after each step, and the state of the Trainer's limit."""

    def __init__(self) -> None:
        self.began_at: int | None = None
        self.folders: dict[int, list[str]] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began_at = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.folders[state.global_step] = sorted(os.listdir(args.output_dir))


def trainer(output: Path, *callbacks: TrainerCallback, kind: type[Trainer] = Guarded, **more: Any) -> Any:
    return kind(
        model=model(),
        args=arguments(output, **more),
        train_dataset=rows(),
        eval_dataset=rows(4),
        callbacks=[*callbacks] or None,
    )


def checkpoints(output: Path) -> list[int]:
    return sorted(int(each.name[11:]) for each in output.glob("checkpoint-*"))


def weights(made: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("background", [True, False])
def test_every_checkpoint_is_verified_by_its_manifest_and_the_limit_is_kept(tmp_path: Path, background: bool) -> None:
    made = trainer(tmp_path, save_steps=1, save_total_limit=3)
    made.verify_in_background = background
    made.checkpoint_run = {"base_model": "tiny"}
    made.train()
    assert checkpoints(tmp_path) == [6, 7, 8]
    for step in (6, 7, 8):
        found = verify(tmp_path / f"checkpoint-{step}", tmp_path, deep=True)
        assert (found.verified, found.by) == (True, "manifest")
    manifest = read_manifest(tmp_path / "checkpoint-8")
    assert manifest is not None
    assert manifest.run == {"base_model": "tiny"}
    assert made.args.save_total_limit == 3
    assert not list(tmp_path.glob(".trainguard-*"))


def test_a_limit_of_one_keeps_two(tmp_path: Path) -> None:
    trainer(tmp_path, save_steps=2, save_total_limit=1).train()
    assert checkpoints(tmp_path) == [6, 8]


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", save_steps=2)
    whole.train()

    class EndError(Exception):
        pass

    class End(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                raise EndError

    with pytest.raises(EndError):
        trainer(tmp_path / "cut", End(), save_steps=2).train()
    shutil.rmtree(tmp_path / "cut" / "checkpoint-2")
    seen = Seen()
    resumed = trainer(tmp_path / "cut", seen, save_steps=2)
    resumed.train(resume_from_checkpoint=True)
    assert seen.began_at == 4
    assert same(weights(resumed), weights(whole))


def test_true_means_the_newest_verified_one_and_broken_ones_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer(tmp_path, save_steps=2).train()
    (tmp_path / "checkpoint-8" / "optimizer.pt").write_bytes(b"")
    seen = Seen()
    with caplog.at_level(logging.WARNING, "trainguard"):
        trainer(tmp_path, seen, save_steps=2).train(resume_from_checkpoint=True)
    assert seen.began_at == 6
    assert (tmp_path / "quarantine" / "checkpoint-8").is_dir()
    assert "checkpoint-8 is broken" in caplog.text
    assert checkpoints(tmp_path) == [2, 4, 6, 8]
    (tmp_path / "checkpoint-6" / "scheduler.pt").unlink()
    with pytest.raises(ValueError, match="the newest that verifies is checkpoint-8"):
        trainer(tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    with pytest.raises(ValueError, match="no checkpoint in"):
        trainer(tmp_path / "none").train(resume_from_checkpoint=True)


@pytest.mark.parametrize(("best_step", "kept"), [(4, [4, 6, 8]), (8, [6, 8])])
def test_the_best_one_is_named_by_its_place_kept_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best_step: int, kept: list[int]
) -> None:
    """Also where the last one is the best, and its hashing goes on when the Trainer wants to load it."""
    write = staging.write_manifest

    def slow(*given: Any, **more: Any) -> Path:
        time.sleep(0.3)
        return write(*given, **more)

    monkeypatch.setattr(staging, "write_manifest", slow)

    class Better(Guarded):
        def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
            metrics = {"eval_loss": 1.0 if self.state.global_step == best_step else 2.0 + self.state.global_step}
            self.log(dict(metrics))
            return metrics

    made = trainer(
        tmp_path,
        kind=Better,
        save_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
    )
    made.train()
    best = str(tmp_path / f"checkpoint-{best_step}")
    assert made.state.best_model_checkpoint == best
    assert checkpoints(tmp_path) == kept
    for step in kept:
        assert verify(tmp_path / f"checkpoint-{step}", tmp_path, deep=True).by == "manifest"
        state = json.loads((tmp_path / f"checkpoint-{step}" / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == (best if step >= best_step else str(tmp_path / "checkpoint-2"))
    from safetensors.torch import load_file

    saved = load_file(Path(best) / "model.safetensors")
    assert all(torch.equal(made.model.state_dict()[name], tensor) for name, tensor in saved.items())


def test_a_fresh_start_beside_older_checkpoints_replaces_them_whole(tmp_path: Path) -> None:
    trainer(tmp_path, save_steps=4).train()
    before = (tmp_path / "checkpoint-4" / "optimizer.pt").read_bytes()
    trainer(tmp_path, save_steps=4, learning_rate=5e-3).train()
    assert checkpoints(tmp_path) == [4, 8]
    assert (tmp_path / "checkpoint-4" / "optimizer.pt").read_bytes() != before
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-8"
    assert not list(tmp_path.glob(".trainguard-*"))


def failing(monkeypatch: pytest.MonkeyPatch, errors: dict[int, BaseException], name: str = "optimizer.pt") -> list[int]:
    """Makes the n-th write of a file of that name raise; the numbers of the writes so far."""
    writes: list[int] = []
    real = torch.save

    def save(thing: Any, path: Any, *more: Any, **options: Any) -> None:
        if str(path).endswith(name):
            writes.append(len(writes))
            if (error := errors.get(writes[-1])) is not None:
                Path(path).write_bytes(b"half")
                raise error
        real(thing, path, *more, **options)

    monkeypatch.setattr(torch, "save", save)
    return writes


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_good_ones_and_no_debris_and_ends_with_run025(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {number: full() for number in range(2, 20)})
    made = trainer(tmp_path, save_steps=2)
    with pytest.raises(DiskFullError) as raised:
        made.train()
    assert (raised.value.finding.code, raised.value.finding.step) == ("RUN025", 6)
    assert "checkpoint-4 stands, verified" in raised.value.finding.message
    assert checkpoints(tmp_path) == [2, 4]
    assert not list(tmp_path.glob(".trainguard-*"))
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    monkeypatch.undo()
    again = trainer(tmp_path, save_steps=2)
    again.train(resume_from_checkpoint=True)
    whole = trainer(tmp_path / "whole", save_steps=2)
    whole.train()
    assert same(weights(again), weights(whole))


def test_room_that_comes_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = failing(monkeypatch, {1: full(), 2: full()})
    made = trainer(tmp_path, save_steps=4)
    made.space_wait_seconds = 60.0
    made.train()
    assert len(writes) == 4
    assert checkpoints(tmp_path) == [4, 8]
    assert [(each.code, each.severity) for each in made.keeper.findings()] == [("RUN025", "warn")]


def test_the_oldest_unneeded_goes_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainguard.train import saving

    real, failed = saving.free_bytes, failing(monkeypatch, {3: full()})

    def free(path: Path) -> int | None:
        """As if there were no room from the failed write on until the first checkpoint is gone."""
        return 0 if len(failed) == 4 and (tmp_path / "checkpoint-2").exists() else real(path)

    monkeypatch.setattr(saving, "free_bytes", free)
    made = trainer(tmp_path, save_steps=2)
    made.train()
    assert checkpoints(tmp_path) == [4, 6, 8]
    found = made.keeper.findings()
    assert [(each.code, each.severity, each.step) for each in found] == [("RUN025", "warn", 8)]
    assert found[0].evidence["removed"] == ("checkpoint-2",)


@pytest.mark.parametrize(
    "error", [TypeError("a mistake"), OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=repr
)
def test_another_failure_goes_through_and_leaves_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    failing(monkeypatch, {1: error})
    made = trainer(tmp_path, save_steps=4)
    with pytest.raises(type(error)):
        made.train()
    assert checkpoints(tmp_path) == [4]
    assert not list(tmp_path.glob(".trainguard-*"))
    assert made.keeper.findings() == []


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunLock, "take", lambda _: "taken")
    with pytest.raises(UsageError, match="another run writes into it"):
        trainer(tmp_path).train()


def test_an_upload_begins_when_the_checkpoint_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        Trainer, "_push_from_checkpoint", lambda _, folder: pushed.append((folder, verify_one(Path(folder))))
    )

    class Pushing(Guarded):
        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            self.args.push_to_hub = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self.args.push_to_hub = False

    trainer(tmp_path, kind=Pushing, save_steps=4).train()
    assert pushed == [(str(tmp_path / "checkpoint-4"), True), (str(tmp_path / "checkpoint-8"), True)]


def verify_one(folder: Path) -> bool:
    return verify(folder, folder.parent).by == "manifest"


def test_the_stock_trainer_takes_a_broken_one_and_this_one_does_not(tmp_path: Path) -> None:
    """What the guard is for: the stock Trainer fails on the newest folder although an older one is whole."""
    trainer(tmp_path, kind=Trainer, save_steps=4).train()
    (tmp_path / "checkpoint-8" / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="Can't find a valid checkpoint"):
        trainer(tmp_path, kind=Trainer).train(resume_from_checkpoint=True)
    (tmp_path / "trainguard").mkdir()
    (tmp_path / "trainguard" / "writer.lock").touch()
    seen = Seen()
    trainer(tmp_path, seen).train(resume_from_checkpoint=True)
    assert seen.began_at == 4
