"""From findings to what the loop does: which action wins, who wants it, and what it means for the Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.facts.config.schema_blocks import Action
from trainguard.findings import Finding
from trainguard.train.actions import ACTIONS, STOPPING, action_for, stronger


class Decision:
    """What is to be done with the loop. `why` is the finding or the wish that decided, `poisoned` says that the weights
    hold NaN or infinities, so that nothing is saved any more. It only ever gets stronger."""

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = actions
        self.action: Action = "log"
        self.why: str | None = None
        self.step: int | None = None
        self.requested = False
        self.poisoned = False

    def consider(self, finding: Finding, step: int) -> Action:
        """The action for a finding, which is wanted from now on where it stops the run."""
        action = action_for(finding, self._actions)
        if action in STOPPING:
            self.want(action, f"{finding.code} {finding.message}", step)
        return action

    def want(self, action: Action, why: str, step: int) -> None:
        if stronger(self.action, action) != self.action:
            self.action, self.why, self.step = action, why, step

    @property
    def stops(self) -> bool:
        return self.action in STOPPING

    @property
    def keeps_weights(self) -> bool:
        return not self.poisoned and self.action not in ("stop", "rollback")

    def to_numbers(self) -> list[float]:
        """For the other processes; the greatest of each number is what all do."""
        return [float(ACTIONS.index(self.action)), float(self.requested), float(self.poisoned)]

    def from_numbers(self, numbers: list[float], step: int) -> None:
        self.want(ACTIONS[int(numbers[0])], "another process decided it", step)
        self.requested = self.requested or numbers[1] > 0
        self.poisoned = self.poisoned or numbers[2] > 0

    def apply(self, control: Any, *, save: bool) -> None:
        """Tells the Trainer; `save` says that this is a place at which it can save."""
        if self.stops:
            control.should_training_stop = True
            if self.action == "checkpoint_and_stop" and save and self.keeps_weights:
                control.should_save = True
        if not self.keeps_weights:
            control.should_save = False
            control.should_evaluate = False
