"""What a signal is: one detector in one file, pure.

`step(state, sample)` gives the next state and what is to be said. The state is a frozen msgspec struct, so that it can
be written as JSON at any point and a restarted watcher goes on as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from trainguard.findings import Finding, Fix, Severity
from trainguard.signals.codes import run_finding
from trainguard.signals.samples import METHODS, Method, Run, Sample


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the states. Fields are plain values and tuples of them; numbers are finite, since JSON has no NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A number that decides.

    `key` is its name in the configuration (`guard.thresholds.RUN003.<key>`), `unit` that of the value, `about` says
    what it does, `source` where the default is from: a paper, a library's file, a measurement.
    """

    key: str
    default: float
    unit: str
    about: str
    source: str


S = TypeVar("S", bound=State)


class Signal(Generic[S]):
    """Base of all signals: a subclass sets the class variables and writes `step`.

    The docstring has the headings *What it sees*, *Why it costs you*, *What it is not* (healthy shapes that look alike)
    and *What to do*. `methods` are those of fine-tuning that it is asked about. One instance serves one run.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    methods: ClassVar[frozenset[Method]] = frozenset(METHODS)
    thresholds: ClassVar[tuple[Threshold, ...]] = ()
    state_type: ClassVar[type[State]]

    def __init__(self, run: Run) -> None:
        self.run = run
        given = run.thresholds.get(self.code, {})
        self._thresholds = {each.key: float(given.get(each.key, each.default)) for each in self.thresholds}

    def threshold(self, key: str) -> float:
        """A threshold as the run has set it, else its default. Raises KeyError for one that there is not."""
        return self._thresholds[key]

    def start(self) -> S:
        """The state before the first sample."""
        return self.state_type()  # type: ignore[return-value]

    def step(self, state: S, sample: Sample) -> tuple[S, tuple[Finding, ...]]:
        """The state after `sample`, and what is to be said now. Changes nothing that it is given, never raises."""
        raise TypeError(f"{type(self).__name__} does not define step, so it sees nothing in {sample} after {state}")

    def finding(
        self,
        message: str,
        *,
        step: int | None,
        severity: Severity | None = None,
        fix: str | Fix | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> Finding:
        """A finding of this signal: its code, name, severity and documentation page filled in.

        What is said on the way to a verdict (a spike that may recover) has another `severity` than the signal's.
        """
        return run_finding(
            self.code, message, step=step, severity=severity or self.severity, fix=fix, evidence=evidence
        )
