"""Safetensors headers: what the library refuses is refused, what it accepts is accepted, and nothing raises."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from trainguard.facts.weights.dtypes import BITS
from trainguard.facts.weights.safetensors_file import read_safetensors
from trainguard.facts.weights.shard_index import leaves_folder, read_index

ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def library_accepts(content: bytes) -> bool:
    try:
        deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True


def problem(folder: Path, content: bytes) -> str | None:
    path = folder / "w.safetensors"
    path.write_bytes(content)
    return read_safetensors(path).problem


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


CASES = {
    "whole": file_of({"a": ONE}, b"1234"),
    "no tensors": file_of({}),
    "metadata": file_of({"__metadata__": {"format": "pt"}, "a": ONE}, b"1234"),
    "metadata null": file_of({"__metadata__": None, "a": ONE}, b"1234"),
    "metadata of numbers": file_of({"__metadata__": {"a": 1}, "a": ONE}, b"1234"),
    "metadata list": file_of({"__metadata__": [], "a": ONE}, b"1234"),
    "space around": file_of(b"  " + json.dumps({"a": ONE}).encode() + b"   ", b"1234"),
    "NUL behind": file_of(json.dumps({"a": ONE}).encode() + b"\0", b"1234"),
    "field twice": file_of(b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"),
    "field twice by an escape": file_of(
        b'{"a":{"dtype":"F32","d\\u0074ype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"
    ),
    "more fields": file_of({"a": ONE | {"x": [1, {"y": None}]}}, b"1234"),
    "deep": file_of(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":%s}}' % (b"[" * 126 + b"]" * 126), b"1" * 4
    ),
    "nearly too deep": file_of(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":%s}}' % (b"[" * 125 + b"]" * 125), b"1234"
    ),
    "very deep": file_of(b"[" * 100_000),
    "as a list": file_of({"a": ["F32", [1], [0, 4]]}, b"1234"),
    "variant as an object": file_of({"a": entry({"F32": None})}, b"1234"),
    "float": file_of(b'{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', b"1234"),
    "minus zero": file_of(b'{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'),
    "minus one": file_of({"a": entry(shape=[-1])}, b"1234"),
    "beyond 64 bits": file_of({"a": entry(shape=[2**64])}, b"1234"),
    "overflow times zero": file_of({"a": entry(shape=[2**63, 4, 0], offsets=[0, 0])}),
    "empty tensors": file_of(
        {"a": entry(shape=[0], offsets=[0, 0]), "b": entry(shape=[3, 0], offsets=[0, 0]), "c": ONE}, b"1" * 4
    ),
    "scalar": file_of({"a": entry(shape=[])}, b"1234"),
    "hole": file_of({"a": entry(offsets=[4, 8])}, b"12345678"),
    "overlap": file_of({"a": ONE, "b": entry(offsets=[2, 6])}, b"123456"),
    "backwards": file_of({"a": entry(shape=[0], offsets=[4, 0])}, b"1234"),
    "cut": file_of({"a": ONE}, b"123"),
    "too long": file_of({"a": ONE}, b"12345"),
    "three offsets": file_of({"a": entry(offsets=[0, 4, 4])}, b"1234"),
    "text for a number": file_of({"a": entry(shape=["1"])}, b"1234"),
    "true for a number": file_of({"a": entry(shape=[True])}, b"1234"),
    "no dtype": file_of({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "unknown dtype": file_of({"a": entry("F31")}, b"1234"),
    "half a byte": file_of({"a": entry("F4", [1], [0, 1])}, b"1"),
    "list": file_of([]),
    "null": file_of(b"null"),
    "no header": file_of(b""),
    "bad UTF-8": file_of(b'{"\xff":%s}' % json.dumps(ONE).encode(), b"1234"),
    "half a surrogate pair": file_of(b'{"\\ud800":%s}' % json.dumps(ONE).encode(), b"1234"),
    "control character": file_of(b'{"\x01":%s}' % json.dumps(ONE).encode(), b"1234"),
    "byte order mark": file_of(b"\xef\xbb\xbf" + json.dumps({"a": ONE}).encode(), b"1234"),
    "NaN": file_of(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', b"1234"),
    "a long number": file_of(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % (b"1" * 9999), b"1234"),
    "header beyond the file": file_of({"a": ONE}, b"1234", length=99),
    "header beyond 100 MB": file_of({"a": ONE}, b"1234", length=100_000_001),
    "header of 2**63": file_of({"a": ONE}, b"1234", length=2**63),
    "nothing": b"",
    "seven bytes": b"1234567",
    "zeros": bytes(64),
}


@pytest.mark.parametrize("name", CASES)
def test_the_library_and_we_agree(name: str, tmp_path: Path) -> None:
    found = problem(tmp_path, CASES[name])
    assert (found is None) == library_accepts(CASES[name]), found


def test_a_name_twice_is_refused_although_the_library_takes_the_last(tmp_path: Path) -> None:
    content = file_of(b'{"a":%s,"a":%s}' % ((json.dumps(ONE).encode(),) * 2), b"1234")
    assert library_accepts(content)
    assert problem(tmp_path, content) == "its header names 'a' twice"


def test_words_name_the_tensor_and_the_numbers(tmp_path: Path) -> None:
    assert problem(tmp_path, CASES["cut"]) == (
        "its header lists 4 bytes of tensors, and only 3 follow: the last 1 bytes are missing"
    )
    assert problem(tmp_path, CASES["hole"]) == "tensor 'a' begins at 4 where 0 is expected, so it leaves a hole"
    wrong = file_of({"a": entry("BF16", [2, 3], [0, 4])}, b"1234")
    assert problem(tmp_path, wrong) == "tensor 'a' has 4 bytes, and BF16 2x3 needs 12"


sizes = st.integers(0, 9) | st.sampled_from([2**32, 2**63, 2**64 - 1, 2**64])
dtypes = st.sampled_from([*BITS, "F31", "f32"])
entries = st.fixed_dictionaries(
    {"dtype": dtypes, "shape": st.lists(sizes, max_size=3), "data_offsets": st.lists(sizes, min_size=1, max_size=3)}
)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def sound_files(draw: st.DrawFn) -> bytes:
    """A file that keeps to the format, with every dtype."""
    header: dict[str, object] = {}
    end = 0
    for number in range(draw(st.integers(0, 4))):
        dtype = draw(st.sampled_from(list(BITS)))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        bits = BITS[dtype]
        for length in shape:
            bits *= length
        if bits % 8:
            continue
        header[draw(st.text(max_size=6)) + str(number)] = entry(dtype, shape, [end, end + bits // 8])
        end += bits // 8
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2))
    ascii_only = draw(st.booleans())
    text = json.dumps(header, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    return file_of(text, bytes(end))


@given(sound_files())
def test_sound_files_are_accepted(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    found = problem(tmp_path_factory.getbasetemp(), content)
    assert (found is None) == library_accepts(content), found


@given(sound_files(), st.data())
def test_damaged_files_are_judged_as_by_the_library(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    found = problem(tmp_path_factory.getbasetemp(), bytes(damaged))
    accepted = library_accepts(bytes(damaged))
    assert (found is None) == accepted or (accepted and "twice" in (found or "")), found


@given(st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), entries | odd, max_size=3), st.integers(0, 40))
def test_odd_headers_are_judged_as_by_the_library(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, object], size: int
) -> None:
    content = file_of(header, bytes(size))
    found = problem(tmp_path_factory.getbasetemp(), content)
    assert (found is None) == library_accepts(content), found


def test_a_hundred_thousand_tensors_are_read_quickly(tmp_path: Path) -> None:
    header = {
        f"model.layers.{n}.self_attn.q_proj.weight": entry("BF16", [2, 1], [n * 4, n * 4 + 4]) for n in range(100_000)
    }
    path = tmp_path / "w.safetensors"
    path.write_bytes(file_of(header, bytes(400_000)))
    begun = time.perf_counter()
    file = read_safetensors(path)
    assert file.problem is None
    assert len(file.tensors or ()) == 100_000
    assert time.perf_counter() - begun < 5  # 0.4 s on an idle machine


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(CASES["whole"])
    whole = os.pread

    def cut_first(descriptor: int, count: int, offset: int) -> bytes:
        os.truncate(path, 12)
        return whole(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", cut_first)
    assert "cut short while it was read" in (read_safetensors(path).problem or "")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.safetensors")
    reader = threading.Thread(target=read_safetensors, args=(tmp_path / "w.safetensors",), daemon=True)
    reader.start()
    reader.join(5)
    assert not reader.is_alive()
    assert read_safetensors(tmp_path / "w.safetensors").problem == "it is no regular file"
    assert "cannot be read" in (read_safetensors(tmp_path / "absent.safetensors").problem or "")
    assert read_safetensors(tmp_path).problem is not None


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 16060617592\n")
    file = read_safetensors(path)
    assert file.pointer
    assert "Git LFS pointer" in (file.problem or "")


def test_an_index(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text('{"metadata": {"total_size": 8}, "weight_map": {"a": "x.safetensors", "b": "../y.safetensors"}}')
    index = read_index(path)
    assert (index.problem, index.total_size, index.shards) == (None, 8, ("x.safetensors",))
    assert index.escapes == ("../y.safetensors",)
    for text in ("", "{", "[]", '{"weight_map": 1}', '{"weight_map": {"a": 1}}', "\0" * 99, "[" * 100_000):
        path.write_text(text)
        assert read_index(path).problem is not None


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "\\x", "..\\x", "C:\\x", "C:x", "a/..", "x\0y"])
def test_names_that_leave_a_folder(name: str) -> None:
    assert leaves_folder(name)


@pytest.mark.parametrize("name", ["x", "a/x", "..x", "x..", "...", "model-00001-of-00002.safetensors"])
def test_names_that_stay(name: str) -> None:
    assert not leaves_folder(name)
