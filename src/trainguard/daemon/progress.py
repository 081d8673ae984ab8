"""How far an attempt is, read from what the run appends to its own files: only what is new, never the whole week."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from trainguard.daemon.beats import NewLines, last_bytes
from trainguard.train.events import EVENTS, FOLDER
from trainguard.train.heartbeat import HEARTBEAT

_TAIL_BYTES = 64 * 1024


def last_step(output_dir: Path) -> int | None:
    """The newest global step that any run here has told of; None where none has."""
    found = None
    for line in last_bytes(output_dir / FOLDER / HEARTBEAT, _TAIL_BYTES).split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            beat = json.loads(line)
            if isinstance(beat, dict) and isinstance(step := beat.get("step"), int):
                found = step
    return found


class Progress:
    """The steps of one attempt. Global steps; None until known.

    `first` is the step at which the attempt began, `step` the newest, `verified` the newest checkpoint that the run
    verified in this attempt, `began_training` the monotonic time at which the first new step was seen. `findings` are
    those of the run since the last call of `take_findings`.
    """

    def __init__(self, output_dir: Path) -> None:
        own = output_dir / FOLDER
        self._beats, self._events = NewLines(own / HEARTBEAT), NewLines(own / EVENTS)
        self.first: int | None = None
        self.step: int | None = None
        self.step_before: int | None = None
        self.planned: int | None = None
        self.verified: int | None = None
        self.phase = "unknown"
        self.began_training: float | None = None
        self._findings: list[dict[str, Any]] = []

    def look(self) -> bool:
        """Reads what is new; whether the first new step of this attempt is among it."""
        before = self.began_training
        for beat in self._beats.lines():
            phase, step = beat.get("phase"), beat.get("step")
            if isinstance(phase, str):
                self.phase = phase
            if phase == "train" and isinstance(step, int):
                self._at(step)
        for event in self._events.lines():
            self._heard(event)
        return before is None and self.began_training is not None

    def _at(self, step: int) -> None:
        if self.first is None:
            self.first = step
        self.step = max(step, self.step or 0)
        if self.step > self.first and self.began_training is None:
            self.began_training = time.monotonic()

    def _heard(self, event: dict[str, Any]) -> None:
        name, step = event.get("event"), event.get("step")
        before, planned = event.get("step_before"), event.get("planned_steps")
        if isinstance(before, int) and isinstance(planned, int):
            self.step_before, self.planned = before, planned
            if self.first is None and isinstance(step, int):
                self.first = step
        if name == "metrics" and isinstance(step, int):
            self._at(step)
        elif name == "verified" and isinstance(step, int):
            self.verified = max(step, self.verified or 0)
        elif name == "finding" and isinstance(event.get("finding"), dict):
            self._findings.append(event["finding"])

    def take_findings(self) -> list[dict[str, Any]]:
        found, self._findings = self._findings, []
        return found


def doing(stage: str, name: str, progress: Progress | None) -> str:
    """What an attempt at the file called `name` does now, for people."""
    match stage:
        case "custody":
            return f"reading {name}"
        case "training":
            at = f" at step {progress.step:,}" if progress is not None and progress.step is not None else ""
            return f"training {name} ({progress.phase if progress is not None else 'begins'}{at})"
        case _:
            return f"verifying {name}"
