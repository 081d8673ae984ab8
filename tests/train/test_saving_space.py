"""Room on the disk: how a save that found none is told from other failures, and how room is waited for."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from trainguard.train import space
from trainguard.train.space import (
    DiskFullError,
    Room,
    allocated_bytes,
    disk_full_finding,
    free_bytes,
    is_disk_full,
    is_write_failure,
    least_bytes,
    room,
    wait_for_space,
)

PLENTY, NONE = Room(free_bytes=10**12, inodes=10**6), Room(free_bytes=4096, inodes=10**6)


class SafetensorError(Exception):
    pass


def after(cause: BaseException, error: BaseException) -> BaseException:
    """`error` as it comes where it was raised while `cause` was handled."""
    try:
        try:
            raise cause
        except type(cause):
            raise error  # noqa: B904  without `from`, as torch does
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        Exception("No space left on device (os error 28)"),
        after(OSError(errno.ENOSPC, "No space left"), RuntimeError("[enforce fail] . unexpected pos 64 vs 0")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_says_so_is_believed_whatever_the_file_system_says(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "room", lambda _: PLENTY)
    assert is_disk_full(error, Path("out"))


@pytest.mark.parametrize(
    "words", ["[enforce fail at inline_container.cc:664] . unexpected pos 704 vs 598", "PytorchStreamWriter failed"]
)
def test_of_an_error_without_an_errno_the_file_system_is_asked(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError(words)
    monkeypatch.setattr(space, "room", lambda _: PLENTY)
    assert not is_disk_full(error, Path("out"))
    assert is_disk_full(error, Path("out"), needed_bytes=10**13)
    for left in (NONE, Room(free_bytes=10**12, inodes=0)):
        monkeypatch.setattr(space, "room", lambda _, left=left: left)
        assert is_disk_full(error, Path("out"))


@pytest.mark.parametrize(
    "error",
    [
        TypeError("cannot pickle"),
        RuntimeError("CUDA out of memory"),
        KeyError("loss"),
        KeyboardInterrupt(),
        OSError(errno.EIO, "Input/output error"),
        PermissionError(errno.EACCES, "Permission denied"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_not_a_full_disk_even_on_one(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "room", lambda _: NONE)
    assert not is_disk_full(error, Path("out"), needed_bytes=10**13)
    assert is_write_failure(error) == isinstance(error, OSError)


def test_torch_on_a_full_device_is_recognised() -> None:
    """What torch really raises; /dev/full answers every write with ENOSPC."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with pytest.raises((RuntimeError, OSError)) as raised:
        torch.save({"weight": torch.zeros(100_000)}, "/dev/full")
    assert is_write_failure(raised.value)


def test_the_size_on_the_disk_counts_holes_as_the_file_system_does(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "full").write_bytes(os.urandom(1 << 20))
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(1 << 30)
    assert 1 << 20 <= allocated_bytes(tmp_path) < 1 << 22


def test_what_a_checkpoint_takes_at_least() -> None:
    model = torch.nn.Linear(1000, 1000)
    optimizer = torch.optim.AdamW(model.parameters())
    weights = 4 * 1_001_000
    assert weights <= least_bytes(model, optimizer) <= weights + (1 << 21)
    model(torch.ones(1, 1000)).sum().backward()
    optimizer.step()
    assert 3 * weights <= least_bytes(model, optimizer) <= 3 * weights + (1 << 21)
    assert least_bytes(object(), None) == 0


def test_of_a_model_with_adapters_only_what_is_trained_counts() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1000, 1000), torch.nn.Linear(10, 10))
    model[0].requires_grad_(False)
    model.peft_config = {}  # type: ignore[assignment]
    assert least_bytes(model, None) < 1 << 21


def test_waiting_ends_with_room_or_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def left(_: Path) -> Room:
        return Room(free_bytes=10 << 20 if now[0] >= 5 else 2 << 20, inodes=None)

    monkeypatch.setattr(space, "room", left)
    clock = {"clock": lambda: now[0], "sleep": sleep, "on_wait": lambda free, waited: looks.append((free, waited))}
    assert wait_for_space(Path("out"), 5 << 20, deadline_seconds=60, **clock)
    assert 5 <= now[0] < 8
    assert looks[0] == (2 << 20, 0.0)
    now[0] = 0.0
    assert not wait_for_space(Path("out"), 11 << 20, deadline_seconds=60, **clock)
    assert 60 <= now[0] < 61
    assert not wait_for_space(Path("out"), 11 << 20, deadline_seconds=0, **clock)


def test_the_room_of_a_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    assert room(tmp_path / "a" / "b") is not None
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), abs=1 << 30)


def test_the_finding_has_the_numbers_and_travels_between_processes(tmp_path: Path) -> None:
    finding = disk_full_finding(tmp_path, step=1200, outcome="the run ends", needed_bytes=5 * 10**9, good=None)
    assert (finding.code, finding.severity, finding.step) == ("RUN025", "error", 1200)
    assert "step 1,200" in finding.message
    assert "5.0 GB needed" in finding.message
    assert "no earlier checkpoint verifies" in finding.message
    error = pickle.loads(pickle.dumps(DiskFullError(finding, tmp_path)))  # noqa: S301
    assert error.finding == finding
    assert error.errno == errno.ENOSPC
