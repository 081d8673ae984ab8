"""CheckpointKeeper: what it vouches for, what it deletes, what it never deletes."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.train.checkpoint_folders import checkpoint, write_files

from trainguard import latest_verified_checkpoint
from trainguard.facts.checkpoint.folder import MANIFEST
from trainguard.facts.checkpoint.manifest import read_manifest
from trainguard.facts.checkpoint.prunable import prunable
from trainguard.findings import Finding
from trainguard.train import saving
from trainguard.train.saving import CheckpointKeeper


def names(folder: Path) -> list[str]:
    return sorted((each.name for each in folder.glob("checkpoint-*")), key=lambda name: int(name[11:]))


@pytest.mark.parametrize("background", [True, False])
def test_a_save_gets_its_manifest_with_the_run(tmp_path: Path, background: bool) -> None:
    verified: list[tuple[str, int]] = []
    keeper = CheckpointKeeper(
        tmp_path,
        run={"base_model": "tiny"},
        background=background,
        on_verified=lambda folder, step: verified.append((folder.name, step)),
    )
    folder = checkpoint(tmp_path, 10, manifest=False)
    keeper.saved(folder, 10)
    keeper.wait()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.step, manifest.run) == (10, {"base_model": "tiny"})
    assert verified == [("checkpoint-10", 10)]
    keeper.close()
    keeper.close()


def test_one_without_its_manifest_yet_is_not_verified_and_nothing_older_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, write = threading.Event(), saving.write_manifest

    def slow(folder: Path, **more: Any) -> Path:
        go_on.wait(10)
        return write(folder, **more)

    monkeypatch.setattr(saving, "write_manifest", slow)
    keeper = CheckpointKeeper(tmp_path, keep=1)
    for step in (10, 20):
        checkpoint(tmp_path, step)
    keeper.saved(checkpoint(tmp_path, 30, manifest=False), 30)
    assert keeper.latest_verified() == tmp_path / "checkpoint-20"
    assert keeper.prune() == []
    with pytest.raises(TimeoutError):
        keeper.wait(0.01)
    go_on.set()
    keeper.wait()
    assert keeper.latest_verified() == tmp_path / "checkpoint-30"
    assert names(tmp_path) == ["checkpoint-20", "checkpoint-30"]


def test_pruning_keeps_the_number_the_two_newest_the_best_and_the_protected(tmp_path: Path) -> None:
    for step in range(10, 90, 10):
        checkpoint(tmp_path, step)
    keeper = CheckpointKeeper(tmp_path, keep=4)
    keeper.protect(tmp_path / "checkpoint-20")
    removed = keeper.prune(tmp_path / "checkpoint-30")
    assert [each.name for each in removed] == [f"checkpoint-{step}" for step in (10, 40, 50, 60)]
    assert names(tmp_path) == [f"checkpoint-{step}" for step in (20, 30, 70, 80)]
    keeper.keep = 1
    assert keeper.prune() == []
    assert not list(tmp_path.glob(".trainguard-*"))


def test_keep_none_and_zero_delete_nothing(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoint(tmp_path, step)
    for keep in (None, 0, -1):
        assert CheckpointKeeper(tmp_path, keep=keep).prune() == []


def test_broken_ones_are_neither_counted_nor_deleted(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-30" / "optimizer.pt").write_bytes(b"cut")
    (tmp_path / "checkpoint-40").mkdir()
    assert CheckpointKeeper(tmp_path, keep=1).prune() == []
    assert names(tmp_path) == [f"checkpoint-{step}" for step in (10, 20, 30, 40)]


def test_a_run_that_began_anew_keeps_its_own_newest_although_older_runs_have_higher_numbers(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        checkpoint(tmp_path, step)
    keeper = CheckpointKeeper(tmp_path, keep=2, background=False)
    for step in (10, 20, 30):
        keeper.saved(checkpoint(tmp_path, step, manifest=False), step)
    assert names(tmp_path) == [f"checkpoint-{step}" for step in (20, 30, 200, 300)]


def test_saves_without_an_optimizer_are_pruned_too(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        folder = checkpoint(tmp_path, step, manifest=False)
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
            (folder / name).unlink()
        keeper = CheckpointKeeper(tmp_path, keep=2, background=False)
        keeper.saved(folder, step)
    assert names(tmp_path) == ["checkpoint-20", "checkpoint-30"]


def test_an_old_manifest_is_written_anew_and_a_fresh_one_is_left(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 10)
    old = (folder / MANIFEST).read_bytes()
    keeper = CheckpointKeeper(tmp_path, background=False, run={"again": True})
    keeper.saved(folder, 10)
    assert (folder / MANIFEST).read_bytes() == old
    write_files(folder, 10, value=1.0)
    assert latest_verified_checkpoint(tmp_path) is None
    keeper.saved(folder, 10)
    assert (folder / MANIFEST).read_bytes() != old
    assert latest_verified_checkpoint(tmp_path) == folder


def test_before_a_save_one_of_the_same_step_is_set_aside_and_debris_goes(tmp_path: Path) -> None:
    checkpoint(tmp_path, 10)
    again = checkpoint(tmp_path, 20)
    keeper = CheckpointKeeper(tmp_path)
    assert keeper.saving(again, 20)
    assert (tmp_path / "quarantine" / "checkpoint-20" / MANIFEST).is_file()
    again.mkdir()
    (again / "model.safetensors").write_bytes(b"half of")  # the Trainer raises here, and nobody calls `saved`
    keeper.close()
    assert names(tmp_path) == ["checkpoint-10"]


def test_what_was_saved_after_all_is_no_debris(tmp_path: Path) -> None:
    keeper = CheckpointKeeper(tmp_path)
    assert keeper.saving(tmp_path / "checkpoint-10", 10)
    checkpoint(tmp_path, 10, manifest=False)
    keeper.close()
    assert names(tmp_path) == ["checkpoint-10"]


def test_files_that_cannot_be_synced_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path, 10)
    broken = checkpoint(tmp_path, 20, manifest=False)

    def fails(*_: Any, **__: Any) -> Path:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(saving, "write_manifest", fails)
    keeper = CheckpointKeeper(tmp_path)
    keeper.saved(broken, 20)
    keeper.wait()
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert (tmp_path / "quarantine" / "checkpoint-20").is_dir()


def test_a_manifest_that_finds_no_room_gets_another_try_after_pruning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (10, 20, 30):
        checkpoint(tmp_path, step)
    newest, write = checkpoint(tmp_path, 40, manifest=False), saving.write_manifest
    tries: list[Path] = []

    def full_once(folder: Path, **more: Any) -> Path:
        tries.append(folder)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(folder, **more)

    monkeypatch.setattr(saving, "write_manifest", full_once)
    monkeypatch.setattr(saving, "free_bytes", lambda _: 0)
    said: list[Finding] = []
    keeper = CheckpointKeeper(tmp_path, background=False, on_finding=said.append)
    keeper.saved(newest, 40)
    assert [(each.code, each.severity) for each in said] == [("RUN025", "warn")]
    assert "checkpoint-10" in said[0].message
    assert names(tmp_path) == ["checkpoint-20", "checkpoint-30", "checkpoint-40"]
    assert keeper.findings() == said
    assert keeper.findings() == []


def test_without_room_ahead_the_save_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (10, 20, 30):
        checkpoint(tmp_path, step)
    monkeypatch.setattr(saving, "free_bytes", lambda _: 100)
    keeper = CheckpointKeeper(tmp_path)
    monkeypatch.setattr(saving, "wait_for_space", lambda *_, **__: False)
    assert not keeper.saving(tmp_path / "checkpoint-40", 40, wait_seconds=5)
    assert names(tmp_path) == ["checkpoint-20", "checkpoint-30"]
    found = keeper.findings()
    assert [each.severity for each in found] == ["warn", "warn", "error"]
    assert "checkpoint-30 stands, verified" in found[-1].message
    assert found[-1].evidence["free_bytes"] is not None


def test_prunable_says_nothing_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert prunable(tmp_path / "none", keep=1) == []
