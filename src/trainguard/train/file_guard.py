"""GuardCallback for one file of a lineage: its schedule and its data begin anew, while the steps count on."""

from __future__ import annotations

from typing import Any

from trainguard.train.callback import GuardCallback
from trainguard.train.lineage import Continuation
from trainguard.train.recorder import Recorder


class FileGuard(GuardCallback):
    """Tells the signals where another file begins, so that a new warm-up is no jump of the learning rate.

    The schedule of a later file is made for its own steps, and `max_steps` counts those of all files: the two are not
    put beside each other.
    """

    def __init__(self, *, continuation: Continuation, file_name: str, **given: Any) -> None:
        super().__init__(**given)
        self._continuation = continuation
        self._file_name = file_name

    def judged_schedule(self, lr_scheduler: Any) -> Any:
        return None if self._continuation.step_before or self._continuation.skipped else lr_scheduler

    def has_begun(self, step: int, record: Recorder | None) -> None:
        if record is not None and self._continuation.weights is not None:
            record.events.event("file", step=step, data=self._file_name)
            record.feed({"event": "file", "name": self._file_name, "step": step})
