"""Puts the records of a run to all signals: the one door, for a live run, a log file and a program."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from trainguard.errors import UsageError
from trainguard.findings import Finding, InternalError
from trainguard.signals.base import Signal, State
from trainguard.signals.registry import discover
from trainguard.signals.samples import METHODS, Method, Phase, Run, Sample, read_sample

# The format of `Watcher.state`.
STATE_VERSION = 1


class Watcher:
    """Watches one run: `feed` takes its records one by one and gives what is to be said.

    `errors` are signals that failed inside trainguard; each is switched off from then on, and the others still watch.
    `off` are codes that are not asked. Raises UsageError for a method that is none.
    """

    def __init__(self, run: Run, *, off: Iterable[str] = ()) -> None:
        if run.method not in METHODS:
            raise UsageError(f"method is {run.method!r}, expected one of {', '.join(METHODS)}")
        registry = discover()
        self.run = run
        self.errors: list[InternalError] = list(registry.errors)
        hidden = frozenset(off)
        self._signals: dict[str, Signal[Any]] = {
            each.code: each(run) for each in registry.signals if run.method in each.methods and each.code not in hidden
        }
        self._states: dict[str, State] = {code: signal.start() for code, signal in self._signals.items()}
        self._index = 0
        self._phase: Phase = "unknown"

    def feed(self, record: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What the signals say after one more record."""
        sample = read_sample(record, index=self._index, phase=self._phase)
        self._index += 1
        self._phase = sample.phase
        return self.judge(sample)

    def judge(self, sample: Sample) -> tuple[Finding, ...]:
        findings: list[Finding] = []
        for code, signal in list(self._signals.items()):
            try:
                state, said = signal.step(self._states[code], sample)
            except Exception as error:  # a signal that fails must not end a run
                self.errors.append(
                    InternalError(
                        origin=f"{code} ({type(signal).__module__})",
                        message=f"{type(error).__name__}: {error}",
                        traceback=traceback.format_exc(),
                    )
                )
                del self._signals[code]
                continue
            self._states[code] = state
            findings += said
        return tuple(findings)

    def state(self) -> dict[str, Any]:
        """All that has been learnt, as plain values for JSON; `restore` goes on from it."""
        return {
            "version": STATE_VERSION,
            "index": self._index,
            "phase": self._phase,
            "signals": {code: msgspec.to_builtins(state) for code, state in self._states.items()},
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave. A signal whose state has another shape starts anew.

        Raises UsageError where `plain` is no state of a watcher.
        """
        states = plain.get("signals")
        if plain.get("version") != STATE_VERSION or not isinstance(states, Mapping):
            raise UsageError(f"the watcher's state is of version {plain.get('version')!r}, expected {STATE_VERSION}")
        self._index = int(plain.get("index", 0))
        self._phase = plain.get("phase", "unknown")
        for code, signal in self._signals.items():
            if code in states:
                try:
                    self._states[code] = msgspec.convert(states[code], type=signal.state_type)
                except msgspec.ValidationError:
                    self._states[code] = signal.start()


def watch_metrics(
    records: Iterable[Mapping[str, Any]],
    *,
    method: Method,
    declared: Mapping[str, Any] | None = None,
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
) -> Iterator[Finding]:
    """What is to be said of a run, as soon as the records read so far justify it; each finding carries its step.

    `records` are mappings in the order in which a watcher sees them (see `trainguard.signals.samples`), `method` is how
    the model is trained, `declared` what the run has promised (`max_steps`, `learning_rate`, `lr_scheduler_type`,
    ...), `thresholds` other values by code and key. Lazy: one record is read at a time.

    Raises UsageError for a method that is none, RuntimeError where a signal fails inside trainguard.
    """
    watcher = Watcher(Run(method=method, declared=dict(declared or {}), thresholds=thresholds or {}))
    for record in records:
        yield from watcher.feed(record)
    for error in watcher.errors:
        raise RuntimeError(f"{error.origin} failed inside trainguard: {error.message}\n{error.traceback}")
