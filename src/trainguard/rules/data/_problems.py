"""What the DATA rules share: how a problem is counted, placed and put into evidence."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar

from trainguard.facts.data.records import DataFacts, Problem, ProblemKind, Sample
from trainguard.facts.secrets import mask_secrets
from trainguard.findings import Finding, Location
from trainguard.rules.base import Area, Need, Rule, Subject

# Formats whose places are rows, not lines (facts.data.records).
_ROW_FORMATS = ("parquet", "json")
_MOST_NAMED = 4  # of the things that a message counts one by one
_LONGEST_DETAIL = 240  # characters


class DataRule(Rule):
    """A rule about training data."""

    area: ClassVar[Area] = "data"
    needs: ClassVar[frozenset[Need]] = frozenset({"data"})


class ProblemRule(DataRule):
    """A rule that tells one kind of problem, which the reading of the data has counted and located."""

    kind: ClassVar[ProblemKind]
    repairable: ClassVar[bool] = False  # whether `trainguard data --fix` can do something about it

    def check(self, subject: Subject) -> Iterable[Finding]:
        facts = subject.data
        problem = facts.problem(self.kind) if facts is not None else None
        if facts is None or problem is None or problem.count < 1:
            return
        yield self.finding(
            self.message(facts, problem),
            where=location(facts, problem.samples),
            fix=repair(facts) if self.can_repair(problem) else None,
            evidence=problem_evidence(facts, problem),
        )

    def message(self, facts: DataFacts, problem: Problem) -> str:
        """What is wrong in how many rows, why it matters and what to do, in one line."""
        raise TypeError(f"{type(self).__name__} has no message for {problem.kind} in {facts.path}")

    def can_repair(self, problem: Problem) -> bool:  # noqa: ARG002 - for rules where it depends
        """Whether a repaired copy would be without this problem."""
        return self.repairable


def how_many(
    facts: DataFacts, count: int, samples: Sequence[Sample], *, noun: str = "row", percent: bool = False
) -> str:
    """`812 of 1,000 rows (first: line 3)`, with `percent` `(81 %, first: line 3)`.

    With another noun than "row", or more than the rows, without the total.
    """
    of = f" of {facts.rows:,}" if noun == "row" and count <= facts.rows else ""
    plural = (facts.rows if of else count) != 1
    words = f"{count:,}{of} {noun}{'s' if plural else ''}"
    notes = [share(count, facts.rows)] if percent and of else []
    if samples and (first := place(facts, samples[0])):
        notes.append(first if count == 1 else f"first: {first}")
    return f"{words} ({', '.join(notes)})" if notes else words


def place(facts: DataFacts, sample: Sample) -> str:
    """`line 3`, `row 3`, `shard-2.jsonl line 3`; "" where nothing is known."""
    words = [sample.path] if sample.path != facts.path and sample.path else []
    if sample.line is not None:
        words.append(f"{_unit(facts, sample.path)} {sample.line}")
    return " ".join(words)


def location(facts: DataFacts, samples: Sequence[Sample]) -> Location:
    """Where the first sample is. A row of a table has no line that an editor could go to."""
    if not samples:
        return Location(facts.path)
    sample = samples[0]
    if _unit(facts, sample.path) == "row":
        return Location(sample.path)
    return Location(sample.path, sample.line, _column(facts, sample))


def _column(facts: DataFacts, sample: Sample) -> int | None:
    """The column, None where the lines of the file are not what was judged: a row of CSV is judged as an object."""
    formats = {file.path: file.format for file in facts.files}
    return sample.column if sample.line is not None and formats.get(sample.path) in ("jsonl", "text", None) else None


def _unit(facts: DataFacts, path: str) -> str:
    formats = {file.path: file.format for file in facts.files}
    return "row" if formats.get(path) in _ROW_FORMATS else "line"


def problem_evidence(facts: DataFacts, problem: Problem) -> dict[str, Any]:
    """The numbers behind a finding about a problem."""
    return sample_evidence(facts, problem.count, problem.samples, counts=problem.counts)


def sample_evidence(
    facts: DataFacts, count: int, samples: Sequence[Sample], *, counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """`count` of `rows`, by `counts`, and the samples, each with its `line` or `row`. Access tokens are masked."""
    evidence: dict[str, Any] = {"count": count, "rows": facts.rows}
    if counts:
        evidence["counts"] = {shortened(name): number for name, number in counts.items()}
    evidence["samples"] = [_sample(facts, sample) for sample in samples]
    return evidence


def _sample(facts: DataFacts, sample: Sample) -> dict[str, Any]:
    plain: dict[str, Any] = {"path": sample.path} if sample.path != facts.path else {}
    if sample.line is not None:
        plain[_unit(facts, sample.path)] = sample.line
    if (column := _column(facts, sample)) is not None:
        plain["column"] = column
    if sample.text:
        plain["text"] = mask_secrets(sample.text)
    if sample.detail:
        plain["detail"] = mask_secrets(sample.detail)
    return plain


def detail(problem: Problem) -> str:
    """What is wrong at the first place, as `: …` to go behind a count; "" where nothing is known."""
    words = problem.samples[0].detail if problem.samples else ""
    return f": {shortened(words)}" if words else ""


def shortened(text: str) -> str:
    """A text of the data in one line of a message, without access tokens."""
    line = " ".join(mask_secrets(text).split())
    return line if len(line) <= _LONGEST_DETAIL else line[: _LONGEST_DETAIL - 1] + "…"


def each_counted(counts: Mapping[str, int], *, quote: bool = True, noun: str = "row") -> str:
    """`'human' (812 rows), 'gpt' (1 row) and 3 more`, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [
        f"{repr(shortened(name)) if quote else shortened(name)} ({number:,} {noun}{'s' if number != 1 else ''})"
        for name, number in ordered[:_MOST_NAMED]
    ]
    more = len(ordered) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "")


def share(part: int, whole: int) -> str:
    """`12 %`, `0.4 %`, and `less than 0.1 %` rather than nothing."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "less than 0.1 %"
    if 99.9 < percent < 100:
        return "99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %" if percent < 10 else f"{percent:.0f} %"


def repair(facts: DataFacts) -> str | None:
    """The command that writes a repaired copy, None for what it does not take: folders, tables, compressed files."""
    if len(facts.files) != 1 or facts.files[0].path != facts.path:
        return None
    if facts.files[0].format != "jsonl" or facts.files[0].compression is not None:
        return None
    path = PurePath(facts.path)
    suffix = path.suffix if path.suffix in (".jsonl", ".ndjson", ".json") else ".jsonl"
    out = path.with_name(path.name.partition(".")[0] + ".repaired" + suffix)
    return f"trainguard data {shlex.quote(facts.path)} --fix {shlex.quote(str(out))}"
