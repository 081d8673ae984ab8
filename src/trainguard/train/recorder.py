"""The written side of a guarded run: events, heartbeats, the watcher's state, and the signals that it feeds."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainguard.errors import UsageError
from trainguard.findings import Finding
from trainguard.signals.samples import Phase, Run
from trainguard.signals.watching import Watcher
from trainguard.train.events import EVENTS, FOLDER, EventLog
from trainguard.train.heartbeat import HEARTBEAT, Heartbeat

logger = logging.getLogger(__name__)

WATCHER = "watcher.json"


class Recorder:
    """Writes down what happens in one run and puts it to the signals. For rank 0; the others write nothing."""

    def __init__(
        self, output_dir: Path, run: Run, *, resumed_at: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = output_dir / FOLDER
        self.events = EventLog(self.folder / EVENTS)
        self.heartbeat = Heartbeat(self.folder / HEARTBEAT)
        self._watcher = Watcher(run)
        self._method, self._declared = run.method, dict(run.declared)
        self._clock = clock
        self._began = clock()
        self._told_errors = 0
        self.first_step_made = False
        if resumed_at:
            self._restore()

    def start(self, step: int) -> None:
        """Says that the run begins, or goes on at a step."""
        name = "resume" if step else "start"
        self.events.event(name, step=step, method=self._method, declared=self._declared)
        self.feed({"event": name, **({"from_step": step} if step else {})})
        self.phase("train", step)

    def first_step(self, step: int) -> None:
        """Says that this process has made its first step, for whoever waits for a restarted run to be one again."""
        self.first_step_made = True
        self.events.event("first-step", step=step)

    def phase(self, name: Phase, step: int | None = None) -> None:
        """A sign of life; a phase that is new is put to the signals too."""
        changed = name != self.heartbeat.phase
        self.heartbeat.beat(name, step=step)
        if changed:
            self.feed({"event": "phase", "name": name, "step": step})

    def feed(self, record: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What the signals say of one more record; `t` is set."""
        said = self._watcher.feed({**record, "t": self._clock() - self._began})
        errors = self._watcher.errors
        for error in errors[self._told_errors :]:
            logger.warning("%s failed inside trainguard and is off: %s", error.origin, error.message)
        self._told_errors = len(errors)
        return said

    def metrics(self, values: Mapping[str, Any], step: int) -> tuple[Finding, ...]:
        """Writes down what was logged, for those who watch from outside, and puts it to the signals."""
        self.events.event("metrics", step=step, metrics=dict(values))
        return self.feed({**values, "step": step})

    def save(self, step: int) -> None:
        """Writes down what the signals have learnt, so that a restarted run goes on from it."""
        state = {"step": step, "t": self._clock() - self._began, "watcher": self._watcher.state()}
        descriptor, temporary = -1, ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=f".tmp-{WATCHER}-", dir=self.folder)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(state, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.folder / WATCHER)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _restore(self) -> None:
        try:
            state = json.loads((self.folder / WATCHER).read_bytes())
            self._watcher.restore(state["watcher"])
            self._began -= float(state["t"])
        except (OSError, ValueError, KeyError, TypeError, UsageError):
            return  # the signals start anew

    def close(self) -> None:
        self.events.close()
        self.heartbeat.close()
