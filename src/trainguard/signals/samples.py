"""What a watcher sees of a run: records, read into samples, and what the run has declared.

A record is a mapping in the order in which a watcher sees them; unknown keys are ignored, any key may be missing:

- metrics, named as the Trainer and TRL log them (`step`, `loss`, `grad_norm`, `learning_rate`, ...) with `t`, the
  seconds since the start; an evaluation carries `eval_...` and no `loss`, as in the Trainer's `log_history`;
- the clock: `{"tick": True, "t": ...}`, time went by and nothing new was logged;
- events: `{"event": "start" | "resume" | "end" | "phase" | "file", "t": ...}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

Method: TypeAlias = Literal["sft", "dpo", "grpo", "kto", "reward", "pretrain"]
METHODS: tuple[Method, ...] = get_args(Method)

# "summary" is the Trainer's last line (`train_runtime`, `train_loss`), which belongs to no step's window.
SampleKind: TypeAlias = Literal[
    "metrics", "evaluation", "summary", "tick", "start", "resume", "end", "phase", "file", "other"
]
EVENTS: tuple[SampleKind, ...] = ("start", "resume", "end", "phase", "file")

# What a run is doing, as the last `phase` event said. `unknown` where none was seen.
Phase: TypeAlias = Literal["load", "tokenize", "train", "evaluate", "save", "idle", "unknown"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One record as the detectors see it.

    `index` counts the records from 0. `step` is the global step, `t` seconds since the start of the run on a clock that
    does not go back, `phase` what the run is doing. `values` are the numbers of the record, NaN and infinities among
    them; `record` is the record itself, for what is no number.
    """

    index: int
    kind: SampleKind
    step: int | None = None
    t: float | None = None
    phase: Phase = "unknown"
    values: Mapping[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """A metric that is there, NaN and infinities too."""
        return self.values.get(name)

    def finite(self, name: str) -> float | None:
        """A metric that is there and finite."""
        value = self.values.get(name)
        return value if value is not None and math.isfinite(value) else None

    def text(self, name: str) -> str | None:
        value = self.record.get(name)
        return value if isinstance(value, str) else None


def read_sample(record: object, *, index: int, phase: Phase = "unknown") -> Sample:
    """The sample of a record. Never raises: what is no record is a sample of kind "other" that says nothing."""
    if not isinstance(record, Mapping):
        return Sample(index=index, kind="other", phase=phase)
    values = {
        key: number for key, value in record.items() if isinstance(key, str) and (number := _number(value)) is not None
    }
    kind = _kind(record, values)
    if kind == "phase":
        name = record.get("name")
        phase = next((each for each in PHASES if each == name), "unknown")
    return Sample(
        index=index,
        kind=kind,
        step=_count(values.get("step")),
        t=_finite(values.get("t")),
        phase=phase,
        values=MappingProxyType(values),
        record=record,
    )


def _kind(record: Mapping[Any, Any], values: Mapping[str, float]) -> SampleKind:
    event = record.get("event")
    for name in EVENTS:
        if event == name:
            return name
    if event is not None:
        return "other"
    if record.get("tick"):
        return "tick"
    if "loss" in values:
        return "metrics"
    if "train_runtime" in values or "train_loss" in values:
        return "summary"
    if any(isinstance(key, str) and key.startswith("eval_") for key in record):
        return "evaluation"
    return "metrics" if values.keys() - {"step", "t", "epoch"} or "samples" in record else "other"


def _number(value: object) -> float | None:
    """A number as float. Texts too: the Trainer prints its numbers as such, and JSON has no other NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str) and len(value) < _LONGEST_NUMBER:
        try:
            return float(value)
        except ValueError:
            return None
    return None


_LONGEST_NUMBER = 40


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _count(value: float | None) -> int | None:
    return int(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is: its method, what it has promised, and thresholds that the user has set (code, then key)."""

    method: Method = "sft"
    declared: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """A declared value that is a finite number; None where the run does not say."""
        value = self.declared.get(name)
        return _finite(_number(value)) if not isinstance(value, str) else None

    def count(self, name: str) -> int | None:
        """A declared whole number above 0; None for the Trainer's -1 and 0, which mean none."""
        value = self.number(name)
        return int(value) if value is not None and value >= 1 else None

    def flag(self, name: str) -> bool | None:
        value = self.declared.get(name)
        return value if isinstance(value, bool) else None

    def text(self, name: str) -> str | None:
        value = self.declared.get(name)
        return str(getattr(value, "value", value)) if value is not None else None
