"""Pickled weights: poisoned files are found, honest ones are not, broken ones have a reason, and nothing raises."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.facts import weights_pickles

from trainguard.facts.weights.torch_file import read_torch_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # quantized tensors are announced to go
    HONEST = weights_pickles.honest()
POISONED = weights_pickles.poisoned()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.bin"


@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_file_is_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(POISONED[name])
    assert read_torch_file(path).dangerous


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_file_is_sound(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(HONEST[name])
    read = read_torch_file(path)
    assert (read.dangerous, read.problem, read.unscanned) == ((), None, None)


def torch_loads(path: Path) -> bool:
    try:
        torch.load(path, weights_only=True)
    except Exception:  # torch raises a dozen different ones
        return False
    return True


def test_the_sets_are_large_enough() -> None:
    assert len(POISONED) >= 14
    assert len(HONEST) >= 14


def test_an_attack_is_named(file: Path) -> None:
    file.write_bytes(POISONED["popen-4.bin"])
    assert [str(each) for each in read_torch_file(file).dangerous] == ["subprocess.Popen"]
    file.write_bytes(POISONED["getattr-of-class.bin"])
    assert [str(each) for each in read_torch_file(file).dangerous] == ["builtins.getattr"]


def test_members_of_an_enum_are_fine_and_their_calls_are_not(file: Path) -> None:
    member = b"\x80\x02cbuiltins\ngetattr\nctransformers.trainer_utils\nIntervalStrategy\nX\x05\0\0\0STEPS\x86R"
    file.write_bytes(member + b".")
    assert read_torch_file(file).dangerous == ()
    file.write_bytes(member + b"X\x04\0\0\0true\x85R.")
    assert read_torch_file(file).dangerous != ()


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_shapes_of_a_state_dict(file: Path, kind: str) -> None:
    file.write_bytes(HONEST[f"state-dict-bf16-{kind}.bin"])
    tensors = read_torch_file(file).tensors or {}
    assert {name: (entry.dtype, entry.shape) for name, entry in tensors.items()} == {
        "0.weight": ("BF16", (4, 4)),
        "0.bias": ("BF16", (4,)),
        "1.weight": ("BF16", (4,)),
        "1.bias": ("BF16", (4,)),
    }


@pytest.mark.parametrize("name", ["state-dict-zip.bin", "state-dict-legacy.bin", "optimizer-zip.bin"])
def test_every_truncation_has_a_reason(name: str, file: Path) -> None:
    whole = HONEST[name]
    for length in range(0, len(whole), 31):
        file.write_bytes(whole[:length])
        assert read_torch_file(file).problem is not None, length
        assert not torch_loads(file), length


def test_a_zip_that_lacks_a_storage(file: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(HONEST["state-dict-zip.bin"])) as whole, zipfile.ZipFile(content, "w") as less:
        for info in whole.infolist():
            if not info.filename.endswith("/data/1"):
                less.writestr(info.filename, whole.read(info))
    file.write_bytes(content.getvalue())
    assert "which its data.pkl names" in (read_torch_file(file).problem or "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (bytes(5000), "it begins with zeros"),
        (b"<!DOCTYPE html><html>", "it is neither a zip archive nor a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(100), "without a sound directory"),
        (weights_pickles.MAGIC_PICKLE, "breaks off"),
        (weights_pickles.legacy_with_a_claim(2**62), ""),
    ],
)
def test_what_is_no_file_of_weights(content: bytes, words: str, file: Path) -> None:
    file.write_bytes(content)
    problem = read_torch_file(file).problem
    assert problem is not None
    assert words in problem


def test_a_zip_of_something_else(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "without the data.pkl" in (read_torch_file(file).problem or "")


def test_storages_are_not_taken_for_pickles(file: Path) -> None:
    """Raw numbers may begin with any bytes, also with those of an attack."""
    attack = pickle.dumps(weights_pickles.Calls(eval, "1"), 2).ljust(64, b"\0")
    torch.save({"w": torch.frombuffer(bytearray(attack), dtype=torch.uint8)}, file)
    assert read_torch_file(file).dangerous == ()


def test_nothing_is_logged(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(POISONED["eval.bin"])
    read_torch_file(file)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_a_pickle_that_is_too_long_is_no_problem(kind: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainguard.facts.weights.pickle_walk.MAX_OPCODES", 50)
    file.write_bytes(HONEST[f"state-dict-{kind}.bin"])
    read = read_torch_file(file)
    assert (read.problem, read.dangerous) == (None, ())
    assert "opcodes" in (read.unscanned or "")


NAMES = sorted(POISONED | HONEST)


@settings(max_examples=150)
@given(st.sampled_from(NAMES), st.data())
def test_damaged_files_never_raise(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    content = bytearray((POISONED | HONEST)[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=12))
    path = tmp_path_factory.getbasetemp() / "w.bin"
    path.write_bytes(content)
    read_torch_file(path)
