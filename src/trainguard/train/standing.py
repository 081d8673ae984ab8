"""Which checkpoints stand in an output folder before a run begins, and may give their room to the run's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainguard.facts.checkpoint.records import Checkpoint, CheckpointsFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`count` whole checkpoints, of which the oldest go when newer ones come; `begin_kept` where the one with which the
    run's file begins is among them, which stays. `bytes` is the size of the newest, None where there is none.
    """

    count: int = 0
    begin_kept: bool = False
    bytes: int | None = None


def standing(checkpoints: CheckpointsFacts | None, before_step: int | None = None) -> Standing:
    """What stands. Checkpoints of the global step `before_step` and later are set aside by a rollback, within the same
    output folder: they go on taking their room, and give none back."""
    if checkpoints is None:
        return Standing()
    there = [each for each in checkpoints.checkpoints if _stays(each, before_step)]
    newest = next((each for each in reversed(there) if each.verified), None)
    if newest is None:
        return Standing(count=len(there))
    return Standing(count=len(there), begin_kept=_begin(newest) in {each.step for each in there}, bytes=newest.size)


def _stays(checkpoint: Checkpoint, before_step: int | None) -> bool:
    """As `prunable.is_whole`, of what is read already."""
    whole = checkpoint.verified or (checkpoint.manifest is not None and not checkpoint.broken)
    return whole and (before_step is None or (checkpoint.step is not None and checkpoint.step < before_step))


def _begin(newest: Checkpoint) -> int | None:
    """The global step of the checkpoint with which the file begins: the newest, unless its file goes on there."""
    run: Mapping[str, Any] = newest.manifest.run if newest.manifest is not None else {}
    before, planned = run.get("step_before"), run.get("planned_steps")
    if newest.step is not None and isinstance(before, int) and isinstance(planned, int):
        return before if newest.step - before < planned else newest.step
    return newest.step
