"""What a run is told: its file, from where it goes on, what is left out and what is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainguard.daemon.acting import BEFORE
from trainguard.daemon.lineage import Tip
from trainguard.daemon.settings import Settings
from trainguard.queue.records import QueuedFile
from trainguard.recovery.records import History


def file_id(file: QueuedFile) -> str:
    """What tells a file from all others of the lineage, those of the same content too."""
    return f"{file.id}-{file.sha256[:16]}"


def attempt_folder(settings: Settings, file: QueuedFile, number: int) -> Path:
    """Where the output and the end of an attempt are written down."""
    return settings.home / "attempts" / str(file.id) / str(number)


def own_onset(file: QueuedFile, tip: Tip) -> int | None:
    """The global step at which a fault of this file began, as the recovery has decided; None where there is none.

    Only while the file's own checkpoints are the newest of the lineage: since it was decided the file may have been
    held, and those of another file, which is done, stand at these steps now. Never below the file's first step.
    """
    wanted = file.memory.get(BEFORE)
    if not isinstance(wanted, int) or wanted < 1 or tip.step is None or tip.file_id != file_id(file):
        return None
    return max(wanted, tip.step_before + 1) if tip.step_before is not None else wanted


def before_step(file: QueuedFile, tip: Tip) -> int | None:
    """The global step from which on nothing is to be gone on with; None where the newest checkpoint will do.

    The onset of a fault, as the recovery has decided, and the half of another file that was given up.
    """
    onset = own_onset(file, tip)
    steps = [onset] if onset is not None else []
    if tip.unfinished and tip.file_id != file_id(file) and tip.step_before is not None:
        steps.append(tip.step_before + 1)
    return min(steps, default=None)


def command_line(
    begin: Sequence[str],
    settings: Settings,
    file: QueuedFile,
    data: Path,
    *,
    history: History,
    changes: Mapping[str, Any],
    before: int | None,
    on_top: bool = False,
) -> list[str]:
    """The command of an attempt; `begin` is `python -m trainguard train`. `on_top` of a file that looks unfinished."""
    command = [*begin, str(settings.config), "--format", "json", "--set", f"data={data}"]
    for name, value in changes.items():
        command += ["--set", f"{name}={value}"]
    command += ["--file-id", file_id(file)]
    for first, last in history.skipped:
        command += ["--skip-steps", f"{first}-{last}"]
    command += ["--on-top"] if on_top else []
    return command + (["--before-step", str(before)] if before is not None else [])
