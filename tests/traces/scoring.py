"""Labelled traces: reading them, putting them to a watcher, and what counts as a hit, a miss and a false alarm.

A label counts as met where its code is said, as warn or error, at or after `since` (default: `onset`); what comes
before `onset` has no delay. The delay counts logged points: metrics and evaluation records, for RUN008 ticks too.
A code before its `since`, and any code that is neither in `labels` nor in `also`, is a false alarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

FOLDERS = (Path(__file__).with_name("tuning"), Path(__file__).with_name("unseen"))
RANK = {"info": 0, "warn": 1, "error": 2}


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One file: the header, and the records after it."""

    header: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        return str(self.header["trace"])

    @property
    def labels(self) -> list[dict[str, Any]]:
        return list(self.header["labels"])

    @property
    def healthy(self) -> bool:
        return not self.labels

    def points(self, after: int, until: int, *, ticks: bool) -> int:
        """How many logged points lie in (after, until]."""
        return sum(is_point(record, ticks=ticks) for record in self.records[after + 1 : until + 1])


@dataclass(frozen=True, kw_only=True)
class Said:
    """One finding: its code, severity, and the index of the record after which it came."""

    code: str
    severity: str
    index: int


@dataclass(kw_only=True)
class Score:
    """What one watcher made of one trace."""

    trace: Trace
    said: list[Said]
    met: dict[str, int] = field(default_factory=dict)  # code -> delay in points
    missed: list[str] = field(default_factory=list)
    too_weak: list[str] = field(default_factory=list)  # met, but never with the label's severity
    false: list[Said] = field(default_factory=list)

    @property
    def worst_false(self) -> int:
        return max((RANK[said.severity] for said in self.false), default=0)


def is_point(record: Mapping[str, Any], *, ticks: bool = False) -> bool:
    return "event" not in record and (ticks or "tick" not in record)


def read(path: Path) -> Trace:
    lines = path.read_text(encoding="utf-8").splitlines()
    return Trace(header=json.loads(lines[0]), records=[json.loads(line) for line in lines[1:]])


def traces(folders: Iterable[Path] = FOLDERS) -> Iterator[Trace]:
    for folder in folders:
        for path in sorted(folder.glob("*.jsonl")):
            yield read(path)


def heard(watch: Callable[[Iterable[Mapping[str, Any]]], Iterable[Any]], trace: Trace) -> list[Said]:
    """What `watch` (records -> findings, as they come) says, with the index of the record that it had read by then."""
    at = -1

    def fed() -> Iterator[Mapping[str, Any]]:
        nonlocal at
        for record in trace.records:
            at += 1
            yield record

    return [Said(code=finding.code, severity=finding.severity, index=at) for finding in watch(fed())]


def score(trace: Trace, said: list[Said]) -> Score:
    """Compares what was said with the labels."""
    made = Score(trace=trace, said=said)
    loud = [one for one in said if RANK[one.severity] >= RANK["warn"]]
    begins = {label["code"]: label.get("since", label["onset"]) for label in trace.labels}
    for label in trace.labels:
        hits = [one for one in loud if one.code == label["code"] and one.index >= begins[label["code"]]]
        if not hits:
            made.missed.append(label["code"])
            continue
        first = min(hit.index for hit in hits)
        made.met[label["code"]] = trace.points(label["onset"], first, ticks=label["code"] == "RUN008")
        if max(RANK[hit.severity] for hit in hits) < RANK[label["severity"]]:
            made.too_weak.append(label["code"])
    allowed, ceilings = set(trace.header["also"]), trace.header.get("max_severity", {})
    for one in loud:
        early = one.code in begins and one.index < begins[one.code] and one.code not in allowed
        other = one.code not in begins and one.code not in allowed
        if early or other or RANK[one.severity] > RANK[ceilings.get(one.code, "error")]:
            made.false.append(one)
    return made


@dataclass(frozen=True)
class Summary:
    """The figures over many traces."""

    scores: Sequence[Score]

    @cached_property
    def healthy(self) -> list[Score]:
        return [score for score in self.scores if score.trace.healthy]

    @property
    def labels(self) -> int:
        return sum(len(score.trace.labels) for score in self.scores)

    @property
    def recall(self) -> float:
        return sum(len(score.met) for score in self.scores) / max(1, self.labels)

    @property
    def missed(self) -> list[str]:
        return sorted(f"{score.trace.name} {code}" for score in self.scores for code in score.missed)

    @property
    def too_weak(self) -> list[str]:
        return sorted(f"{score.trace.name} {code}" for score in self.scores for code in score.too_weak)

    @property
    def stops(self) -> list[str]:
        """Healthy traces with an error, and traces where an error was said of what deserves a warn at most."""
        return sorted(
            score.trace.name
            for score in self.scores
            if score.worst_false == RANK["error"] and (score.trace.healthy or "max_severity" in score.trace.header)
        )

    @property
    def false_warns(self) -> list[str]:
        """Healthy traces with a warn or worse."""
        return sorted(score.trace.name for score in self.healthy if score.worst_false >= RANK["warn"])

    @property
    def others(self) -> list[str]:
        """Codes that a faulty trace does not deserve."""
        return sorted(
            f"{score.trace.name} {one.code} @{one.index}"
            for score in self.scores
            for one in score.false
            if not score.trace.healthy
        )

    @property
    def delay(self) -> float:
        delays = [delay for score in self.scores for delay in score.met.values()]
        return median(delays) if delays else float("nan")
