"""Files that are not plain JSON Lines -> blocks of JSON Lines, so that all rows are judged by the same code.

Each row becomes one line of JSON. Compressed files are unpacked as a stream, JSON documents are cut into the elements
of their array without being held, Parquet is read in batches of rows.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from typing import IO

import msgspec

from trainguard.facts.data import documents, frames
from trainguard.facts.data.blocks import BlockReader
from trainguard.facts.data.ranges import BLOCK_BYTES, BOM, ChangedError, Range, open_regular
from trainguard.facts.data.tally import Tally

# A tally is sent after so many bytes of rows, so that none grows with the file.
_TALLY_BYTES = 8_000_000
# A line without an end is passed over up to here: what unpacks to more without a newline is no text.
_MAX_SKIPPED_BYTES = 2_000_000_000
# Up to 128 MiB of memory: what `zstd --long=27` writes, and all that zstd itself unpacks unasked.
_ZSTD_WINDOW_BYTES = 2**27
EXTRA = 'pip install "trainguard[data]"'


class BrokenError(Exception):
    """The file cannot be read further; the words say why."""


def tallies(reader: BlockReader, part: Range, max_line_bytes: int, sample: int | None = None) -> Iterator[Tally]:
    """The tallies of a whole file but the last, which is left in the reader. Raises OSError and BrokenError.

    With `sample`, of about so many rows from the start.
    """
    ways: dict[str, Callable[[BlockReader, IO[bytes], int], Iterator[None]]] = {
        "jsonl": _json_lines,
        "json": _json_document,
        "text": _text,
        "csv": _csv,
        "parquet": _parquet,
    }
    try:
        with os.fdopen(open_regular(part.path), "rb") as file, _unpacked(file, part.compression) as stream:
            way = _tab_separated if part.format == "csv" and ".tsv" in part.path[-8:].lower() else ways[part.format]
            before = reader.rows_read
            for _ in way(reader, stream, max_line_bytes):
                if sample is not None and reader.rows_read - before >= sample:
                    break
                if reader.pending_bytes >= _TALLY_BYTES:
                    yield reader.finish()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenError(f"broken gzip: {str(error).rstrip('.')}") from None
    except OSError:
        raise
    except Exception as error:
        if isinstance(error, (BrokenError, ChangedError)) or type(error).__module__.split(".")[0] not in _LIBRARIES:
            raise
        raise BrokenError(f"broken {part.compression or part.format}: {_first_line(error)}") from None


_LIBRARIES = ("zstandard", "pyarrow")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _unpacked(file: IO[bytes], compression: str | None) -> IO[bytes]:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[return-value]
    if compression == "zstd":
        try:
            import zstandard
        except ImportError:
            raise BrokenError(f"reading zstd needs zstandard: {EXTRA}") from None
        if not frames.whole(file.fileno()):
            raise BrokenError("broken zstd: the file is cut short within a frame")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        return unpacker.stream_reader(file, read_across_frames=True)
    return file


def _json_lines(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[None]:
    for block in _blocks(reader, stream, max_line_bytes):
        reader.read(block)
        yield


def _blocks(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[bytes]:
    """Whole lines; a line over the limit is told to the reader and passed over."""
    rest = b""
    first = True
    while True:
        piece = stream.read(max(BLOCK_BYTES, len(rest)))
        if first and piece.startswith(BOM):
            reader.mark()
            piece = piece[len(BOM) :]
        first = False
        if not piece:
            if rest:
                yield rest
            return
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
            continue
        rest += piece
        if len(rest) > max_line_bytes:
            text = rest[:300].decode("utf-8", "replace")
            reader.line("hostile-line", text, f"a line of more than {max_line_bytes:,} bytes", "line too long")
            rest = _pass_over(stream)


def _pass_over(stream: IO[bytes]) -> bytes:
    """Reads to the next newline; what was read after it."""
    skipped = 0
    while piece := stream.read(BLOCK_BYTES):
        found = piece.find(b"\n") + 1
        if found:
            return piece[found:]
        skipped += len(piece)
        if skipped > _MAX_SKIPPED_BYTES:
            raise BrokenError(f"a line of more than {_MAX_SKIPPED_BYTES:,} bytes; what follows was not read")
    return b""


def _text(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[None]:
    """A row a line, as the text loader of datasets 5.2 reads it (packaged_modules/text, sample_by="line")."""
    encode = msgspec.json.encode
    for block in _blocks(reader, stream, max_line_bytes):
        lines: list[bytes] = []
        for line in block.split(b"\n") if not block.endswith(b"\n") else block[:-1].split(b"\n"):
            try:
                text = line.decode("utf-8").rstrip("\r")
            except UnicodeDecodeError as error:
                _flush(reader, lines)
                what = f"byte 0x{line[error.start]:02x} is not UTF-8"
                reader.line("bad-encoding", line[:300].decode("utf-8", "replace"), what, "invalid UTF-8")
                continue
            lines.append(encode({"text": text}) if text.strip() else b"")
        _flush(reader, lines)
        yield


def _flush(reader: BlockReader, lines: list[bytes]) -> None:
    """Gives the lines to the reader, and empties the list."""
    if lines:
        reader.read(b"\n".join(lines) + b"\n")
        lines.clear()


def _json_document(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[None]:
    lines: list[bytes] = []
    size = 0
    head = stream.read(len(BOM))
    if head == BOM:
        reader.mark()
        head = b""
    try:
        for element in documents.elements(stream, max_line_bytes, head):
            lines.append(element.replace(b"\n", b" ").replace(b"\r", b" "))
            size += len(element)
            if size >= BLOCK_BYTES:
                _flush(reader, lines)
                size = 0
                yield
    except documents.DocumentError as error:
        _flush(reader, lines)
        reader.line(error.kind, error.text, str(error), error.name)
    _flush(reader, lines)


def _tab_separated(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[None]:
    return _separated(reader, stream, max_line_bytes, "\t")


def _csv(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[None]:
    return _separated(reader, stream, max_line_bytes, ",")


def _separated(reader: BlockReader, stream: IO[bytes], max_line_bytes: int, delimiter: str) -> Iterator[None]:
    from trainguard.facts.data import tables

    lines: list[bytes] = []
    size = 0
    for row in tables.separated(stream, delimiter, max_line_bytes):
        if row.wrong:
            _flush(reader, lines)
            reader.number(row.line)
            reader.line(row.wrong, row.text, row.detail, row.name)
            continue
        reader.number(row.line)
        lines.append(row.json)
        size += len(row.json)
        if size >= BLOCK_BYTES:
            _flush(reader, lines)
            size = 0
            yield
    _flush(reader, lines)


def _parquet(reader: BlockReader, stream: IO[bytes], max_line_bytes: int) -> Iterator[None]:
    from trainguard.facts.data import tables

    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise BrokenError(f"reading Parquet needs pyarrow: {EXTRA}") from None
    lines: list[bytes] = []
    size = 0
    for row in tables.parquet(stream):
        if isinstance(row, str):
            _flush(reader, lines)
            reader.line("bad-encoding", "", row, "invalid UTF-8")
            continue
        if len(row) > max_line_bytes:
            _flush(reader, lines)
            what = f"a row of more than {max_line_bytes:,} bytes"
            reader.line("hostile-line", row[:300].decode("utf-8", "replace"), what, "line too long")
            continue
        lines.append(row)
        size += len(row)
        if size >= BLOCK_BYTES:
            _flush(reader, lines)
            size = 0
            yield
    _flush(reader, lines)
