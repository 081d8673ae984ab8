"""Rows of the evaluation data that stand in the training data, exactly or nearly.

The evaluation data is held, the training rows go by. A row leaks exactly when a training row says the same but for
case, punctuation and white space. It leaks nearly when four fifths of its own shingles stand in one training row and
so do the words of its answer: then a training row was derived from it, or holds it among other turns. A question about
a passage that training rows ask other things about is no leak, and neither are rows too short to be told apart.

Candidates are found by exact lookup of a few shingles of each evaluation row, which finds more than MinHash does and
takes no library: only the evaluation data has to fit.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import xxhash

from trainguard.facts.data.records import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES, Leak, Sample
from trainguard.facts.data.shingles import Shingle, parts, shingles

# Chosen on made data (tests/facts/test_data_leak.py, seed A), scored once on others (seed B).
THRESHOLD = 0.8
ANSWER_THRESHOLD = 0.7
# An answer of no more words than this stands in a training row only as it is: a passage holds many words.
SHORT_ANSWER = 12
# Words of an exact leak: "Hi. - Hello, how can I help you?" stands in every data set.
MIN_WORDS = 10
# Own shingles of a near leak.
MIN_SHINGLES = 15
# Shingles of each evaluation row that are looked up, and how many of them make a candidate. A row with four fifths of
# its shingles in a training row has 4 of 12 there with probability 0.9999 (binomial).
ANCHORS, CANDIDATE = 12, 4
# A shingle is what many rows say where it stands in two evaluation rows and in more than this share of them.
_FREQUENT = 0.01
# Evaluation rows that are looked for nearly: some 5 KB each. All are looked for exactly, at some 100 bytes each.
MAX_NEAR_ROWS = 20_000
_NEAR_SHINGLES = 2_000


class _State(msgspec.Struct):
    """What workers have to know: hashes of contents by row, and the shingles of rows that are looked for nearly."""

    exact: dict[int, int]
    near: dict[int, tuple[list[str], bytes, list[str]]]  # row -> anchors, hashes of own shingles, words of the answer


class EvalIndex:
    """The evaluation rows, made by `build` in the parent and by `from_state` in workers."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._anchors: dict[Shingle, list[int]] = {}
        for row, (anchors, _, _) in state.near.items():
            for anchor in anchors:
                one, two, three = anchor.split(" ")
                self._anchors.setdefault((one, two, three), []).append(row)
        self._own = {row: frozenset(array("Q", own)) for row, (_, own, _) in state.near.items()}
        self.rows = 0
        self.path = ""
        self.repeats: Counter[int] = Counter()  # evaluation rows that say the same, by the first of them
        self._exact: dict[int, tuple[int, str]] = {}
        self._near: dict[int, tuple[int, str]] = {}

    @classmethod
    def build(
        cls, rows: Iterable[tuple[Any, Any, Mapping[str, Any]]], *, path: str = "", near: bool = True
    ) -> EvalIndex:
        """From (path, line, row) of the evaluation data, in order; `path` is how it is named in the answer."""
        exact: dict[int, int] = {}
        repeats: Counter[int] = Counter()
        kept: list[tuple[int, set[Shingle], list[str]]] = []
        counts: Counter[Shingle] = Counter()
        total = 0
        for _, _, row in rows:
            number, total = total, total + 1
            found, answer = parts(row)
            if len(found) >= MIN_WORDS:
                repeats[exact.setdefault(_content(found), number)] += 1
            own = shingles(found[:_NEAR_SHINGLES])
            if near and len(own) >= MIN_SHINGLES and len(kept) < MAX_NEAR_ROWS:
                kept.append((number, own, answer))
                counts.update(own)
        least = max(1, int(_FREQUENT * len(kept)))
        frequent = {each for each, count in counts.items() if count > least}
        state = _State(exact=exact, near={})
        for number, own, answer in kept:
            rare = own - frequent
            if len(rare) >= MIN_SHINGLES:
                ordered = sorted((_hash(each), each) for each in rare)
                anchors = [" ".join(each) for _, each in ordered[:ANCHORS]]
                state.near[number] = (
                    anchors,
                    array("Q", [value for value, _ in ordered]).tobytes(),
                    answer[:_NEAR_SHINGLES],
                )
        index = cls(state)
        index.rows, index.path, index.repeats = total, path, repeats
        return index

    def to_state(self) -> dict[str, Any]:
        """What workers need, as msgpack can send it."""
        return dict(msgspec.to_builtins(self._state, str_keys=False))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EvalIndex:
        return cls(msgspec.convert(state, _State, strict=False))

    def look(self, path: str, number: int, row: Mapping[str, Any]) -> None:  # noqa: ARG002 - the form of all probes
        """One training row, with its number in the range."""
        found, _ = parts(row)
        if len(found) >= MIN_WORDS:
            exact = self._state.exact.get(_content(found))
            if exact is not None:
                self._exact.setdefault(exact, (number, _shown(row)))
                return
        if not self._anchors:
            return
        hits: Counter[int] = Counter()
        anchors = self._anchors
        present = shingles(found)
        for anchor in filter(anchors.__contains__, present):
            hits.update(anchors[anchor])
        words: set[str] | None = None
        hashes: set[int] | None = None
        for candidate, count in hits.items():
            if count < CANDIDATE or candidate in self._near or candidate in self._exact:
                continue
            if hashes is None or words is None:
                hashes, words = {_hash(each) for each in present}, set(found)
            own, answer = self._own[candidate], self._state.near[candidate][2]
            if len(own & hashes) < THRESHOLD * len(own):
                continue
            if _holds(found, words, answer):
                self._near[candidate] = (number, _shown(row))

    def hits(self) -> dict[str, Any]:
        """The evaluation rows that were found since the last call, with the training row where each stands."""
        found = {"exact": self._exact, "near": self._near}
        self._exact, self._near = {}, {}
        return found


def _holds(found: list[str], words: set[str], answer: list[str]) -> bool:
    """Whether the answer of an evaluation row, if it has one, stands in a training row."""
    if len(answer) <= SHORT_ANSWER:
        return f" {' '.join(answer)} ".replace("  ", " ") in f" {' '.join(found)} "
    wanted = set(answer)
    return len(words & wanted) >= ANSWER_THRESHOLD * len(wanted)


def _hash(shingle: Shingle) -> int:
    return xxhash.xxh3_64_intdigest(" ".join(shingle).encode("utf-8", "replace"))


def _content(found: list[str]) -> int:
    return xxhash.xxh3_64_intdigest(" ".join(found).encode("utf-8", "replace"))


def _shown(row: Mapping[str, Any]) -> str:
    from trainguard.facts.data.content import first_text

    return first_text(row)[:MAX_SAMPLE_CHARACTERS]


def conclude(index: EvalIndex, hits: Iterable[tuple[str, int, Mapping[str, Any]]]) -> Leak:
    """The hits of all ranges in the order of the files, each with its path and the line of its first row."""
    exact: set[int] = set()
    near: set[int] = set()
    places: list[tuple[str, int, str, str]] = []
    for path, first_line, found in hits:
        for name, rows in (("exact", exact), ("near", near)):
            for row, (number, text) in found.get(name, {}).items():
                rows.add(int(row))
                detail = "stands in the evaluation data" if name == "exact" else "nearly stands in the evaluation data"
                places.append((path, first_line + number, str(text), detail))
    order = {path: at for at, path in reversed(list(enumerate(place[0] for place in places)))}
    places.sort(key=lambda place: (order[place[0]], place[1]))
    samples = [Sample(path=path, line=line, text=text, detail=detail) for path, line, text, detail in places]
    return Leak(
        eval_path=index.path,
        eval_rows=index.rows,
        exact=sum(index.repeats[row] for row in exact),
        near=len(near - exact),
        threshold=THRESHOLD,
        samples=tuple(samples[:MAX_SAMPLES]),
    )
