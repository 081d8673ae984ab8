"""Rows of CSV and Parquet files as lines of JSON."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import msgspec

from trainguard.facts.data.ranges import BOM
from trainguard.facts.data.records import ProblemKind

# Rows of a Parquet file that are decoded at a time: about so many bytes, by the sizes that the file states.
_BATCH_BYTES = 1_000_000
_MAX_BATCH_ROWS = 4_096
# A table to train on has a handful of columns; a row of a million of them takes more memory than it is worth.
_MAX_COLUMNS = 10_000


class Record(NamedTuple):
    """One row of a CSV file: the line that it ends on, and its JSON or what is wrong with it."""

    line: int
    json: bytes = b""
    wrong: ProblemKind | None = None
    detail: str = ""
    name: str = ""
    text: str = ""
    lines: int = 1


def separated(stream: IO[bytes], delimiter: str, max_line_bytes: int) -> Iterator[Record]:
    """The rows of a file with a header, as datasets 5.2 reads it (pandas: double quotes, doubled within)."""
    lines = _Lines(stream, max_line_bytes)
    before = csv.field_size_limit(max_line_bytes)
    try:
        rows = csv.reader(lines, delimiter=delimiter)
        header = next(rows, None)
        if header is None:
            return
        if len(header) > _MAX_COLUMNS:
            what = f"a header of {len(header):,} columns; what follows was not read"
            yield Record(rows.line_num, wrong="hostile-line", detail=what, name="too many columns")
            return
        last: Record | None = None
        while True:
            first = rows.line_num + 1
            try:
                fields = next(rows, None)
            except csv.Error as error:
                if last is not None:
                    yield last
                    last = None
                yield Record(first, wrong="malformed-json", detail=f"broken CSV: {error}", name="broken CSV")
                if rows.line_num < first:
                    return
                continue
            if last is not None:
                yield _never_closed(last) if fields is None and lines.open_quote and last.lines > 1 else last
                last = None
            if fields is None:
                break
            if fields:
                last = _record(first, header, fields)._replace(lines=rows.line_num + 1 - first)
    finally:
        csv.field_size_limit(before)
    if lines.too_long:
        what = f"a line of more than {max_line_bytes:,} bytes; what follows was not read"
        yield Record(rows.line_num + 1, wrong="hostile-line", detail=what, name="line too long")


def _record(line: int, header: list[str], fields: list[str]) -> Record:
    if any("\0" in field for field in fields):
        return Record(line, wrong="bad-encoding", detail="a NUL byte", name="NUL", text=",".join(fields)[:300])
    if len(fields) > len(header):
        what = f"{len(fields)} fields where the header has {len(header)}"
        return Record(line, wrong="malformed-json", detail=what, name="too many fields", text=",".join(fields)[:300])
    try:
        return Record(line, msgspec.json.encode(dict(zip(header, fields, strict=False))))
    except UnicodeEncodeError:
        text = ",".join(fields)[:300].encode("utf-8", "replace").decode()
        return Record(line, wrong="bad-encoding", detail="not UTF-8", name="invalid UTF-8", text=text)


def _never_closed(row: Record) -> Record:
    """The last row, where its quote goes on to the end of the file: pandas stops at it ("EOF inside string")."""
    detail = f"a quote that opens in line {row.line} is never closed, so that the rest of the file is one row"
    return Record(
        row.line,
        wrong="malformed-json",
        detail=detail,
        name="open quote",
        text=row.json[:300].decode("utf-8", "replace"),
    )


class _Lines:
    """The lines of a stream as text; bytes that are not UTF-8 become lone surrogates. Ends at a line over the limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._first = True
        self.too_long = False
        self.open_quote = False  # by the number of quotes so far

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(self._limit + 1):
            if len(line) > self._limit:
                self.too_long = True
                return
            if self._first:
                line = line.removeprefix(BOM)
                self._first = False
            if line.count(b'"') % 2:
                self.open_quote = not self.open_quote
            yield line.decode("utf-8", "surrogateescape")


def parquet(stream: IO[bytes]) -> Iterator[bytes | str]:
    """Each row as JSON; a string instead says why a row is none. Columns of binary data (images) are left out."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with pq.ParquetFile(stream, pre_buffer=False, memory_map=False) as file:
        schema = file.schema_arrow
        names = [field.name for field in schema if not _binary(pa, field.type)]
        data = file.metadata
        size = sum(data.row_group(i).total_byte_size for i in range(data.num_row_groups))
        rows = max(1, min(_MAX_BATCH_ROWS, int(_BATCH_BYTES * data.num_rows / max(size, 1))))
        for batch in file.iter_batches(batch_size=rows, columns=names, use_threads=False):
            for i in range(batch.num_rows) if batch.num_rows else ():
                yield _json(batch, i)


def _json(batch: Any, row: int) -> bytes | str:
    try:
        value = batch.slice(row, 1).to_pylist()[0]
        return msgspec.json.encode(value, enc_hook=str)
    except UnicodeError:
        return "a string is not UTF-8"
    except (TypeError, ValueError, RecursionError) as error:
        return f"a value has no JSON: {error}"


def _binary(pa: Any, kind: Any) -> bool:
    """Whether a column holds bytes, by itself or in a struct, as images and sounds are kept by datasets."""
    types = pa.types
    if types.is_struct(kind):
        return any(_binary(pa, kind.field(i).type) for i in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind):
        return _binary(pa, kind.value_type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))
