"""Joins a source, the signals and what is shown: records go in, findings come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trainguard.findings import Finding
from trainguard.report.run_view import RunView
from trainguard.signals.samples import METHODS, Method, Run
from trainguard.signals.watching import Watcher
from trainguard.sources.base import KIND_WORDS, Record, Source
from trainguard.sources.names import method_of

# Records that are held until one of them tells the method.
_MOST_HELD = 1000


class Session:
    """Watches one run. `method` is told from the names of its metrics where it is None.

    `given` goes before what the source says that the run has declared. Raises UsageError as `Watcher` does.
    """

    def __init__(
        self,
        source: Source,
        *,
        method: Method | None = None,
        given: Mapping[str, Any] | None = None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        off: Iterable[str] = (),
    ) -> None:
        self.source = source
        self.view = RunView(subject=source.name, kind=KIND_WORDS[source.kind], method_told=method is None)
        self._method: Method | None = method
        self._given = dict(given or {})
        self._thresholds = thresholds or {}
        self._off = tuple(off)
        self._watcher: Watcher | None = None
        self._held: list[Record] = []
        self._declared: dict[str, Any] = {}
        self._said_by_guard: set[str | None] = set()

    def take(self, record: Record) -> tuple[Finding, ...]:
        """What is to be said after one more record."""
        if record.get("event") == "finding":
            return self._of_guard(record)
        self.view.add(record)
        if self._watcher is None:
            self._held.append(record)
            said = self.source.method if self.source.method in METHODS else None
            told = self._method or said or (None if "event" in record or "tick" in record else method_of(record))
            if told is None and len(self._held) < _MOST_HELD:
                return ()
            return self._start(told or "sft")
        return self._feed(record)

    def finish(self) -> tuple[Finding, ...]:
        """What is to be said of records that told no method."""
        found = self._start("sft") if self._watcher is None and self._held else ()
        self.tidy()
        return found

    def tidy(self) -> None:
        """Brings the view up to date with what the source and the signals know."""
        self.view.ended = self.view.ended or self.source.ended
        self.view.notes = list(self.source.notes)
        self.view.declared = {**self.source.declared, **self._given}
        if self._watcher is not None:
            self.view.errors = list(self._watcher.errors)

    def _start(self, method: str) -> tuple[Finding, ...]:
        self._method = method  # type: ignore[assignment]
        self.view.method = method
        held, self._held = self._held, []
        return tuple(finding for record in held for finding in self._feed(record))

    def _feed(self, record: Record) -> tuple[Finding, ...]:
        watcher = self._current()
        found = watcher.feed(record)
        if self._said_by_guard:
            found = tuple(each for each in found if each.code not in self._said_by_guard)
        self.view.say(found)
        return found

    def _current(self) -> Watcher:
        """The watcher, made anew with all that it has learnt where the source says more of what the run declared."""
        if self._watcher is None or self.source.declared != self._declared:
            assert self._method is not None
            self._declared = dict(self.source.declared)
            declared = {**self._declared, **self._given}
            fresh = Watcher(Run(method=self._method, declared=declared, thresholds=self._thresholds), off=self._off)
            if self._watcher is not None:
                fresh.restore(self._watcher.state())
                fresh.errors += [each for each in self._watcher.errors if each not in fresh.errors]
            self._watcher = fresh
        return self._watcher

    def _of_guard(self, record: Record) -> tuple[Finding, ...]:
        """A finding that the guard of the run has written down. It saw more than its metrics show."""
        try:
            finding = Finding.from_dict(record["finding"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return ()
        if finding.code in self._off:
            return ()
        self._said_by_guard.add(finding.code)
        self.view.say((finding,))
        return (finding,)
