"""From findings to what the loop does: which action wins, who wants it, and what it means for the Trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainguard.facts.config.schema_blocks import Action
from trainguard.findings import Finding
from trainguard.train.actions import ACTIONS, STOPPING, action_for, stronger


class Decision:
    """What is to be done with the loop; it only ever gets stronger.

    `action` and `why` are what this process wants, for a finding or because it was asked to stop (`requested`);
    `poisoned` says that the weights hold NaN or infinities, so that nothing is saved any more. Only what was settled is
    done: in a single process at once, in several what all have agreed on.
    """

    def __init__(self, actions: Mapping[str, Action]) -> None:
        self._actions = actions
        self.action: Action = "log"
        self.why: str | None = None
        self.requested = False
        self.poisoned = False
        self._settled: Action = "log"
        self._settled_poisoned = False

    def consider(self, finding: Finding) -> Action:
        """The action for a finding, which is wanted from now on where it stops the run."""
        action = action_for(finding, self._actions)
        if action in STOPPING:
            self.want(action, f"{finding.code} {finding.message}")
        return action

    def want(self, action: Action, why: str) -> None:
        if stronger(self.action, action) != self.action:
            self.action, self.why = action, why

    def settle(self) -> None:
        """What is wanted is done from now on."""
        self._settled, self._settled_poisoned = self.action, self.poisoned

    @property
    def wants_to_stop(self) -> bool:
        return self.action in STOPPING

    @property
    def stops(self) -> bool:
        """Whether the run is to stop, settled."""
        return self._settled in STOPPING

    @property
    def keeps_weights(self) -> bool:
        """Whether the weights may be saved, settled."""
        return not self._settled_poisoned and self._settled not in ("stop", "rollback")

    def to_numbers(self) -> list[float]:
        """For the other processes; the greatest of each number is what all do."""
        return [float(ACTIONS.index(self.action)), float(self.requested), float(self.poisoned)]

    def settle_with(self, numbers: Sequence[float]) -> None:
        """Settles what all processes have agreed on."""
        self.want(ACTIONS[int(numbers[0])], "another process decided it")
        self.requested = self.requested or numbers[1] > 0
        self.poisoned = self.poisoned or numbers[2] > 0
        self.settle()

    def apply(self, control: Any, *, save: bool) -> None:
        """Tells the Trainer what is settled; `save` says that this is a place from which it goes on to save."""
        if self.stops:
            control.should_training_stop = True
            if self._settled == "checkpoint_and_stop" and save and self.keeps_weights:
                control.should_save = True
        if not self.keeps_weights:
            control.should_save = False
            control.should_evaluate = False
