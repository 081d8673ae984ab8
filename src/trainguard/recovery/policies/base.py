"""What a policy is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from trainguard.recovery.case import Case
from trainguard.recovery.records import Decision, Kind


class Policy(ABC):
    """Decides about failures of its `kinds`. Its docstring has *What it does* and *Why*; both become documentation."""

    name: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]

    @abstractmethod
    def decide(self, case: Case) -> Decision:
        """What to do next. Pure: the same question has the same answer."""
