"""The rows of training data one by one, for what needs all of a small set, such as the evaluation data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trainguard.facts.data.blocks import BlockReader
from trainguard.facts.data.faults import with_nan
from trainguard.facts.data.folders import shards_of
from trainguard.facts.data.formats import kind_of
from trainguard.facts.data.options import MAX_LINE_BYTES, Options
from trainguard.facts.data.ranges import ChangedError, Range
from trainguard.facts.data.streams import BrokenError, tallies


class _Collector(BlockReader):
    """Keeps the rows of each block, until they are taken, instead of judging them."""

    def __init__(self) -> None:
        super().__init__(Options(path=""))
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def read(self, block: bytes) -> None:
        first = self.lines
        lines = block.split(b"\n")
        for number, line in enumerate(lines, first + 1):
            if line.strip():
                row = _row(line)
                if row is not None:
                    self.rows.append((self.line_of(number), row))
        self.skip(len(lines) - (not lines[-1]), size=len(block))


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        return with_nan(line, error)
    return row if isinstance(row, dict) else None


def iterate(path: Path, format: str | None = None) -> Iterator[tuple[Path, int, dict[str, Any]]]:  # noqa: A002
    """(file, line or row from 1, row) of a file or a folder; what cannot be read is passed over. Raises nothing."""
    try:
        files = shards_of(path).files if path.is_dir() else [path]
    except OSError:
        return
    for file in files:
        try:
            kind = kind_of(file, format)
            size = os.stat(file).st_size
            if not size or kind.format is None or kind.refused or kind.encoding:
                continue
            part = Range(path=str(file), size=size, format=kind.format, compression=kind.compression)
            yield from ((file, line, row) for line, row in _of(part))
        except (OSError, ValueError, BrokenError, ChangedError):
            continue


def _of(part: Range) -> Iterator[tuple[int, dict[str, Any]]]:
    collector = _Collector()
    base = 0
    for tally in tallies(collector, part, MAX_LINE_BYTES):
        rows, collector.rows = collector.rows, []
        for line, row in rows:
            yield base + line, row
        base += tally.lines if not tally.numbers else 0
    for line, row in collector.rows:
        yield base + line, row
