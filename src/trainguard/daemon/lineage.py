"""Where the chain of checkpoints stands: which file was trained last, and whether it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.checkpoints import quarantine
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.manifest import read_manifest
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.weights.files import UnsoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """The newest verified checkpoint of a lineage, as its manifest tells it; all None where there is none.

    `unfinished`: the file of this `file_id` is in its middle there. `step_before` is the global step at which it began.
    `closed`: it was trained to its end all the same, since the rest of it was left out; the manifest does not say so.
    `open`: its steps are all made, but it did not end well: what the queue says counts, or it would be trained twice.
    `history` are the file ids of those that were trained before it and are in its weights.
    """

    step: int | None = None
    file_id: str | None = None
    step_before: int | None = None
    planned_steps: int | None = None
    closed: bool = False
    open: bool = False
    history: frozenset[str] = frozenset()

    def same_place(self, other: Tip) -> bool:
        """Whether both are the same checkpoint of the same file."""
        return (self.step, self.file_id) == (other.step, other.file_id)

    @property
    def unfinished(self) -> bool:
        return self.open or (
            not self.closed
            and self.step is not None
            and self.step_before is not None
            and self.planned_steps is not None
            and self.step - self.step_before < self.planned_steps
        )


class MovedOnError(Exception):
    """The newest checkpoint is not the one for which an attempt was to be made."""


def tip_of(output_dir: Path) -> Tip:
    """Reads the newest verified checkpoint. Raises nothing for what is on the disk."""
    folder = latest_verified_checkpoint(output_dir)
    if folder is None:
        return Tip()
    with contextlib.suppress(UnsoundError, OSError):
        manifest = read_manifest(folder)
        if manifest is not None:
            run = manifest.run
            return Tip(
                step=manifest.step,
                file_id=_text(run.get("file_id")),
                step_before=_whole(run.get("step_before")),
                planned_steps=_whole(run.get("planned_steps")),
                history=_file_ids(run.get("history")),
            )
    # One that is not known to be of any file.
    number = folder.name.rpartition("-")[2]
    return Tip(step=int(number)) if number.isdecimal() and number.isascii() else Tip()


def set_aside_from(output_dir: Path, step: int, why: str) -> list[Path]:
    """Moves the checkpoints of this global step and later ones to the quarantine; where they are now.

    Only while no run writes there. Nothing is deleted. What cannot be moved stays, and the run is told the step too.
    """
    moved = []
    with contextlib.suppress(OSError):
        for folder in reversed(checkpoint_folders(output_dir)):
            number = folder.name.rpartition("-")[2]
            if number.isdigit() and int(number) >= step:
                with contextlib.suppress(OSError, UsageError):
                    moved.append(quarantine(folder, reasons=[why]))
    return moved


def _file_ids(history: Any) -> frozenset[str]:
    told = history if isinstance(history, list | tuple) else ()
    found = (_text(each.get("file_id")) for each in told if isinstance(each, Mapping))
    return frozenset(each for each in found if each is not None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
