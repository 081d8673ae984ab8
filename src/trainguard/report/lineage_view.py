"""What is shown of a lineage: its files, what it survived, its losses. Plain values, filled in by who has a queue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainguard.findings import Finding
from trainguard.report.run_view import Curve, duration


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultView:
    """An attempt that failed, and what came of it. `at` is unix seconds, `step` a global step.

    `seconds` is the time until the first new step, None where there was none; `lost_steps` were made again. `skipped`
    is the window of the file's own steps that was left out, first and last.
    """

    at: float
    file: str
    attempt: int | None = None
    step: int | None = None
    kind: str = "unknown"
    code: str | None = None
    why: str = ""
    act: str | None = None
    decision: str = ""
    seconds: float | None = None
    lost_steps: int | None = None
    skipped: tuple[int, int] | None = None

    @property
    def survived(self) -> bool:
        return self.seconds is not None or self.lost_steps is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """One file of the lineage. Steps are global ones; times unix seconds."""

    number: int
    name: str
    state: str
    priority: str = "normal"
    size_bytes: int = 0
    accepted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    step_before: int | None = None
    step: int | None = None
    planned_steps: int | None = None
    attempts: int = 0
    checkpoint: str | None = None
    cause: str | None = None
    skipped: tuple[tuple[int, int], ...] = ()

    @property
    def own_steps(self) -> int | None:
        return max(self.step - (self.step_before or 0), 0) if self.step is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedExamples:
    """A window of steps that was left out: its steps of the file's own and how many examples, with some of them."""

    file: str
    first: int | None
    last: int | None
    count: int
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageView:
    """A lineage as its page shows it. `curves` are over global steps; `ettr` is a share of 1.

    `recovery_median` is the upper bound of the class in which the median time to recover lies, seconds; `left_out` says
    how many files or faults are not listed.
    """

    subject: str
    made_at: float
    files: Sequence[FileView] = ()
    faults: Sequence[FaultView] = ()
    skipped: Sequence[SkippedExamples] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    steps: int = 0
    lost_steps: int = 0
    attempts: int = 0
    recoveries: int = 0
    ettr: float | None = None
    recovery_median: float | None = None
    recovery_mean: float | None = None
    paused: str | None = None
    files_left_out: int = 0
    faults_left_out: int = 0
    notes: Sequence[str] = ()


def took(seconds: float) -> str:
    """A time in words; "?" for a number that is none, such as a broken record may hold."""
    return duration(seconds) if math.isfinite(seconds) else "?"
