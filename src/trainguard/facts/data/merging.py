"""The tallies of all ranges, in order -> counts of the whole data, and the places of the first problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from trainguard.facts.data.duplicates import ExactDuplicates
from trainguard.facts.data.records import MAX_SAMPLES, Duplicates, Problem, ProblemKind, Sample
from trainguard.facts.data.roles import Pattern, roles_of
from trainguard.facts.data.tally import Tally

# Names from the data that are counted: more are put together under one.
_MAX_NAMES = 200
_MAX_TURNS = 1_000


class Problems:
    """Problems by kind, in the order in which they are added."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: dict[str, Counter[str]] = {}
        self._samples: dict[str, list[Sample]] = {}

    def add(self, kind: str, sample: Sample, *, count: int = 1, names: Mapping[str, int] | None = None) -> None:
        """Adds `count` rows with a problem, and one place of it."""
        self.count(kind, count, names or {})
        samples = self._samples.setdefault(kind, [])
        if len(samples) < MAX_SAMPLES:
            samples.append(sample)

    def count(self, kind: str, count: int, names: Mapping[str, int]) -> None:
        """Adds rows without a place."""
        self._counts[kind] += count
        known = self._names.setdefault(kind, Counter())
        for name, times in names.items():
            known[name if name in known or len(known) < _MAX_NAMES else "others"] += times

    def place(self, kind: str, sample: Sample) -> None:
        """Adds a place of rows that are counted already."""
        samples = self._samples.setdefault(kind, [])
        if len(samples) < MAX_SAMPLES:
            samples.append(sample)

    def replace(self, kind: str, sample: Sample, name: str) -> None:
        """Adds a problem of a whole file, in place of what else was said of the file's kind of problem."""
        samples = self._samples.setdefault(kind, [])
        others = [each for each in samples if each.path != sample.path]
        self._counts[kind] -= len(samples) - len(others)
        if not others:
            self._names.pop(kind, None)
        samples[:] = others
        self.add(kind, sample, names={name: 1})

    def result(self, order: tuple[ProblemKind, ...]) -> tuple[Problem, ...]:
        """All problems, in this order of kinds."""
        return tuple(
            Problem(
                kind=kind,
                count=self._counts[kind],
                samples=tuple(self._samples.get(kind, ())),
                counts=dict(self._names[kind].most_common()),
            )
            for kind in order
            if self._counts[kind]
        )


class Merger:
    """Adds up tallies, which come in the order of the files. `judge` is a chat template's opinion on a row."""

    def __init__(
        self, paths: list[str], in_lines: list[bool], judge: Callable[[bytes], str | None] | None = None
    ) -> None:
        self._paths = paths
        self._in_lines = in_lines  # files whose columns are those of the text, and not of rows made into JSON
        self._judge = judge
        self._opinions: dict[Pattern, str | None] = {}
        self._lines = [0] * len(paths)
        self._numbers: dict[int, list[int]] = {}
        self.problems = Problems()
        self.rows = [0] * len(paths)
        self._failed: set[int] = set()
        self.troubled = [False] * len(paths)
        self.layouts: Counter[str] = Counter()
        self.conversational = 0
        self.columns: Counter[str] = Counter()
        self.roles: Counter[str] = Counter()
        self.turns: Counter[int] = Counter()
        self.first_of: dict[str, Sample] = {}
        self.duplicates = ExactDuplicates()
        self.notes: list[str] = []
        self.states: list[tuple[str, int, Any]] = []
        self.leaks: list[tuple[str, int, Any]] = []
        self.near: Callable[[str, int, bytes, str], None] | None = None

    def add(self, file: int, tally: Tally) -> None:
        """One tally of the file with this index; the lines of its tallies follow each other."""
        path, base = self._paths[file], self._lines[file]
        columns = self._in_lines[file]
        numbers = tally.numbers

        def line_of(line: int) -> int:
            return numbers[line] if line < len(numbers) else base + line + 1

        for kind, trouble in tally.troubles.items():
            self.problems.count(kind, trouble.count, trouble.counts)
            for spot in trouble.spots:
                place = Sample(
                    path=path,
                    line=line_of(spot.line),
                    column=spot.column if columns else None,
                    text=spot.text,
                    detail=spot.detail,
                )
                self.problems.place(kind, place)
            self.troubled[file] = True
        for layout, line in tally.layout_firsts.items():
            self.first_of.setdefault(layout, Sample(path=path, line=line_of(line), detail=f"layout {layout!r}"))
        self.rows[file] += tally.rows
        self.layouts.update(tally.layouts)
        self.conversational += tally.conversational
        self._count_columns(tally.columns)
        for seen in tally.patterns:
            self._pattern(seen.pattern, seen.count, seen.row, path, line_of(seen.line))
        for first, hashes in tally.hashes:
            self.duplicates.add(file, base + first, hashes)
        if tally.measured is not None:
            self.states.append((path, base + 1, tally.measured))
        if tally.leaks is not None:
            self.leaks.append((path, base + 1, tally.leaks))
        if self.near is not None:
            for line, signature, text in tally.near:
                self.near(path, line_of(line), signature, text)
        self.notes += [note for note in tally.notes if note not in self.notes]
        if numbers:
            self._numbers.setdefault(file, []).extend(numbers)
        self._lines[file] += tally.lines
        if tally.error is not None and file not in self._failed:
            self._failed.add(file)
            self.problems.add("unreadable-input", Sample(path=path, detail=tally.error), names={tally.error[:80]: 1})
            self.troubled[file] = True

    def _count_columns(self, columns: Mapping[str, int]) -> None:
        for name, count in columns.items():
            self.columns[name if name in self.columns or len(self.columns) < _MAX_NAMES else "others"] += count

    def _pattern(self, pattern: Pattern, count: int, row: bytes, path: str, line: int) -> None:
        roles = roles_of(pattern)
        for role, times in Counter(roles).items():
            known = role if role in self.roles or len(self.roles) < _MAX_NAMES else "others"
            self.roles[known] += times * count
        if len(roles) in self.turns or len(self.turns) < _MAX_TURNS:
            self.turns[len(roles)] += count
        if self._judge is None:
            return
        if pattern not in self._opinions:
            if len(self._opinions) >= MAX_JUDGED:
                return
            self._opinions[pattern] = self._judge(row)
        words = self._opinions[pattern]
        if words is not None:
            text = row.decode("utf-8", "replace")
            self.problems.count("role-order", count, {words: count})
            self.problems.place("role-order", Sample(path=path, line=line, text=text[:120], detail=words))

    @property
    def patterns_judged(self) -> int:
        """How many patterns the template was asked about."""
        return len(self._opinions)

    def exact_duplicates(self) -> Duplicates:
        """The rows that repeat an earlier one, byte for byte."""
        count, repeats = self.duplicates.result()
        samples = []
        for repeat in repeats:
            first = self._line(repeat.first_part, repeat.first_line)
            same = (
                f"line {first}"
                if repeat.part == repeat.first_part
                else f"line {first} of {self._paths[repeat.first_part]}"
            )
            line = self._line(repeat.part, repeat.line)
            samples.append(Sample(path=self._paths[repeat.part], line=line, detail=f"same as {same}"))
        return Duplicates(exact=count, samples=tuple(samples))

    def _line(self, file: int, line: int) -> int:
        numbers = self._numbers.get(file)
        return numbers[line] if numbers else line + 1


# A template is asked about so many patterns of roles; each takes some milliseconds.
MAX_JUDGED = 500
