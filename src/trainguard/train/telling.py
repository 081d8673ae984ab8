"""What a run tells whoever started it: events by name, with plain values. The verb prints them."""

# ruff: noqa: ARG002 - all hooks get the same arguments

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from transformers import TrainerCallback

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

_EVERY_SECONDS = 0.1


class Tell(Protocol):
    """Gets `phase` (name, words), `note` (words), `begin` (steps, step_before), `progress` (step, steps, seconds),
    `metrics` (step, values), `finding` (finding), `saved` (path, step), `end` (code, words)."""

    def __call__(self, event: str, /, **values: Any) -> None: ...


class TellingCallback(TrainerCallback):
    """Tells the progress of a Trainer, from the process that prints."""

    def __init__(self, tell: Tell, *, step_before: int) -> None:
        self._tell = tell
        self._before = step_before
        self._told = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        steps = state.max_steps - self._before
        self._tell("begin", step=state.global_step - self._before, steps=steps, step_before=self._before)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        now = time.monotonic()
        if now - self._told >= _EVERY_SECONDS or state.global_step >= state.max_steps:
            self._told = now
            self._tell("progress", step=state.global_step - self._before, steps=state.max_steps - self._before)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if logs:
            steps = state.max_steps - self._before
            self._tell("metrics", step=state.global_step - self._before, steps=steps, values=dict(logs))
