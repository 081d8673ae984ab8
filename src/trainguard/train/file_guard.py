"""GuardCallback for one file of a lineage: its schedule and its data begin anew, while the steps count on."""

from __future__ import annotations

from typing import Any

from trainguard.train.callback import GuardCallback
from trainguard.train.lineage import Continuation


class FileGuard(GuardCallback):
    """Tells the signals where another file begins, so that a new warm-up is no jump of the learning rate.

    The schedule of a later file is made for its own steps, and `max_steps` counts those of all files: the two are not
    put beside each other.
    """

    def __init__(self, *, continuation: Continuation, file_name: str, **given: Any) -> None:
        super().__init__(**given)
        self._continuation = continuation
        self._file_name = file_name

    def _begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._continuation.step_before:
            kwargs["lr_scheduler"] = None
        super()._begin(args, state, control, **kwargs)
        if self._record is not None and self._continuation.weights is not None:
            step = int(state.global_step)
            self._record.events.event("file", step=step, data=self._file_name)
            self._record.feed({"event": "file", "name": self._file_name, "step": step})
        return control
