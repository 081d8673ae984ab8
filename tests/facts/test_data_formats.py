"""What a file is, by its content and its name, and that all formats are read into the same facts."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import zstandard

from trainguard.facts.data import documents, streams
from trainguard.facts.data.formats import judge_head
from trainguard.facts.data.reading import read_data
from trainguard.facts.data.records import DataFacts
from trainguard.facts.data.rows import iterate

HI = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}
BAD = {"messages": [{"role": "user", "content": "hi"}, {"role": "gpt", "content": "yo"}]}
ROWS = [
    HI,
    BAD,
    {"messages": [{"role": "user", "content": 'a\nb, [1] {x} "q" \\'}, {"role": "assistant", "content": "é"}]},
]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def kinds(facts: DataFacts) -> list[str]:
    return [each.kind for each in facts.problems]


def as_parquet(rows: Sequence[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


FILES = {
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "a.json": json.dumps(ROWS).encode(),
    "b.json": json.dumps(ROWS, indent=2, ensure_ascii=False).encode(),
    "lines.json": LINES,
    "a.parquet": as_parquet(ROWS),
    "a.jsonl.gz": gzip.compress(LINES),
    "a.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "a.jsonl.zst": zstandard.compress(LINES),
    "members.jsonl.gz": gzip.compress(LINES[:100]) + gzip.compress(LINES[100:]),
    "frames.jsonl.zst": zstandard.compress(LINES[:100]) + zstandard.compress(LINES[100:]),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("piece", [7, 1_000_000])
def test_every_format_gives_the_same_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, piece: int
) -> None:
    monkeypatch.setattr(documents, "_PIECE_BYTES", piece)
    monkeypatch.setattr(streams, "BLOCK_BYTES", piece)
    monkeypatch.setattr(streams, "_TALLY_BYTES", piece)
    path = tmp_path / name
    path.write_bytes(FILES[name])
    facts = read_data(path)
    assert (facts.rows, facts.layout, facts.conversational) == (3, "messages", True)
    assert facts.roles == {"user": 3, "assistant": 2, "gpt": 1}
    assert kinds(facts) == ["unknown-role"]
    (place,) = facts.problems[0].samples
    assert place.line == 2
    assert [row["messages"][1]["content"] for _, _, row in iterate(path)] == ["yo", "yo", "é"]
    assert [line for _, line, _ in iterate(path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", json.dumps(ROWS).encode(), "the content is one JSON array, not one object a line"),
        ("a.jsonl", gzip.compress(LINES), "the content is gzip, which the name does not say"),
        ("a.jsonl.gz", LINES, "named as gzip, but the content is not"),
        ("a.jsonl.gz", zstandard.compress(LINES), "the content is zstd, which the name does not say"),
        ("a.jsonl", FILES["a.parquet"], "the content is Parquet, not jsonl"),
        ("a.txt", LINES, "the content is JSON Lines, and '.txt' is read as plain text, a row a line"),
        ("a.csv", LINES, "the content is JSON Lines, and '.csv' is read as CSV"),
        ("train", LINES, "the name has no extension"),
        ("a.dat", LINES, "no loader is known for '.dat'"),
    ],
)
def test_a_wrong_name_is_told_and_the_content_is_read(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    facts = read_data(path)
    assert kinds(facts) == ["wrong-extension", "unknown-role"]
    assert facts.problems[0].samples[0].detail == told
    assert facts.rows == 3


def test_the_format_that_is_given_wins(tmp_path: Path) -> None:
    path = tmp_path / "train"
    path.write_bytes(LINES)
    assert kinds(read_data(path, format="jsonl")) == ["unknown-role"]
    assert read_data(path, format="text").layout == "text"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_a_wide_encoding_is_one_problem(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES.decode().encode(encoding))
    facts = read_data(path)
    assert kinds(facts) == ["bad-encoding"]
    assert facts.problems[0].count == 1
    assert encoding.upper()[:6] in facts.problems[0].samples[0].detail


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.csv", "a.txt"])
def test_a_byte_order_mark_is_one_problem(tmp_path: Path, name: str) -> None:
    content = {"a.csv": b"prompt,completion\nx,y\n", "a.txt": b"hello\n"}.get(name, FILES.get(name, b""))
    mark = b"\xef\xbb\xbf"
    (tmp_path / name).write_bytes(gzip.compress(mark + LINES) if name.endswith(".gz") else mark + content)
    facts = read_data(tmp_path / name)
    # pandas, which reads CSV for datasets, takes a byte order mark.
    assert facts.problem("bad-encoding") is None if name == "a.csv" else facts.problems[0].count == 1
    assert facts.rows == (1 if name in ("a.csv", "a.txt") else 3)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["prompt", "completion"], ["a\nb", 'c "d", e'], ["x", ""], ["1", "2", "3"], ["p", "q"]]
        )
    facts = read_data(path)
    assert (facts.rows, facts.layout) == (3, "prompt-completion")
    assert [(each.kind, each.samples[0].line) for each in facts.problems] == [
        ("malformed-json", 5),
        ("empty-content", 4),
    ]
    tabs = tmp_path / "a.tsv"
    tabs.write_text("text\tn\nhello, you\t1\n")
    assert read_data(tabs).columns == {"text": 1, "n": 1}


def test_text_is_a_row_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello\r\n\n  \nworld \xe4\nhello\n")
    facts = read_data(path)
    assert (facts.rows, facts.layout) == (2, "text")
    assert [(each.kind, each.samples[0].line) for each in facts.problems] == [("bad-encoding", 4)]


def test_parquet_leaves_out_images_and_nulls_are_absent(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "completion": "b", "image": {"bytes": b"\xff" * 100, "path": "x"}, "text": None, "n": None},
        {"prompt": "c", "completion": "d", "image": {"bytes": b"\xff" * 100, "path": "x"}, "text": None, "n": 2},
    ]
    (tmp_path / "a.parquet").write_bytes(as_parquet(rows))
    facts = read_data(tmp_path / "a.parquet")
    assert (facts.rows, facts.layout, facts.problems) == (2, "prompt-completion", ())


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.json"])
def test_cut_anywhere_is_never_clean(tmp_path: Path, name: str) -> None:
    whole = FILES[name]
    path = tmp_path / name
    for end in range(0, len(whole), 7 if name == "a.parquet" else 1):
        path.write_bytes(whole[:end])
        assert kinds(read_data(path)), end


def test_a_folder_of_shards(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-1.jsonl").write_bytes(LINES)
    (tmp_path / "data" / "train-0.jsonl").write_bytes(LINES)
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / ".hidden.jsonl").write_text("broken")
    outside = tmp_path.parent / f"{tmp_path.name}-outside.jsonl"
    outside.write_text("broken")
    (tmp_path / "link.jsonl").symlink_to(outside)
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "round").symlink_to(tmp_path)
    facts = read_data(tmp_path)
    assert [Path(each.path).name for each in facts.files] == ["train-0.jsonl", "train-1.jsonl"]
    assert (facts.rows, kinds(facts)) == (6, ["unknown-role"])
    assert [(Path(each.path).name, each.line) for each in facts.problems[0].samples] == [
        ("train-0.jsonl", 2),
        ("train-1.jsonl", 2),
    ]
    assert facts.duplicates is not None
    assert facts.duplicates.exact == 3
    assert facts.duplicates.samples[0].detail == f"same as line 1 of {tmp_path}/data/train-0.jsonl"
    assert any("lead out of the folder" in note for note in facts.notes)
    assert any("1 text" in note for note in facts.notes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "a folder without data"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.write_bytes(b"PK\x03\x04....."), "a zip archive"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
    ],
)
def test_unreadable(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "a.jsonl"
    make(path)  # type: ignore[operator]
    facts = read_data(path)
    assert kinds(facts) == ["unreadable-input"]
    assert words in facts.problems[0].samples[0].detail


@pytest.mark.parametrize("splits", [False, True])
def test_a_saved_dataset_is_named(tmp_path: Path, splits: bool) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list([{"text": "a"}])
    (datasets.DatasetDict({"train": data}) if splits else data).save_to_disk(tmp_path / "data")
    facts = read_data(tmp_path / "data")
    assert kinds(facts) == ["unreadable-input"]
    assert facts.problems[0].counts == {"a folder of Dataset.save_to_disk": 1}
    data.to_json(tmp_path / "data" / "train.jsonl")
    assert read_data(tmp_path / "data").rows == 1


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\r\n\t\n"])
def test_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    assert kinds(read_data(tmp_path / "a.jsonl")) == ["empty-file"]


def test_heads_that_are_no_more_than_a_name() -> None:
    assert judge_head("a.parquet", b"hello").refused
    assert judge_head("a.csv", b'{"not json", "a header"}\n1,2\n').format == "csv"
    assert judge_head("a.jsonl", b"[1, 2]\n[3]\n").format == "jsonl"


def test_a_sample_of_a_stream(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps([HI] * 30_000).encode())
    facts = read_data(tmp_path / "a.json", sample=5_000)
    assert 5_000 <= facts.rows < 10_000
    assert any("about the first 5,000 rows" in note for note in facts.notes)
