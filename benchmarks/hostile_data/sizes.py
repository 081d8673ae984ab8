"""Long lines, many lines, many of everything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from .record import MEBI, around, good, hostile, saved


def _long_line(folder: Path, size: int, close: bytes) -> Path:
    def parts() -> Iterable[bytes]:
        yield good(1) + b"\n" + good(2) + b"\n" + b'{"messages": [{"role": "user", "content": "'
        for _ in range(size // MEBI):
            yield b"long line " * (MEBI // 10)
        yield close + b"\n" + good(3) + b"\n{broken\n"

    return saved(folder, parts())


@hostile("a line of 60 MB", "DATA013", 3, large=True)
def _line_60_mb(folder: Path, _small: bool) -> Path:
    return _long_line(folder, 60 * MEBI, b'"}, {"role": "assistant", "content": "ok"}]}')


@hostile("the line after a line of 60 MB", "DATA002", 5, large=True)
def _after_60_mb(folder: Path, _small: bool) -> Path:
    return _long_line(folder, 60 * MEBI, b'"}, {"role": "assistant", "content": "ok"}]}')


@hostile("a line of 1 GB", "DATA013", 3, large=True)
def _line_1_gb(folder: Path, small: bool) -> Path:
    return _long_line(folder, (100 if small else 1000) * MEBI, b'"')


@hostile("1 GB of zeros without a newline", "DATA001 DATA002 DATA007 DATA013", None, large=True)
def _zeros(folder: Path, small: bool) -> Path:
    path = saved(folder, b"")
    os.truncate(path, (100 if small else 1000) * MEBI)
    return path


@hostile("1 GB of zeros after a row", "DATA002 DATA007 DATA013", 2, large=True)
def _zero_tail(folder: Path, small: bool) -> Path:
    path = saved(folder, good(1) + b"\n")
    os.truncate(path, (100 if small else 1000) * MEBI)
    return path


@hostile("10 million empty lines", "DATA001", None, large=True)
def _empty_lines(folder: Path, small: bool) -> Path:
    return saved(folder, [b"\n" * MEBI] * (1 if small else 10))


@hostile("a broken row after 9 million empty lines", "DATA002", 9 * MEBI + 1, large=True)
def _after_empty_lines(folder: Path, _small: bool) -> Path:
    return saved(folder, [*[b"\n" * MEBI] * 9, b"{broken\n", good(1)])


@hostile("a broken row after empty lines of CR LF and spaces", "DATA002", 3_000_001, large=True)
def _after_blank_lines(folder: Path, _small: bool) -> Path:
    return saved(folder, [*[b" \r\n\t\n\r\n" * 1_000_000], b"{broken\n", good(1)])


@hostile("a million rows of one letter", "DATA002", 1, large=True)
def _letters(folder: Path, small: bool) -> Path:
    return saved(folder, b"x\n" * (100_000 if small else 1_000_000))


@hostile("every row with keys of its own", "DATA003", 1, large=True)
def _own_keys(folder: Path, small: bool) -> Path:
    count = 40_000 if small else 400_000
    return saved(folder, (b'{"key %d %s": 1}\n' % (number, b"k" * 500) for number in range(count)))


@hostile("valid rows, every one with a column of its own", large=True)
def _own_columns(folder: Path, small: bool) -> Path:
    count = 40_000 if small else 400_000
    return saved(folder, (good(n)[:-1] + b', "column %d %s": 1}\n' % (n, b"k" * 500) for n in range(count)))


@hostile("every row with a role of its own", "DATA005", 1, large=True)
def _own_roles(folder: Path, small: bool) -> Path:
    count = 40_000 if small else 400_000
    return saved(folder, (good(n).replace(b"user", b"%d %s" % (n, b"r" * 500)) + b"\n" for n in range(count)))


@hostile("every row with an order of roles of its own", "DATA011 DATA010", None, large=True)
def _own_orders(folder: Path, small: bool) -> Path:
    def row(number: int) -> bytes:
        bits = f"{number * 2654435761 % 2**40:040b}"
        said = ({"role": "user" if bit == "0" else "assistant", "content": f"{number}"} for bit in bits)
        return json.dumps({"messages": list(said)}).encode() + b"\n"

    return saved(folder, map(row, range(10_000 if small else 60_000)))


@hostile("one row of 200,000 messages", large=True)
def _many_messages(folder: Path, _small: bool) -> Path:
    pair = b'{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}'
    return saved(folder, around(b'{"messages": [' + b", ".join([pair] * 100_000) + b"]}"))


@hostile("one row of a million keys", large=True)
def _many_keys(folder: Path, _small: bool) -> Path:
    keys = b"".join(b', "k%d": 1' % number for number in range(1_000_000))
    return saved(folder, around(good(50)[:-1] + keys + b"}"))


@hostile("an array of 200 MB on one line", large=True)
def _large_array(folder: Path, small: bool) -> Path:
    count = (20 if small else 200) * MEBI // 1100

    def parts() -> Iterable[bytes]:
        yield b"["
        for number in range(count):
            yield (b"," if number else b"") + good(number).replace(b"Answer", b"Answer " + b"word " * 200)
        yield b"]\n"

    return saved(folder, parts(), "train.json")


@hostile("an array of 200 MB, the last row broken", "DATA005", None, large=True)
def _large_broken_array(folder: Path, small: bool) -> Path:
    path = _large_array(folder, small)
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(b"," + good(1).replace(b"user", b"human") + b"]")
    return path
