"""A process that was taken for dead commits nothing when it wakes up."""

from __future__ import annotations

import copy
import multiprocessing
import time
from pathlib import Path

import pytest

from trainguard import fencing
from trainguard.errors import UsageError
from trainguard.fencing import Fence, FencedError, fence_path, own_fence, read_fence, write_fence


def test_numbers_only_grow(tmp_path: Path) -> None:
    assert read_fence(tmp_path) == 0
    write_fence(tmp_path, 3)
    write_fence(tmp_path, 3)
    write_fence(tmp_path, 5)
    with pytest.raises(FencedError, match="holds number 4 and another one was given 5"):
        write_fence(tmp_path, 4)
    assert read_fence(tmp_path) == 5


def test_a_lower_number_is_refused_and_no_number_never(tmp_path: Path) -> None:
    write_fence(tmp_path, 5)
    Fence(tmp_path, 5).check()
    Fence(tmp_path, 6).check()
    Fence(tmp_path, None).check()
    with pytest.raises(FencedError) as caught:
        Fence(tmp_path, 4).check()
    again = copy.copy(caught.value)  # as it is sent to the other processes of a run
    assert (str(again), again.highest) == (str(caught.value), 5)
    with pytest.raises(FencedError), Fence(tmp_path, 4).committing():
        pytest.fail("it commits")
    with Fence(tmp_path, None).committing(), Fence(tmp_path / "gone", None).committing():
        pass


def test_nothing_is_committed_where_the_folder_of_the_number_has_gone_away(tmp_path: Path) -> None:
    """Below a mount that is away is another folder, without the number that stood there when the process began."""
    write_fence(tmp_path, 1)
    fence = Fence(tmp_path, 1)
    fence.begin()
    fence_path(tmp_path).rename(tmp_path / "away")
    with pytest.raises(FencedError, match="its mount may be away"), fence.committing():
        pytest.fail("it commits")


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe", b"-3", b"1" * 30, b"3 4"])
def test_a_file_that_holds_no_number_refuses_nobody(tmp_path: Path, content: bytes) -> None:
    write_fence(tmp_path, 1)
    fence_path(tmp_path).write_bytes(content)
    Fence(tmp_path, 1).check()
    write_fence(tmp_path, 2)
    assert read_fence(tmp_path) == 2


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "\uff12", "1" * 19])
def test_a_number_that_is_none_is_wrong_usage(value: str) -> None:
    with pytest.raises(UsageError, match="TRAINGUARD_FENCE"):
        own_fence({"TRAINGUARD_FENCE": value})
    assert own_fence({"TRAINGUARD_FENCE": " 7 "}) == 7
    assert own_fence({}) is own_fence({"TRAINGUARD_FENCE": ""}) is None


def _hand_out(folder: Path, numbers: range) -> None:
    for number in numbers:
        try:
            write_fence(folder, number)
        except FencedError:
            continue


def test_two_who_hand_out_at_once_never_go_back(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_hand_out, args=(tmp_path, range(first, 400, 2)), daemon=True) for first in (1, 2)]
    for each in both:
        each.start()
    seen = []
    while any(each.is_alive() for each in both):
        seen.append(read_fence(tmp_path))
    for each in both:
        each.join()
    assert seen == sorted(seen)
    assert read_fence(tmp_path) == 399


def _commit_slowly(folder: Path, began: object) -> None:
    with Fence(folder, 1).committing():
        began.set()  # type: ignore[attr-defined]
        time.sleep(0.5)
        (folder / "committed").touch()


def test_a_number_is_not_handed_out_in_the_middle_of_a_commit(tmp_path: Path) -> None:
    write_fence(tmp_path, 1)
    context = multiprocessing.get_context("fork")
    began = context.Event()
    committing = context.Process(target=_commit_slowly, args=(tmp_path, began), daemon=True)
    committing.start()
    assert began.wait(60)
    write_fence(tmp_path, 2)
    assert (tmp_path / "committed").exists()
    committing.join()


def test_whoever_was_stopped_in_a_commit_stops_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fencing, "_PATIENCE_SECONDS", 0.05)
    write_fence(tmp_path, 1)
    with Fence(tmp_path, 1).committing():
        write_fence(tmp_path, 2)
    assert read_fence(tmp_path) == 2
