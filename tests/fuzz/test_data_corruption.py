"""Valid training files, corrupted at random: never an exception, and every line that is named is right."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from functools import cache, reduce
from itertools import islice
from pathlib import Path

import pytest
from benchmarks.data_corpus import chat_rows
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.fuzz.data_oracle import Reading, read

from trainguard import check_data
from trainguard.findings import Finding, Location

_LARGE_BYTES = 20_000_000  # read in several pieces, and in several processes
# About the whole file, or about several lines: without a line of their own that could be wrong.
_OF_FILES = {"DATA001", "DATA008", "DATA009", "DATA014", "DATA018", "DATA019"}
_SPLICES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"\t", b"\0", b"\x0b"),
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf0\x9f\x98", b"\xe2\x80\xa8", b"\xc0\x80"),
    *(b"\\ud800", b"\\ud83d\\ude00", b"\\u0000", b"\\u", b"\\n", b'\\"', b"null", b"NaN", b"1e999", b"-", b"{}{}"),
    *(b'{"messages": []}\n', b'"role": "human"', b'"content": ""', b'"content": 5,', b"\n[1, 2]\n", b"\n{}\n"),
]

Change = Callable[[bytes], bytes]


def flipped(data: bytes, place: int, bits: int) -> bytes:
    place %= max(1, len(data))
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :] if data else data


def inserted(data: bytes, place: int, what: bytes) -> bytes:
    place %= len(data) + 1
    return data[:place] + what + data[place:]


def deleted(data: bytes, place: int, count: int) -> bytes:
    place %= len(data) + 1
    return data[:place] + data[place + count :]


def truncated(data: bytes, place: int) -> bytes:
    return data[: place % (len(data) + 1)]


def copied(data: bytes, place: int, count: int, to: int) -> bytes:
    place %= len(data) + 1
    return inserted(data, to, data[place : place + count])


def swapped(data: bytes, one: int, other: int) -> bytes:
    lines = data.split(b"\n")
    one, other = one % len(lines), other % len(lines)
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def changes(size: int) -> st.SearchStrategy[Change]:
    """One corruption of a file of about `size` bytes."""
    place, count = st.integers(0, size), st.integers(1, 300)
    pieces = st.one_of(st.sampled_from(_SPLICES), st.binary(min_size=1, max_size=8))

    def bound(function: Callable[..., bytes], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Change]:
        return st.tuples(*arguments).map(lambda drawn: lambda data: function(data, *drawn))

    return st.one_of(
        bound(inserted, place, pieces),
        bound(flipped, place, st.integers(1, 255)),
        bound(deleted, place, count),
        bound(truncated, place),
        bound(copied, place, count, place),
        bound(swapped, place, place),
    )


@cache
def rows(count: int) -> list[bytes]:
    short = (row for row in chat_rows() if len(row) < 700)
    return list(islice(short, count))


@cache
def large() -> bytes:
    out = io.BytesIO()
    for row in chat_rows():
        if out.tell() > _LARGE_BYTES:
            return out.getvalue()
        out.write(row + b"\n")
    raise AssertionError("rows have no end")


@st.composite
def small_files(draw: st.DrawFn) -> bytes:
    chosen = draw(st.lists(st.sampled_from(rows(60)), min_size=1, max_size=10, unique=True))
    data = draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])).join(chosen) + draw(st.sampled_from([b"", b"\n"]))
    return reduce(lambda held, change: change(held), draw(st.lists(changes(len(data)), max_size=4)), data)


def disagreement(findings: list[Finding], reading: Reading) -> str:
    """Where the findings contradict the slow reader; empty if nowhere."""
    said = {f.code: f.where.line if f.where else None for f in findings if f.severity != "info" and f.code}
    if len(said) < sum(f.severity != "info" for f in findings):
        return f"a code comes twice: {findings}"
    if reading.strange:
        return "" if said else "nothing was said of a file that begins strangely"
    verdicts = reading.verdicts
    for code, line in said.items():
        if code == "DATA015":
            if line not in reading.repeats:
                return f"line {line} repeats no other"
        elif code == "DATA001":
            if reading.rows:
                return f"there are {reading.rows} rows"
        elif code not in _OF_FILES:
            right = verdicts[line - 1].codes if line and line <= len(verdicts) else None
            if right is None or code not in right:
                return f"{code} at line {line}, where {right} is right"
    for number, verdict in enumerate(verdicts, start=1):
        reported = [said[code] for code in verdict.codes if code in said]
        if verdict.must and not any(line is not None and line <= number for line in reported):
            return f"line {number} has {sorted(verdict.codes)}, and said was {said}"
    if not reading.rows and not said and not any(verdict.codes for verdict in verdicts):
        return "nothing was said of a file without rows"
    return ""


@settings(max_examples=400)
@given(data=small_files())
@example(data=b"")
@example(data=b"\n")
@example(data=rows(1)[0] + b"\n\xef\xbb\xbf" + rows(2)[1])
def test_small_files(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "small.jsonl"
    path.write_bytes(data)
    assert not disagreement(check_data(path), read(data))


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(list_of=st.lists(changes(_LARGE_BYTES), min_size=1, max_size=3))
def test_large_files(list_of: list[Change], tmp_path_factory: pytest.TempPathFactory) -> None:
    data = reduce(lambda held, change: change(held), list_of, large())
    path = tmp_path_factory.getbasetemp() / "large.jsonl"
    path.write_bytes(data)
    assert not disagreement(check_data(path), read(data))


@cache
def other_formats() -> dict[str, bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    plain = b"\n".join(rows(40)) + b"\n"
    table = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": str(n)}]} for n in range(60)
    ]
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table), parquet, row_group_size=20)
    cells = "".join(f'"why {n}?","because\n{n}"\n' for n in range(60))
    return {
        "a.jsonl.gz": gzip.compress(plain, mtime=0),
        "a.jsonl.zst": zstandard.ZstdCompressor(write_checksum=True).compress(plain),
        "a.json": json.dumps(table).encode(),
        "a.csv": ("prompt,completion\n" + cells).encode(),
        "a.parquet": parquet.getvalue(),
    }


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.json", "a.csv", "a.parquet"])
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_other_formats(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any outcome but an exception; a file that lost its second half is never clean."""
    whole = other_formats()[name]
    cut = data.draw(st.booleans())
    path: Path = tmp_path_factory.getbasetemp() / name
    if cut:
        path.write_bytes(whole[: len(whole) // 2])
    else:
        todo = data.draw(st.lists(changes(len(whole)), min_size=1, max_size=3))
        path.write_bytes(reduce(lambda held, change: change(held), todo, whole))
    findings = check_data(path)
    assert all(f.where is None or f.where.line is None or f.where.line >= 1 for f in findings)
    assert all(f.severity in ("error", "warn", "info") and f.message for f in findings)
    if cut and name != "a.csv":  # a table that ends in the middle is still a table
        assert [f for f in findings if f.severity == "error"]


def test_the_oracle_notices() -> None:
    """A finding that is missing, or that names the line before or after, is a disagreement."""
    data = b"\n".join([*rows(4), b"{broken", *rows(8)[4:], b""])
    findings = [Finding("error", "no JSON", code="DATA002", where=Location("small.jsonl", line)) for line in (5, 4, 6)]
    assert not disagreement(findings[:1], read(data))
    assert disagreement([], read(data))
    assert disagreement(findings[1:2], read(data))
    assert disagreement(findings[2:], read(data))
