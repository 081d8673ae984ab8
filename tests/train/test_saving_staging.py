"""From a save to a checkpoint, and what a killed process leaves behind; what a run takes up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.train.checkpoint_folders import checkpoint, write_files

from trainguard import latest_verified_checkpoint
from trainguard.facts.checkpoint.folder import MANIFEST
from trainguard.facts.checkpoint.manifest import read_manifest
from trainguard.facts.checkpoint.verify import verify
from trainguard.train import resuming, staging
from trainguard.train.resuming import UnverifiedError, choose, resumed_unverified, settle
from trainguard.train.run_lock import RunLock
from trainguard.train.staging import Staging, left_behind


def staged(output: Path, step: int, *, saved: bool = True, value: float = 0.0) -> Staging:
    place = Staging(run_dir=output, step=step)
    place.begin()
    write_files(place.staged, step, value=value)
    if saved:
        place.mark_saved({"base_model": "tiny"}, None)
    return place


def guarded(output: Path) -> RunLock:
    """The lock of a folder in which a guarded run wrote before."""
    lock = RunLock(output)
    lock.known = True
    return lock


def test_a_checkpoint_appears_whole(tmp_path: Path) -> None:
    place = staged(tmp_path, 10)
    assert latest_verified_checkpoint(tmp_path) is None
    assert place.finish({"a": 1}, None) == tmp_path / "checkpoint-10"
    found = verify(tmp_path / "checkpoint-10", tmp_path)
    assert found.verified
    assert found.by == "manifest"
    assert os.listdir(tmp_path) == ["checkpoint-10"]


@pytest.mark.parametrize("exchange", [True, False])
def test_one_of_the_same_step_stands_until_the_new_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    checkpoint(tmp_path, 10, value=1.0)
    old = (tmp_path / "checkpoint-10" / "model.safetensors").read_bytes()
    staged(tmp_path, 10, value=2.0).finish({}, None)
    assert (tmp_path / "checkpoint-10" / "model.safetensors").read_bytes() != old
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert os.listdir(tmp_path) == ["checkpoint-10"]


@pytest.mark.parametrize("exchange", [True, False])
def test_killed_at_any_call_of_the_publishing_a_verified_one_stands_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    """Ends the publishing before each of its renames and removals, with an older checkpoint of the same name there."""
    if not exchange:
        monkeypatch.setattr(staging, "_exchange", lambda *_: False)

    class KilledError(BaseException):
        pass

    def run_until(number: int, output: Path) -> bool:
        """Whether the process came to its end before the call of that number."""
        calls = [0]

        def counted(real: Any) -> Any:
            def call(*given: Any, **more: Any) -> Any:
                if calls[0] == number:
                    raise KilledError
                calls[0] += 1
                return real(*given, **more)

            return call

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(staging.os, "rename", counted(os.rename))
            patch.setattr(staging.shutil, "rmtree", counted(staging.shutil.rmtree))
            if exchange:
                patch.setattr(staging, "_exchange", counted(staging._exchange))
            try:
                staged_before.finish({}, None)
            except KilledError:
                return False
        return True

    for number in range(10):
        output = tmp_path / str(number)
        checkpoint(output, 10, value=1.0)
        staged_before = staged(output, 10, value=2.0)
        expected = (staged_before.staged / "model.safetensors").read_bytes()
        ended = run_until(number, output)
        weights = output / "checkpoint-10" / "model.safetensors"
        new = weights.is_file() and weights.read_bytes() == expected
        settle(output, guarded(output))
        assert latest_verified_checkpoint(output) == output / "checkpoint-10", f"before call {number}"
        assert not new or weights.read_bytes() == expected, f"the newer one was lost before call {number}"
        assert not list(output.glob(".trainguard-*"))
        if ended:
            break
    assert ended
    assert number >= 3


def test_what_was_complete_is_finished_by_the_next_process(tmp_path: Path) -> None:
    staged(tmp_path, 20)
    done = settle(tmp_path, guarded(tmp_path))
    assert done.finished == [tmp_path / "checkpoint-20"]
    manifest = read_manifest(tmp_path / "checkpoint-20")
    assert manifest is not None
    assert manifest.run == {"base_model": "tiny"}


def test_what_was_not_complete_is_removed(tmp_path: Path) -> None:
    checkpoint(tmp_path, 10)
    staged(tmp_path, 20, saved=False)
    done = settle(tmp_path, guarded(tmp_path))
    assert (done.finished, done.dropped) == ([], [20])
    assert not left_behind(tmp_path)
    assert latest_verified_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_after_a_restart_of_the_machine_only_what_has_its_manifest_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(tmp_path, 20)
    listed = staged(tmp_path, 30)
    staging.write_manifest(listed.staged, step=30)
    monkeypatch.setattr(staging, "_boot", lambda: "another boot")
    done = settle(tmp_path, guarded(tmp_path))
    assert (done.finished, done.dropped) == ([tmp_path / "checkpoint-30"], [20])


def test_where_no_boot_is_known_nothing_unlisted_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_boot", lambda: None)
    staged(tmp_path, 20)
    assert settle(tmp_path, guarded(tmp_path)).dropped == [20]


def test_broken_ones_that_are_newer_are_set_aside_and_older_ones_let_be(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        checkpoint(tmp_path, step)
    for step in (10, 30):
        (tmp_path / f"checkpoint-{step}" / "optimizer.pt").unlink()
    (tmp_path / "checkpoint-40" / "model.safetensors").write_bytes(b"")
    (tmp_path / "checkpoint-50").mkdir()
    done = settle(tmp_path, guarded(tmp_path))
    assert sorted(path.name for path, _ in done.quarantined) == ["checkpoint-30", "checkpoint-40", "checkpoint-50"]
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-20"]
    assert choose(tmp_path, True) == tmp_path / "checkpoint-20"


def test_where_no_guarded_run_wrote_before_what_was_just_written_is_let_be(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 10)
    (folder / "optimizer.pt").unlink()
    assert settle(tmp_path, RunLock(tmp_path)).quarantined == []
    for each in folder.iterdir():
        os.utime(each, (1_700_000_000, 1_700_000_000))
    fresh = RunLock(tmp_path)
    fresh.known = False
    assert [path.name for path, _ in settle(tmp_path, fresh).quarantined] == ["checkpoint-10"]


def test_where_another_run_writes_nothing_is_touched(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-10").mkdir()
    staged(tmp_path, 20)
    script = (
        "import sys\nfrom pathlib import Path\nfrom trainguard.train.run_lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1]))\nprint(lock.take(), flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        lock = RunLock(tmp_path)
        assert lock.take() == "taken"
        assert settle(tmp_path, lock) == resuming.Settled()
        other.kill()
    assert (tmp_path / "checkpoint-10").is_dir()
    assert lock.take() == "held"
    assert settle(tmp_path, lock).finished == [tmp_path / "checkpoint-20"]
    lock.release()


def test_two_locks_of_one_process_share_it(tmp_path: Path) -> None:
    one, two = RunLock(tmp_path), RunLock(tmp_path)
    assert (one.take(), two.take(), two.take()) == ("held", "held", "held")
    one.release()
    one.release()
    script = "import sys\nfrom pathlib import Path\nfrom trainguard.train.run_lock import RunLock\n"
    ask = [sys.executable, "-c", script + "print(RunLock(Path(sys.argv[1])).take())", str(tmp_path)]
    assert subprocess.run(ask, capture_output=True, check=True, text=True).stdout == "taken\n"
    two.release()
    assert subprocess.run(ask, capture_output=True, check=True, text=True).stdout == "held\n"


def test_a_deletion_that_was_cut_short_is_ended(tmp_path: Path) -> None:
    half = tmp_path / ".trainguard-removed-checkpoint-10"
    half.mkdir(parents=True)
    (half / MANIFEST).write_text("{}")
    settle(tmp_path, guarded(tmp_path))
    assert not half.exists()


def test_a_link_in_place_of_a_leftover_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "elsewhere"
    precious.mkdir()
    (precious / "file").write_text("keep")
    output = tmp_path / "out"
    output.mkdir()
    for name in (".trainguard-staging-10", ".trainguard-removed-checkpoint-10"):
        (output / name).symlink_to(precious)
    settle(output, guarded(output))
    assert (precious / "file").read_text() == "keep"


@pytest.mark.parametrize("wanted", [None, False])
def test_without_a_wish_nothing_is_chosen(tmp_path: Path, wanted: bool | None) -> None:
    checkpoint(tmp_path, 10)
    assert choose(tmp_path, wanted) is None


def test_one_that_is_named_has_to_verify(tmp_path: Path) -> None:
    good, bad = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    (bad / "scheduler.pt").unlink()
    assert choose(tmp_path, str(good)) == good
    with pytest.raises(ValueError, match=r"scheduler\.pt.*the newest that verifies is checkpoint-10"):
        choose(tmp_path, str(bad))
    with pytest.raises(UnverifiedError, match="is no folder"):
        choose(tmp_path, str(tmp_path / "none"))
    with pytest.raises(UnverifiedError, match="no checkpoint in"):
        choose(tmp_path / "none", True)


def test_a_run_that_resumed_from_a_broken_one_is_told(tmp_path: Path) -> None:
    good, bad = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    (bad / "scheduler.pt").unlink()
    assert resumed_unverified(tmp_path, 10) is None
    assert resumed_unverified(tmp_path, 0) is None
    assert resumed_unverified(tmp_path, 30) is None
    found = resumed_unverified(tmp_path, 20)
    assert found is not None
    assert (found.code, found.severity) == ("CKPT005", "error")
    assert str(good) in found.message
