"""What a broken newest checkpoint must lead to."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.drills.base import Outcome
from trainguard.drills.checkpoint._real_run import OLDER


def fell_back(outcome: Outcome) -> Iterator[str]:
    """What is wrong where the older good checkpoint is not the one to resume from."""
    latest = outcome.values["latest"]
    if latest is None or latest.name != OLDER:
        yield f"the checkpoint to resume from is {latest.name if latest is not None else None}, expected {OLDER}"
