"""Compressed files and tables that lie, and what is no file."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from .record import MEBI, around, fixed, good, hostile, saved

_TABLE_ROWS = 400_000


@hostile("gzip bomb: 10 GB of zeros", "DATA001 DATA002 DATA007 DATA013 DATA020", None, large=True)
def _gzip_bomb(folder: Path, small: bool) -> Path:
    return saved(folder, gzip.compress(bytes(64 * MEBI), 9) * (16 if small else 160), "bomb.jsonl.gz")


@hostile("gzip bomb: 1 GB of newlines, then rows", "", None, large=True)
def _gzip_newlines(folder: Path, small: bool) -> Path:
    tail = gzip.compress(around(good(99)))
    return saved(folder, gzip.compress(b"\n" * (64 * MEBI), 9) * (4 if small else 16) + tail, "bomb.jsonl.gz")


@hostile("zstd bomb: 10 GB of zeros", "DATA001 DATA002 DATA007 DATA013 DATA020", None, large=True, needs="zstandard")
def _zstd_bomb(folder: Path, small: bool) -> Path:
    import zstandard

    frame = zstandard.ZstdCompressor().compress(bytes(64 * MEBI))
    return saved(folder, frame * (16 if small else 160), "bomb.jsonl.zst")


@hostile("zstd frame that asks for 2 GB of window", "DATA002 DATA020", None, needs="zstandard")
def _zstd_window(folder: Path, _small: bool) -> Path:
    # RFC 8878, 3.1.1: magic, descriptor without a size, window of 2^(10+21) bytes, one raw block that is the last.
    text = around(good(9))
    head = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + (len(text) << 3 | 1).to_bytes(3, "little")
    return saved(folder, head + text, "window.jsonl.zst")


fixed("gzip cut short", "DATA002 DATA020", None, gzip.compress(around(good(9)) * 50)[:-40], "cut.jsonl.gz")
fixed(
    "gzip with a wrong checksum",
    "DATA002 DATA020",
    None,
    gzip.compress(around(good(9)))[:-8] + b"\xff" * 8,
    "sum.jsonl.gz",
)
fixed("gzip magic and nothing else", "DATA001 DATA002 DATA020", None, b"\x1f\x8b\x08", "magic.jsonl.gz")
fixed("zstd magic and nothing else", "DATA001 DATA002 DATA020", None, b"\x28\xb5\x2f\xfd", "magic.jsonl.zst")


@hostile("csv of a million columns", "DATA003 DATA013 DATA002", None, large=True)
def _wide_csv(folder: Path, _small: bool) -> Path:
    header = b",".join(b"c%d" % number for number in range(1_000_000))
    return saved(folder, [header + b"\n", *[b"," * 999_999 + b"\n"] * 3], "wide.csv")


@hostile("csv with a quote that is never closed", "DATA002 DATA013 DATA020", None, large=True)
def _open_quote(folder: Path, small: bool) -> Path:
    rows = [b"prompt,completion\n", b'why,"because\n']
    return saved(folder, [*rows, *[b"why not,because so\n" * 50_000] * (10 if small else 100)], "open.csv")


fixed(
    "csv with a cell of 300 KB",
    "",
    None,
    b"prompt,completion\n"
    + b"".join(b"why %d,because %d %s\n" % (n, n, b"word " * 60_000 * (n == 3)) for n in range(8)),
    "cell.csv",
)
fixed("csv with NULs", "DATA002 DATA007", None, b"prompt,completion\nwhy,be\0cause\nb,c\n", "nul.csv")
fixed("parquet magic and nothing else", "DATA002 DATA020", None, b"PAR1", "a.parquet")


def _parquet(folder: Path, change: Callable[[bytes], bytes]) -> Path:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [json.loads(good(number)) for number in range(50)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return saved(folder, change(buffer.getvalue()), "table.parquet")


def _lying(name: str, change: Callable[[bytes], bytes]) -> None:
    codes = "DATA002 DATA020"
    hostile(f"parquet: {name}", codes, None, needs="pyarrow")(lambda folder, _: _parquet(folder, change))


_lying("footer longer than the file", lambda data: data[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1")
_lying("footer of no bytes", lambda data: data[:-8] + bytes(4) + b"PAR1")
_lying("footer of zeros", lambda data: data[: -8 - 200] + bytes(200) + data[-8:])
_lying("cut short", lambda data: data[: len(data) // 2])
_lying("data of zeros under a true footer", lambda data: b"PAR1" + bytes(len(data) // 3) + data[4 + len(data) // 3 :])


@hostile("parquet of 40 KB that holds 400 MB", "DATA015", None, large=True, needs="pyarrow")
def _parquet_bomb(folder: Path, _small: bool) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    indices = pa.array([0] * _TABLE_ROWS, pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["word " * 200]))
    pq.write_table(pa.table({"text": column}), folder / "bomb.parquet", compression="zstd")
    return folder / "bomb.parquet"


@hostile("a folder named x.jsonl", "DATA020", None)
def _folder(folder: Path, _small: bool) -> Path:
    (folder / "x.jsonl").mkdir()
    return folder / "x.jsonl"


@hostile("a FIFO", "DATA020", None)
def _fifo(folder: Path, _small: bool) -> Path:
    os.mkfifo(folder / "pipe.jsonl")
    return folder / "pipe.jsonl"


@hostile("a socket", "DATA020", None)
def _socket(folder: Path, _small: bool) -> Path:
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket is 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.jsonl")
    finally:
        os.chdir(here)
    return folder / "socket.jsonl"


@hostile("a link to itself", "DATA020", None)
def _loop(folder: Path, _small: bool) -> Path:
    (folder / "loop.jsonl").symlink_to("loop.jsonl")
    return folder / "loop.jsonl"


@hostile("a link to nothing", "DATA020", None)
def _dangling(folder: Path, _small: bool) -> Path:
    (folder / "gone.jsonl").symlink_to("nowhere.jsonl")
    return folder / "gone.jsonl"


@hostile("a link to /dev/zero", "DATA020", None)
def _device(folder: Path, _small: bool) -> Path:
    (folder / "zero.jsonl").symlink_to("/dev/zero")
    return folder / "zero.jsonl"


@hostile("a folder that holds itself", "DATA020", None)
def _folder_loop(folder: Path, _small: bool) -> Path:
    (folder / "data").mkdir()
    (folder / "data" / "again").symlink_to(folder / "data")
    return folder / "data"


@hostile("a folder with a FIFO beside a shard", "", None)
def _fifo_beside(folder: Path, _small: bool) -> Path:
    (folder / "data").mkdir()
    os.mkfifo(folder / "data" / "notes")
    saved(folder / "data", around(good(9)), "train.jsonl")
    return folder / "data"


@hostile("a path with a NUL", "DATA020", None)
def _nul_path(folder: Path, _small: bool) -> Path:
    return folder / "a\0b.jsonl"


@hostile("a name that is not UTF-8", "DATA002", 5)
def _bytes_name(folder: Path, _small: bool) -> Path:
    return saved(folder, around(b"{broken"), os.fsdecode(b"caf\xe9 \x1b[31m\n.jsonl"))
