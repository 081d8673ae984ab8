"""What is shown of a run: curves of bounded size, the last values, findings. It is told record by record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainguard.findings import Finding, InternalError, Report

# Points of a curve; beyond twice as many, each four become the lowest and the highest of them, so that spikes stay.
MOST_POINTS = 1024
_MOST_CURVES = 48
_MOST_FINDINGS = 2000
_MOST_BAD = 200
# Not drawn: counters, and what the Trainer says once.
_NO_CURVE = frozenset({"step", "t", "epoch", "total_flos", "tick", "train_loss", "train_runtime"})
_NO_CURVE_ENDS = ("_runtime", "_samples_per_second", "_steps_per_second")
_MOST_TEXT = 40  # characters of a number


@dataclass(slots=True)
class Curve:
    """One metric over steps. `bad` are the steps at which it was NaN or infinite."""

    points: list[tuple[float, float]] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)
    count: int = 0
    first: float | None = None
    last: float | None = None
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, at: float, value: float) -> None:
        self.count += 1
        self.last = value
        if not math.isfinite(value):
            if len(self.bad) < _MOST_BAD:
                self.bad.append(at)
            return
        if self.first is None:
            self.first = value
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        self.points.append((at, value))
        if len(self.points) >= 2 * MOST_POINTS:
            self.points = _thinned(self.points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), 4):
        four = points[start : start + 4]
        low, high = (pick(range(len(four)), key=lambda each: four[each][1]) for pick in (min, max))
        kept += [four[each] for each in sorted({low, high})]
    return kept


@dataclass(slots=True, kw_only=True)
class RunView:
    """What has been seen of one run so far. `kind` says in words what its source is."""

    subject: str
    kind: str = ""
    method: str = ""
    method_told: bool = True  # False where the user gave it
    declared: Mapping[str, Any] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    errors: list[InternalError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records: int = 0
    first_step: int | None = None
    step: int | None = None
    t: float | None = None
    epoch: float | None = None
    phase: str = ""
    ended: bool = False
    dropped: int = 0  # findings beyond those that are kept
    pace: float | None = None  # seconds a step, of late
    _mark: tuple[float, int] | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes in one record. Never raises."""
        if (t := number(record.get("t"))) is not None and math.isfinite(t):
            self.t = t
        if "event" in record or record.get("tick"):
            self._event(record)
            return
        self.records += 1
        step = number(record.get("step"))
        if step is not None and math.isfinite(step) and abs(step) < 1e15:
            self.step = int(step)
            self.first_step = self.step if self.first_step is None else self.first_step
            self._paced(t)
        at = float(self.step if step is not None and self.step is not None else self.records)
        epoch = number(record.get("epoch"))
        self.epoch = epoch if epoch is not None and math.isfinite(epoch) else self.epoch
        for name, value in record.items():
            drawn = isinstance(name, str) and name not in _NO_CURVE and not name.endswith(_NO_CURVE_ENDS)
            given = number(value) if drawn else None
            if given is None:
                continue
            curve = self.curves.get(name)
            if curve is None:
                if len(self.curves) >= _MOST_CURVES:
                    continue
                curve = self.curves[name] = Curve()
            curve.add(at, given)

    def _event(self, record: Mapping[str, Any]) -> None:
        event = record.get("event")
        step = number(record.get("step"))
        if record.get("tick") and step is not None and math.isfinite(step) and abs(step) < 1e15:
            self.step = int(step)
        if event == "phase" and isinstance(record.get("name"), str):
            self.phase = record["name"][:_MOST_TEXT]
        elif event == "end":
            self.ended = True
        elif event in ("start", "resume"):
            self.ended, self._mark = False, None

    def _paced(self, t: float | None) -> None:
        if t is None or self.step is None:
            return
        if self._mark is not None and self.step > self._mark[1] and t > self._mark[0]:
            pace = (t - self._mark[0]) / (self.step - self._mark[1])
            # An evaluation in between makes one interval long: the newer counts a third.
            self.pace = pace if self.pace is None else self.pace * 2 / 3 + pace / 3
        self._mark = (t, self.step)

    def say(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if len(self.findings) < _MOST_FINDINGS:
                self.findings.append(finding)
            else:
                self.dropped += 1

    @property
    def planned(self) -> int | None:
        """The steps that the run has declared."""
        given = self.declared.get("max_steps")
        return given if isinstance(given, int) and not isinstance(given, bool) and given > 0 else None

    @property
    def seconds_left(self) -> float | None:
        if self.pace is None or self.planned is None or self.step is None or self.ended:
            return None
        return max(self.planned - self.step, 0) * self.pace

    def report(self) -> Report:
        """The findings as a report, as other verbs have it."""
        notes = list(self.notes)
        if self.dropped:
            notes.append(f"{self.dropped:,} more findings were not kept")
        return Report(
            subject=self.subject, findings=tuple(self.findings), errors=tuple(self.errors), notes=tuple(notes)
        )

    def to_dict(self) -> dict[str, Any]:
        """The run for programs: docs/json.md."""
        return {
            "kind": self.kind,
            "method": self.method,
            "method_told": self.method_told,
            "declared": dict(self.declared),
            "records": self.records,
            "first_step": self.first_step,
            "last_step": self.step,
            "planned_steps": self.planned,
            "seconds": self.t,
            "phase": self.phase or None,
            "ended": self.ended,
            "metrics": {
                name: {
                    "first": curve.first,
                    "last": curve.last,
                    "lowest": curve.lowest if curve.points else None,
                    "highest": curve.highest if curve.points else None,
                    "points": curve.count,
                    "not_finite": curve.count if not curve.points else len(curve.bad),
                }
                for name, curve in self.curves.items()
            },
        }


def number(value: object) -> float | None:
    """A number, NaN and infinities too, or a text of one, as the Trainer prints them."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float | str) and (not isinstance(value, str) or 0 < len(value) < _MOST_TEXT):
        try:
            return float(value)
        except ValueError:
            return None
        except OverflowError:
            return math.inf
    return None


_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.-=*#"


def sparkline(curve: Curve, width: int, *, unicode: bool = True) -> str:
    """The curve in one line of characters: medians of equal spans of points, from its lowest to its highest."""
    values = [value for _, value in curve.points]
    if not values or width < 1:
        return ""
    spans = min(width, len(values))
    means = []
    for span in range(spans):
        part = sorted(values[len(values) * span // spans : len(values) * (span + 1) // spans])
        means.append(part[len(part) // 2])
    blocks = _BLOCKS if unicode else _PLAIN
    low, high = min(means), max(means)
    if not high > low:
        return blocks[len(blocks) // 2] * spans
    scale = len(blocks) - 1
    return "".join(blocks[round((value - low) / (high - low) * scale)] for value in means)


def figure(value: float | None) -> str:
    """A number in four digits, as the Trainer prints them."""
    return "-" if value is None else f"{value:.4g}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


# What people look at first, in this order.
IMPORTANT = (
    *("loss", "eval_loss", "reward", "reward_std", "rewards/margins", "rewards/accuracies", "mean_reward", "margin"),
    *("learning_rate", "grad_norm", "eval_accuracy", "mean_token_accuracy", "eval_mean_token_accuracy", "kl"),
    *("completion_length", "clipped_ratio", "tokens_per_second", "memory_gb", "memory_reserved_gb"),
)


def ordered(curves: Mapping[str, Curve]) -> list[tuple[str, Curve]]:
    """The curves, those that people look at first before the others, in the order in which they came."""
    rank = {name: place for place, name in enumerate(IMPORTANT)}
    return sorted(curves.items(), key=lambda each: rank.get(each[0], len(rank)))
