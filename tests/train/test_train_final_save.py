"""The result: the former one stands until the new one is whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainguard.train.final_save import FINAL, is_final, save_final

RUN = {"data_hash": "abc"}


def write(text: str) -> object:
    def into(folder: Path) -> None:
        (folder / "model.txt").write_text(text)

    return into


def save(output: Path, text: str, step: int) -> Path:
    return save_final(output, write(text), step=step, run=RUN, base_model=None)  # type: ignore[arg-type]


def test_the_result_is_listed_and_known_by_step_and_data(tmp_path: Path) -> None:
    path = save(tmp_path, "one", 40)
    assert path == tmp_path / FINAL
    assert is_final(tmp_path, step=40, data_hash="abc")
    assert not is_final(tmp_path, step=41, data_hash="abc")
    assert not is_final(tmp_path, step=40, data_hash="other")
    (path / "model.txt").write_text("two")
    assert not is_final(tmp_path, step=40, data_hash="abc")


def test_a_new_result_replaces_the_former_and_leaves_nothing_beside(tmp_path: Path) -> None:
    save(tmp_path, "one", 40)
    save(tmp_path, "two", 80)
    assert (tmp_path / FINAL / "model.txt").read_text() == "two"
    assert os.listdir(tmp_path) == [FINAL]


def test_a_result_that_cannot_be_written_leaves_the_former(tmp_path: Path) -> None:
    save(tmp_path, "one", 40)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_final(tmp_path, fail, step=80, run=RUN, base_model=None)
    assert is_final(tmp_path, step=40, data_hash="abc")
    assert os.listdir(tmp_path) == [FINAL]


def test_a_process_killed_between_the_two_renames_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "one", 40)
    os.rename(tmp_path / FINAL, tmp_path / ".trainguard-replaced-final")
    save(tmp_path, "two", 80)
    assert (tmp_path / FINAL / "model.txt").read_text() == "two"

    renames: list[str] = []
    real = os.rename

    def second_fails(source: Path, target: Path) -> None:
        renames.append(str(source))
        if len(renames) == 2:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="Input/output"):
        save(tmp_path, "three", 90)
    assert (tmp_path / FINAL / "model.txt").read_text() == "two"
