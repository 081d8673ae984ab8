"""Rows that resemble an earlier row: candidates by MinHash (the rensa library), each verified by its shingles.

Workers make a signature of each row; the parent keeps the band hashes of the signatures in memory and the sketches in
a temporary file, and compares at the end. Two rows are near-duplicates when

* three quarters of their own shingles are shared (Jaccard; own: not of what many rows say, see `_FREQUENT`), and
* half of the words of their last answers are: rows that ask different things about one passage are no duplicates.

Rows of fewer than MIN_SHINGLES are not looked at: short questions and answers resemble each other by chance.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import xxhash

from trainguard.facts.data.options import Options
from trainguard.facts.data.records import MAX_SAMPLES, Sample
from trainguard.facts.data.shingles import Shingle, parts, shingles

# Chosen on made data (tests/facts/test_data_near.py, seed A), scored once on others (seed B).
THRESHOLD = 0.75
ANSWER_THRESHOLD = 0.5
MIN_SHINGLES = 12
# 32 bands of 4: a pair of Jaccard 0.75 is a candidate with probability 1 - (1 - 0.75**4)**32 > 0.9999, one of 0.3 with
# 0.23. With frequent shingles among them, pairs are more alike than their own shingles are, never less by much.
PERMUTATIONS = 128
BANDS = 32
_BAND = PERMUTATIONS // BANDS
SEED = 20240501
# The smallest hashes of a row's shingles and answer words that are kept: all of them for most rows, so that the
# Jaccard index is exact; for longer rows a bottom-k sketch of it (Broder 1997), with a standard error under 0.03.
SKETCH = 256
ANSWER_SKETCH = 48
# Rows that are compared: 128 bytes each for bands in memory, and some 1.2 KB in the temporary file.
MAX_ROWS = 500_000
# A shingle is what many rows say where it stands in more than this share of rows, and in this many.
_FREQUENT, _FREQUENT_ROWS = 0.05, 20
_FREQUENT_SAMPLE = 2_000
# Of the rows that share a band with a row, these are compared with it: the first, and the last few before it.
_COMPARED = 3
# A band whose rows never turn out alike is left after so many comparisons.
_PATIENCE = 60


class MissingLibraryError(Exception):
    """rensa is not installed."""


class _Sketch(msgspec.Struct, array_like=True):
    """A row as it is compared: little-endian 32-bit hashes in `bands`, `shingles` and `answer`, the latter sorted."""

    content: int  # of the whole row: the same for exact duplicates, which are counted elsewhere
    choice: int  # decides whether the row is in a sample; near-duplicates mostly have the same
    bands: bytes
    shingles: bytes
    count: int
    answer: bytes
    answers: int


class Sketcher:
    """Makes signatures. Raises MissingLibraryError."""

    def __init__(self, options: Options) -> None:  # noqa: ARG002 - the form of all that workers ask
        try:
            from rensa import RMinHash  # type: ignore[import-untyped]
        except ImportError:
            raise MissingLibraryError('rensa is not installed (pip install "trainguard[data]")') from None
        self._library = RMinHash

    def signature(self, row: Mapping[str, Any]) -> bytes:
        """The row's signature, b"" for a row that is too short to be compared."""
        found, answer = parts(row)
        hashed = _hashes(shingles(found))
        if len(hashed) < MIN_SHINGLES:
            return b""
        matrix = self._library.digest_matrix_from_token_hash_sets([hashed], PERMUTATIONS, SEED)
        digest = array("I", matrix.to_rows()[0]).tobytes()
        bands = array(
            "I", (xxhash.xxh32_intdigest(digest[4 * at : 4 * (at + _BAND)]) for at in range(0, len(digest) // 4, _BAND))
        )
        words = {xxhash.xxh32_intdigest(word.encode("utf-8", "replace")) for word in answer}
        try:
            content = xxhash.xxh3_64_intdigest(msgspec.json.encode(row))
        except (ValueError, TypeError, RecursionError):
            content = xxhash.xxh3_64_intdigest(repr(sorted(hashed)).encode())
        sketch = _Sketch(
            content=content,
            choice=xxhash.xxh32_intdigest(digest[:4]),
            bands=bands.tobytes(),
            shingles=_smallest({each & 0xFFFFFFFF for each in hashed}, SKETCH),
            count=len(hashed),
            answer=_smallest(words, ANSWER_SKETCH),
            answers=len(words),
        )
        return msgspec.msgpack.encode(sketch)


def _hashes(found: Iterable[Shingle]) -> list[int]:
    digest = xxhash.xxh3_64_intdigest
    return [digest(" ".join(each).encode("utf-8", "replace")) for each in found]


def _smallest(hashes: set[int], most: int) -> bytes:
    return array("I", sorted(hashes)[:most]).tobytes()


class _Row(msgspec.Struct):
    path: int
    line: int | None
    at: int
    size: int
    choice: int
    content: int


class NearDuplicates:
    """Takes the signatures of all rows in the order of the files, and compares them at the end.

    Over `limit` rows it looks at a sample: near-duplicates are in it or out of it together, mostly, because a row is
    chosen by its MinHash. `finish` gives the number of rows that resemble an earlier one, the rows that were looked at,
    and samples.
    """

    def __init__(self, *, limit: int = MAX_ROWS, frequent_rows: int = _FREQUENT_ROWS) -> None:
        self._limit, self._frequent_rows = limit, frequent_rows
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this object lives
        self._rows: list[_Row] = []
        self._paths: list[str] = []
        self._bands = array("I")
        self._one_in = 1

    def add(self, path: str, line: int | None, signature: bytes, text: str) -> None:
        """One row; b"" for `signature` is a row that is not compared. `text` is shown if it is a duplicate."""
        if not signature:
            return
        sketch = msgspec.msgpack.decode(signature, type=_Sketch)
        if sketch.choice % self._one_in:
            return
        if not self._paths or self._paths[-1] != path:
            self._paths.append(path)
        record = msgspec.msgpack.encode((sketch.shingles, sketch.count, sketch.answer, sketch.answers, text))
        at = self._file.seek(0, 2)
        self._file.write(record)
        self._rows.append(
            _Row(
                path=len(self._paths) - 1,
                line=line,
                at=at,
                size=len(record),
                choice=sketch.choice,
                content=sketch.content,
            )
        )
        self._bands.frombytes(sketch.bands)
        if len(self._rows) > self._limit:
            self._halve()

    def _halve(self) -> None:
        while len(self._rows) > self._limit and self._one_in < 1 << 31:
            self._one_in *= 2
            kept = [index for index, row in enumerate(self._rows) if row.choice % self._one_in == 0]
            bands = array("I")
            for index in kept:
                bands.extend(self._bands[index * BANDS : (index + 1) * BANDS])
            self._rows, self._bands = [self._rows[index] for index in kept], bands

    def finish(self) -> tuple[int, int, tuple[Sample, ...]]:
        """The near-duplicates, the rows looked at, and the first few of them."""
        frequent = self._frequent()
        seen: set[int] = set()
        repeats = set()  # exact duplicates of an earlier row
        for index, row in enumerate(self._rows):
            if row.content in seen:
                repeats.add(index)
            seen.add(row.content)
        del seen
        near: dict[int, int] = {}
        for band in range(BANDS):
            buckets: dict[int, list[int]] = defaultdict(list)
            for index, value in enumerate(self._bands[band::BANDS]):
                buckets[value].append(index)
            for bucket in buckets.values():
                if len(bucket) > 1:
                    self._compare(bucket, near, repeats, frequent)
        samples = []
        for index in sorted(near)[:MAX_SAMPLES]:
            row, like = self._rows[index], self._rows[near[index]]
            other = "" if like.path == row.path else f" of {self._paths[like.path]}"
            text = str(self._read(row)[4])
            samples.append(
                Sample(
                    path=self._paths[row.path], line=row.line, text=text, detail=f"resembles line {like.line}{other}"
                )
            )
        looked_at = len(self._rows)
        self._file.close()
        return len(near), looked_at, tuple(samples)

    def _compare(self, bucket: list[int], near: dict[int, int], repeats: set[int], frequent: frozenset[int]) -> None:
        earlier: list[int] = []
        failed = 0
        found = False
        for index in bucket:
            if index in repeats:
                continue
            if index not in near and earlier:
                for other in dict.fromkeys((earlier[0], *earlier[-_COMPARED:])):
                    if self._alike(index, other, frequent):
                        near[index] = other
                        found = True
                        break
                    failed += 1
                if failed > _PATIENCE and not found:
                    return
            if index not in near:
                earlier.append(index)

    def _alike(self, one: int, other: int, frequent: frozenset[int]) -> bool:
        first, second = self._read(self._rows[one]), self._read(self._rows[other])
        answers = min(first[3], second[3])
        if answers and _jaccard(first[2], second[2], frozenset(), ANSWER_SKETCH, 1) < ANSWER_THRESHOLD:
            return False
        return _jaccard(first[0], second[0], frequent, SKETCH, MIN_SHINGLES) >= THRESHOLD

    def _read(self, row: _Row) -> Any:
        self._file.seek(row.at)
        return msgspec.msgpack.decode(self._file.read(row.size))

    def _frequent(self) -> frozenset[int]:
        """Shingles of what many rows say, such as the fixed words of a prompt."""
        step = max(1, len(self._rows) // _FREQUENT_SAMPLE)
        chosen = self._rows[::step]
        counts: Counter[int] = Counter()
        for row in chosen:
            counts.update(array("I", self._read(row)[0]))
        least = max(self._frequent_rows, int(_FREQUENT * len(chosen)))
        return frozenset(each for each, count in counts.items() if count > least)


def _jaccard(one: bytes, other: bytes, without: frozenset[int], size: int, least: int) -> float:
    """The Jaccard index of two sketches of at most `size` hashes; 0 where either has fewer than `least` that count.

    Exact where both hold all hashes of their rows. Else of the smallest hashes of both together, as many as the shorter
    range of the two covers.
    """
    first, second = array("I", one), array("I", other)
    ends = [part[-1] for part in (first, second) if len(part) == size]
    end = min(ends) if ends else None
    left = {each for each in first if (end is None or each <= end) and each not in without}
    right = {each for each in second if (end is None or each <= end) and each not in without}
    if len(left) < least or len(right) < least:
        return 0.0
    return len(left & right) / len(left | right)
