"""A range of a file of lines -> blocks of whole lines, by plain reads of bounded size.

A line belongs to the range in which it begins. Memory-mapping would be no faster, and a mapped file that is cut short
under the reader ends the process with SIGBUS; a plain read only returns less.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trainguard.facts.data.blocks import BlockReader
from trainguard.facts.data.tally import Tally

# Two blocks and what is decoded of them stay within a processor's second-level cache (1 MB on today's servers): on an
# AMD EPYC, blocks of 256 KiB were read 1.2 times as fast as blocks of 4 MiB.
BLOCK_BYTES = 256 * 1024
BOM = b"\xef\xbb\xbf"


class Range(msgspec.Struct, kw_only=True):
    """The lines that begin in [start, end) of a file; end None: all that a stream of another format gives.

    `size` is that of the file when the ranges were made. With `count`, lines are counted and not looked at.
    """

    path: str
    start: int = 0
    end: int | None = None
    size: int = 0
    format: str = "jsonl"
    compression: str | None = None
    count: bool = False


class ChangedError(Exception):
    """The file is not what it was when it was first looked at."""


def open_regular(path: str | Path) -> int:
    """A descriptor of a regular file; raises OSError. A FIFO or a device is refused without waiting for it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return descriptor


def read_lines(reader: BlockReader, part: Range, max_line_bytes: int) -> None:
    """Gives the lines of a range to the reader. Raises ChangedError or OSError where it cannot be read to its end."""
    descriptor = open_regular(part.path)
    try:
        end = part.size if part.end is None else part.end
        start = part.start
        if start:
            # The byte before may end a line, so that one begins right at the start.
            found = _after_newline(descriptor, start - 1, end - 1)
            if found is None:
                return
            start = found
        elif os.pread(descriptor, len(BOM), 0) == BOM:
            reader.mark()
            start = len(BOM)
        if part.count:
            reader.skip(1 + _count_newlines(descriptor, start, end - 1) if start < end else 0)
        else:
            _read(reader, descriptor, start, end, part.size, max_line_bytes)
    finally:
        os.close(descriptor)


def _read(reader: BlockReader, descriptor: int, start: int, end: int, size: int, max_line_bytes: int) -> None:
    at, length = start, BLOCK_BYTES
    while at < end:
        piece = os.pread(descriptor, min(length, size - at), at)
        if not piece:
            raise ChangedError(f"it ended at byte {at:,} of {size:,}")
        if len(piece) < min(length, size - at) and not os.pread(descriptor, 1, at + len(piece)):
            raise ChangedError(f"it ended at byte {at + len(piece):,} of {size:,}")
        cut = _cut(piece, end - at, last=at + len(piece) >= size)
        if cut:
            piece = piece if cut == len(piece) else piece[:cut]
            reader.read(piece)
            at, length = at + cut, BLOCK_BYTES
        elif len(piece) <= max_line_bytes:
            length = min(2 * max(length, len(piece)), max_line_bytes + 1)
        else:
            text = piece[:300].decode("utf-8", "replace")
            reader.line("hostile-line", text, f"a line of more than {max_line_bytes:,} bytes", "line too long")
            found = _after_newline(descriptor, at, end)
            if found is None:
                return
            at, length = found, BLOCK_BYTES


def _cut(piece: bytes, limit: int, *, last: bool) -> int:
    """How much of the piece is whole lines that begin before `limit`; 0 for less than a line. `last`: the file ends."""
    if len(piece) < limit:
        return len(piece) if last else piece.rfind(b"\n") + 1
    end = piece.find(b"\n", limit - 1) + 1
    if end:
        return end
    return len(piece) if last else piece.rfind(b"\n", 0, limit - 1) + 1


def _after_newline(descriptor: int, at: int, end: int) -> int | None:
    """The offset after the first newline in [at, end), None without one."""
    while at < end:
        piece = os.pread(descriptor, min(BLOCK_BYTES, end - at), at)
        if not piece:
            raise ChangedError(f"it ended at byte {at:,}")
        found = piece.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(piece)
    return None


def _count_newlines(descriptor: int, at: int, end: int) -> int:
    count = 0
    while at < end:
        piece = os.pread(descriptor, min(BLOCK_BYTES, end - at), at)
        if not piece:
            raise ChangedError(f"it ended at byte {at:,}")
        count += piece.count(b"\n")
        at += len(piece)
    return count


def tallies(reader: BlockReader, part: Range, max_line_bytes: int) -> Iterator[Tally]:
    """The tallies of a range, in order: one for a range of lines, one for each few MB of a stream. Raises nothing."""
    from trainguard.facts.data import streams

    try:
        if part.format == "jsonl" and part.compression is None:
            read_lines(reader, part, max_line_bytes)
        else:
            yield from streams.tallies(reader, part, max_line_bytes, reader.sample)
    except ChangedError as error:
        tally = reader.finish()
        tally.error = f"changed while it was read: {error}"
        yield tally
    except streams.BrokenError as error:
        tally = reader.finish()
        tally.error = str(error)
        yield tally
    except OSError as error:
        tally = reader.finish()
        tally.error = error.strerror or str(error)
        yield tally
    else:
        yield reader.finish()
