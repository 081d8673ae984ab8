"""Rows that stand in the data more than once, byte for byte: by a 64-bit hash of each line, in bounded memory."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from typing import NamedTuple

# Hashes are kept in memory up to so many bytes (8 a row), and in a temporary file beyond.
_MEMORY_BYTES = 32_000_000
# A Python set of so many hashes takes about 70 MB.
_SET_ROWS = 750_000
_SAMPLES = 5


class Repeat(NamedTuple):
    """A row that is the same as an earlier one: positions as they were added, and places as their callers know them."""

    part: int
    line: int
    first_part: int
    first_line: int


class ExactDuplicates:
    """Takes the hashes of rows in order; tells at the end how many repeat an earlier one, and the first few of those.

    Two different lines share a hash of 64 bits once in 4e5 files of ten million rows (the square of the rows over
    2**65), which is taken for a repeat.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self._segments: list[tuple[int, int, int]] = []  # (part, line of the first, number of hashes)
        self._rows = 0

    def add(self, part: int, line: int, hashes: bytes) -> None:
        """Hashes of the lines from `line` on of a part (a file), 8 bytes each; zeros for a line without a row."""
        count = len(hashes) // 8
        self._file.write(hashes)
        if self._segments:
            last = self._segments[-1]
            if last[0] == part and last[1] + last[2] == line:
                self._segments[-1] = (part, last[1], last[2] + count)
                self._rows += count
                return
        self._segments.append((part, line, count))
        self._rows += count

    def close(self) -> None:
        """Gives the temporary file back."""
        self._file.close()

    def result(self) -> tuple[int, list[Repeat]]:
        """The number of rows that repeat an earlier one, and the first few of them in order."""
        parts = -(-self._rows // _SET_ROWS)
        if parts <= 1:
            repeats = _count(self._chunks())
            return repeats, self._places(_first_repeated(self._chunks(), _SAMPLES)) if repeats else []
        repeats = 0
        repeated: set[int] = set()
        for partition in self._partitions(parts):
            more = _count(iter([partition]))
            repeats += more
            # Enough of them to find the first places by; a file of nothing but repeats has them early.
            if more and len(repeated) < _SET_ROWS:
                repeated |= _first_repeated(iter([partition]), _SET_ROWS)
        return repeats, self._places(repeated) if repeated else []

    def _chunks(self, rows: int = 131_072) -> Iterator[array[int]]:
        self._file.seek(0)
        while data := self._file.read(8 * rows):
            yield array("Q", data)

    def _partitions(self, parts: int) -> Iterator[array[int]]:
        """The hashes by ranges of their value: each chunk is sorted, and cut where the ranges begin."""
        from bisect import bisect_left

        width = 2**64 // parts + 1
        cuts: list[list[tuple[int, int]]] = [[] for _ in range(parts)]
        with tempfile.TemporaryFile() as sorted_file:
            at = 0
            for chunk in self._chunks():
                ordered = sorted(chunk)
                start = 0
                for part in range(parts):
                    end = bisect_left(ordered, (part + 1) * width, start)
                    cuts[part].append((at + start, end - start))
                    start = end
                array("Q", ordered).tofile(sorted_file)
                at += len(ordered)
            for pieces in cuts:
                values: array[int] = array("Q")
                for start, count in pieces:
                    sorted_file.seek(8 * start)
                    values.frombytes(sorted_file.read(8 * count))
                yield values

    def _places(self, repeated: set[int]) -> list[Repeat]:
        """The first repeats in order. A hash comes first where it was first added."""
        seen: dict[int, tuple[int, int]] = {}
        found: list[Repeat] = []
        segments = iter(self._segments)
        part, line, left = 0, 0, 0
        for chunk in self._chunks():
            at = 0
            while at < len(chunk):
                if not left:
                    part, line, left = next(segments)
                take = min(left, len(chunk) - at)
                some = chunk[at : at + take]
                if not repeated.isdisjoint(some):
                    for offset, value in enumerate(some):
                        if value in repeated:
                            if value in seen:
                                found.append(Repeat(part, line + offset, *seen[value]))
                                if len(found) == _SAMPLES:
                                    return found
                            else:
                                seen[value] = (part, line + offset)
                at, line, left = at + take, line + take, left - take
        return found


def _count(chunks: Iterator[array[int]]) -> int:
    """The values that were there before, in all the chunks together."""
    seen: set[int] = {0}
    repeats = 0
    for chunk in chunks:
        before = len(seen)
        seen.update(chunk)
        repeats += len(chunk) - chunk.count(0) - (len(seen) - before)
    return repeats


def _first_repeated(chunks: Iterator[array[int]], most: int) -> set[int]:
    """The values of the first `most` repeats, in order."""
    seen: set[int] = set()
    repeated: set[int] = set()
    repeats = 0
    for chunk in chunks:
        before = len(seen)
        if seen.isdisjoint(chunk):
            seen.update(chunk)
            if len(seen) - before == len(chunk):
                continue
            seen.difference_update(chunk)
        for value in chunk:
            if value and value in seen:
                repeated.add(value)
                repeats += 1
                if repeats == most:
                    return repeated
            seen.add(value)
    return repeated
