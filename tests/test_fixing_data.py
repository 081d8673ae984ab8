"""A repaired copy of data: nothing is lost, nothing is overwritten, and what needs no repair stays byte for byte."""

from __future__ import annotations

import base64
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainguard.errors import UnreadableInputError, UsageError
from trainguard.fixing.changes import WriteError
from trainguard.fixing.data import BOM_REMOVED, RepairReport, rejected_path_of, repair
from trainguard.fixing.data_row import RENAMED, RENAMED_COLUMN, plan, rewritten

GOOD = b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ok"}]}\n'


def run(folder: Path, content: bytes, **options: Any) -> tuple[RepairReport, bytes, list[dict[str, Any]]]:
    source, out = folder / "train.jsonl", folder / "fixed.jsonl"
    source.write_bytes(content)
    report = repair(source, out, format="jsonl", **options)
    rejected = rejected_path_of(out)
    assert rejected.exists() == (report.rejected > 0)
    records = [json.loads(line) for line in rejected.read_bytes().splitlines()] if report.rejected else []
    assert source.read_bytes() == content
    assert {file.name for file in folder.iterdir()} <= {"train.jsonl", "fixed.jsonl", "fixed.jsonl.rejected.jsonl"}
    return report, out.read_bytes(), records


def raw_of(record: dict[str, Any]) -> bytes:
    return record["raw"].encode() if "raw" in record else base64.b64decode(record["raw_base64"])


def test_what_needs_no_repair_stays_byte_for_byte(tmp_path: Path) -> None:
    content = (
        GOOD
        + b'  { "text" : "\\u00e9\xc3\xa9 1e5" , "n":1.0e5,"n":12345678901234567890123}\r\n\n   \n'
        + GOOD.rstrip(b"\n")
    )
    report, copy, rejected = run(tmp_path, content)
    assert copy == content
    assert rejected == []
    assert (report.lines, report.written, report.changed, report.rejected, report.rejected_path) == (3, 3, 0, 0, None)


def test_roles_and_sharegpt_are_mapped_in_place(tmp_path: Path) -> None:
    content = (
        b'{"id": 1.50, "conversations": [{"from": "system", "value": "s"}, '
        b'{"from":"human","value":"\\"from\\": \\u00e9"},'
        b' {"weight": 0, "from": "gpt", "value": "ok", "extra": {"from": "human"}}]}\r\n'
        b'{"messages": [{"role": "Human", "content": "human"}, {"content": "x", "role": "chatbot"}, '
        b'{"role": "narrator"}]}\n'
        b'{"prompt": [{"role": "human", "content": "q"}], "completion": [{"role": "bot", "content": "a"}]}\n'
    )
    report, copy, _ = run(tmp_path, content)
    assert copy == (
        b'{"id": 1.50, "messages": [{"role": "system", "content": "s"}, '
        b'{"role":"user","content":"\\"from\\": \\u00e9"},'
        b' {"weight": 0, "role": "assistant", "content": "ok", "extra": {"from": "human"}}]}\r\n'
        b'{"messages": [{"role": "user", "content": "human"}, {"content": "x", "role": "assistant"}, '
        b'{"role": "narrator"}]}\n'
        b'{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}\n'
    )
    assert report.changes == {
        "role 'human' became 'user'": 2,
        "role 'gpt' became 'assistant'": 1,
        RENAMED: 1,
        "role 'Human' became 'user'": 1,
        "role 'chatbot' became 'assistant'": 1,
        "role 'bot' became 'assistant'": 1,
    }
    assert report.changed == 3


def test_unreadable_lines_are_kept_with_their_reason(tmp_path: Path) -> None:
    lines = [
        GOOD.rstrip(b"\n"),
        b'{"messages": [',
        b'{"text": "\xff"}',
        b'{"text": "a"} {"text": "b"}',
        b"[1, 2]",
        b'{"text": "\\ud800"}',
        b"[" * 5000,
        b'{"n": 1e999}',
        b"\x00\x00",
        b"plain text",
    ]
    report, copy, rejected = run(tmp_path, b"\n".join(lines))
    assert copy == GOOD
    assert report.rejected == len(rejected) == 9
    assert [record["line"] for record in rejected] == list(range(2, 11))
    assert [raw_of(record) for record in rejected] == lines[1:]
    assert rejected[1]["reason"] == "byte 0xff is not UTF-8"
    assert "raw_base64" in rejected[1]
    assert sum(report.reasons.values()) == 9
    assert report.reasons["invalid UTF-8"] == 1
    assert report.rejected_path == str(tmp_path / "fixed.jsonl.rejected.jsonl")


def test_a_byte_order_mark_goes(tmp_path: Path) -> None:
    report, copy, _ = run(tmp_path, b"\xef\xbb\xbf" + GOOD + b"\xef\xbb\xbf" + GOOD + b"\xef\xbb\xbf\n")
    assert copy == GOOD + GOOD + b"\n"
    assert report.changes == {BOM_REMOVED: 3}
    assert (report.lines, report.changed) == (2, 2)


def test_a_line_over_the_limit_is_never_held(tmp_path: Path) -> None:
    long = b'{"text": "' + b"abc" * 10_000_000 + b'"}'
    content = GOOD + long + b"\n" + GOOD
    (tmp_path / "train.jsonl").write_bytes(content)
    tracemalloc.start()
    report = repair(tmp_path / "train.jsonl", tmp_path / "fixed.jsonl", max_line_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20
    assert (report.lines, report.rejected, report.reasons) == (3, 1, {"line too long": 1})
    assert (tmp_path / "fixed.jsonl").read_bytes() == GOOD + GOOD
    (record,) = (json.loads(line) for line in (tmp_path / "fixed.jsonl.rejected.jsonl").read_bytes().splitlines())
    assert record["line"] == 2
    assert raw_of(record) == long


MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "from", "value", "weight"]),
    st.one_of(st.sampled_from(["human", "gpt", "user", "assistant", "from", "é\u2028"]), st.integers(), st.none()),
)
ROWS = st.dictionaries(
    st.sampled_from(["messages", "conversations", "prompt", "chosen", "text", "from"]),
    st.one_of(
        st.text(max_size=5), st.lists(st.one_of(MESSAGE, st.integers(), st.lists(MESSAGE, max_size=1)), max_size=3)
    ),
)
LINES = st.one_of(
    ROWS.map(lambda row: json.dumps(row).encode()),
    ROWS.map(lambda row: json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")),
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")),
    st.sampled_from([b"", b" ", b"\xef\xbb\xbf", b"\r", b'{"text": "cut', b"{}{}"]),
)


@given(found=st.lists(LINES, max_size=12), end=st.sampled_from([b"", b"\n"]), limit=st.sampled_from([30, 10_000]))
@example(found=[b"{}", b"x" * 40, b"{}"], end=b"", limit=30)
def test_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, found: list[bytes], end: bytes, limit: int) -> None:
    content = b"\n".join(found) + end
    report, copy, rejected = run(tmp_path_factory.mktemp("repair"), content, max_line_bytes=limit)
    assert repaired_lines(content, {record["line"]: raw_of(record) for record in rejected}) == copy
    assert report.rejected == len(rejected)


def repaired_lines(content: bytes, rejected: dict[int, bytes]) -> bytes:
    """The copy as it has to be: every line but the rejected ones, with the values that a repair gives."""
    copy = b""
    for number, line in enumerate(
        content.splitlines(keepends=True) if b"\r" not in content else _split(content), start=1
    ):
        if number in rejected:
            mark = b"\xef\xbb\xbf"
            assert rejected[number] in (
                line.rstrip(b"\r\n"),
                line.removesuffix(b"\n"),
                line.removeprefix(mark).rstrip(b"\r\n"),
            )
            continue
        line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            row = json.loads(line)
            wanted = plan(row)
            if wanted is not None:
                body = line.rstrip(b"\r\n")
                new = rewritten(body.decode(), wanted)
                assert json.loads(new) == carried_out(row)
                line = new.encode() + line[len(body) :]
        copy += line
    return copy


def _split(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


SYNONYMS = {"human": "user", "gpt": "assistant"}


def carried_out(row: dict[str, Any]) -> dict[str, Any]:
    """What a repair comes to, done on the values."""
    result: dict[str, Any] = {}
    for key, value in row.items():
        new_key, new_value, sharegpt = key, value, False
        if key in ("messages", "conversations", "prompt", "chosen") and isinstance(value, list):
            new_value = []
            for message in value:
                if isinstance(message, dict):
                    sharegpt = sharegpt or any(
                        old in message and new not in message for old, new in (("from", "role"), ("value", "content"))
                    )
                    message = one_message(message)
                new_value.append(message)
            alone = not row.keys() & {"messages", "prompt", "text"} and all(
                isinstance(m, dict) and "role" in m and not m.keys() & {"from", "value"} for m in value
            )
            if (
                key == "conversations"
                and value
                and (sharegpt or alone)
                and "messages" not in row
                and all(isinstance(m, dict) for m in value)
            ):
                new_key = "messages"
        result[new_key] = new_value
    return result


def one_message(message: dict[str, Any]) -> dict[str, Any]:
    names = {old: new for old, new in (("from", "role"), ("value", "content")) if old in message and new not in message}
    new = {names.get(key, key): value for key, value in message.items()}
    if isinstance(new.get("role"), str):
        new["role"] = SYNONYMS.get(new["role"], new["role"])
    return new


def test_a_column_of_roles_under_the_name_of_sharegpt_is_renamed(tmp_path: Path) -> None:
    messages = b'[{"role": "user", "content": "conversations"}, {"role":"gpt", "content": "ok"}]'
    left = b'{"conversations": [{"role": "user", "content": "a"}], "text": "a"}\n'
    calls = b'{"conversations": [{"from": "function_call", "value": "{}"}]}\n'
    report, copy, _ = run(tmp_path, b'{"id": 1, "conversations": ' + messages + b"}\n" + left + calls)
    assert copy == (
        b'{"id": 1, "messages": '
        + messages.replace(b"gpt", b"assistant")
        + b"}\n"
        + left
        + b'{"messages": [{"role": "function_call", "content": "{}"}]}\n'
    )
    assert report.changes == {"role 'gpt' became 'assistant'": 1, RENAMED_COLUMN: 1, RENAMED: 1}


def test_escaped_keys_are_keys_too() -> None:
    text = '{"conversations": [{"\\u0066rom": "h\\u0075man", "value": 1}]}'
    wanted = plan(json.loads(text))
    assert wanted is not None
    assert rewritten(text, wanted) == '{"messages": [{"role": "user", "content": 1}]}'


def source(folder: Path) -> Path:
    file = folder / "train.jsonl"
    file.write_bytes(GOOD)
    return file


@pytest.mark.parametrize("kind", ["same", "link", "hard link", "relative", "link to a folder", "rejected"])
def test_the_source_is_never_the_copy(tmp_path: Path, kind: str) -> None:
    file = source(tmp_path)
    out = tmp_path / "out.jsonl"
    if kind == "same":
        out = file
    elif kind == "link":
        out.symlink_to(file)
    elif kind == "hard link":
        out.hardlink_to(file)
    elif kind == "relative":
        out = tmp_path / "." / ".." / tmp_path.name / "train.jsonl"
    elif kind == "link to a folder":
        (tmp_path / "folder").symlink_to(tmp_path)
        out = tmp_path / "folder" / "train.jsonl"
    else:
        file = file.rename(tmp_path / "out.jsonl.rejected.jsonl")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is the file that is to be repaired"):
            repair(file, out, overwrite=overwrite)
    assert file.read_bytes() == GOOD


def test_what_is_there_is_overwritten_only_when_told(tmp_path: Path) -> None:
    file, out = source(tmp_path), tmp_path / "out.jsonl"
    for taken in (out, rejected_path_of(out)):
        taken.write_bytes(b"mine")
        with pytest.raises(UsageError, match="is there already"):
            repair(file, out)
        assert taken.read_bytes() == b"mine"
    repair(file, out, overwrite=True)
    assert out.read_bytes() == GOOD
    assert not rejected_path_of(out).exists()


def test_a_name_that_is_taken_meanwhile_is_left(tmp_path: Path) -> None:
    file, out = source(tmp_path), tmp_path / "out.jsonl"

    def take(done: int, total: int) -> None:
        assert (done, total) == (len(GOOD), len(GOOD))
        out.write_bytes(b"mine")

    with pytest.raises(UsageError, match="is there by now"):
        repair(file, out, on_progress=take)
    assert out.read_bytes() == b"mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.jsonl", "train.jsonl"]


@pytest.mark.parametrize("what", ["dangling link", "folder", "fifo", "no folder"])
def test_a_target_that_is_no_file_is_refused(tmp_path: Path, what: str) -> None:
    file, out = source(tmp_path), tmp_path / "out.jsonl"
    if what == "dangling link":
        out.symlink_to(tmp_path / "nowhere")
    elif what == "folder":
        out.mkdir()
    elif what == "fifo":
        os.mkfifo(out)
    else:
        out = tmp_path / "no" / "out.jsonl"
    with pytest.raises(UsageError):
        repair(file, out, overwrite=True)


def test_what_is_no_json_lines_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for name, content, words in (
        ("a.jsonl.gz", b"\x1f\x8b\x08rest", "compressed with gzip"),
        ("a.parquet", b"PAR1....", "is parquet"),
        ("b.jsonl", '{"text": "a"}\n'.encode("utf-16"), "convert it first"),
        ("c.jsonl", b"PK\x03\x04", "a zip archive"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=words):
            repair(tmp_path / name, out)
    with pytest.raises(UsageError, match="is a folder"):
        repair(tmp_path, out)
    with pytest.raises(UnreadableInputError):
        repair(tmp_path / "missing.jsonl", out)
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UnreadableInputError):
        repair(tmp_path / "pipe.jsonl", out)
    assert not out.exists()


def test_a_source_that_grows_meanwhile_is_no_copy(tmp_path: Path) -> None:
    file, out = source(tmp_path), tmp_path / "out.jsonl"

    def grow(_done: int, _total: int) -> None:
        with file.open("ab") as more:
            more.write(GOOD)

    with pytest.raises(UnreadableInputError, match="changed while it was read"):
        repair(file, out, on_progress=grow)
    assert [each.name for each in tmp_path.iterdir()] == ["train.jsonl"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainguard.fixing.data.os.fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        repair(source(tmp_path), tmp_path / "out.jsonl")
    assert [each.name for each in tmp_path.iterdir()] == ["train.jsonl"]
