"""The JSON Lines of `trainguard train --format json`, of an attempt, in the words of its text form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any

from trainguard.cli.train_text import TextSpeaker, plan_lines
from trainguard.report.summary import counted

_KNOWN = frozenset(
    ("checks", "plan", "phase", "note", "finding", "saved", "begin", "progress", "metrics", "stopped", "end")
)
_STEPS = ("progress", "metrics")
# What such a line makes of itself where it was written by another release, or by the script that is trained.
_ODD = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class TrainLines(TextSpeaker):
    """Turns lines of output into lines for people, in the order in which they came. What is none of the trainer's own
    events, such as a traceback or another program's words, stays as it is."""

    def __init__(self) -> None:
        super().__init__("never")
        self._at = 0.0
        self._clock = lambda: self._at
        self._lines: list[str] = []
        self._begun = False

    def words(self, lines: Iterable[str]) -> list[str]:
        """`lines` as people read them: one may become none, or several."""
        told: list[str] = []
        for line in lines:
            event = _event(line)
            if event is None:
                told.append(line)
                continue
            self._lines = []
            try:
                self._told(event)
            except _ODD:
                self._lines = [line]
            told += self._lines
        return told

    def _told(self, event: Mapping[str, Any]) -> None:
        name, self._at = event["event"], float(event["time"])
        values = {key: value for key, value in event.items() if key not in ("event", "time")}
        if name in _STEPS and not self._begun:
            # The end of a long file, without the beginning of the run: the pace is that of what is there.
            self._on_begin(step=int(values["step"]), steps=int(values["steps"]), step_before=0)
        if name == "checks":
            self._checked(values["reports"], values.get("forced") or (), int(values.get("stops") or 0))
        elif name == "plan":
            if values["plan"] is not None:
                start = dict(values["start"])
                path = start.get("checkpoint")
                start["checkpoint"] = SimpleNamespace(name=PurePath(path).name) if path else None
                start["done"] = start.get("steps_made", 0)
                self._lines += plan_lines(SimpleNamespace(**values["plan"]), SimpleNamespace(**start))  # type: ignore[arg-type]
        elif name == "finding":
            found = {"code": None, "step": None, **values["finding"]}
            self.tell(name, finding=SimpleNamespace(**found))
        else:
            self.tell(name, **values)

    def _on_begin(self, *, step: int, steps: int, step_before: int) -> None:  # noqa: ARG002 - what Tell gives
        self._begun = True
        self._began, self._first, self._said = self._at, step, self._at

    def _checked(self, reports: Iterable[Mapping[str, Any]], forced: Iterable[str], stops: int) -> None:
        reports = list(reports)
        found = [each for report in reports for each in report["findings"]]
        self._lines.append(f"checked {counted(len(reports), 'thing')}, {counted(len(found), 'finding')}")
        self._lines += [f"{each['severity']} {each.get('code') or ''}: {each['message']}" for each in found]
        if codes := sorted(forced):
            self._lines.append(f"forced: {', '.join(codes)}")
        if stops:
            self._lines.append(f"Not started: {counted(stops, 'error')} above")

    def _say(self, line: str) -> None:
        self._said = self._at
        self._lines.append(line)


def _event(line: str) -> Mapping[str, Any] | None:
    """The event that a line is; None for any other line."""
    if not line.startswith('{"event": '):
        return None
    try:
        value = json.loads(line)
    except _ODD:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("event"), str) or value["event"] not in _KNOWN:
        return None
    return value if isinstance(value.get("time"), int | float) else None
