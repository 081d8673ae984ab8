"""Back to before a step: what is newer is not trusted any more, and goes where nobody looks. Nothing is deleted."""

from __future__ import annotations

from pathlib import Path

from trainguard.checkpoints import quarantine
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.manifest import differences, read_manifest
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.records import Checkpoint
from trainguard.facts.checkpoint.verify import verify
from trainguard.facts.weights.files import UnsoundError
from trainguard.train.final_save import FINAL


def newest_before(output_dir: Path, step: int) -> Checkpoint | None:
    """The newest verified checkpoint whose global step is below `step`, else the result of a file that ended there.

    The result has the weights of the end of a file and no optimizer: another file can be trained on top of it. Raises
    UsageError where there is neither, and a file before this one would be lost by beginning anew.
    """
    for folder in reversed(_folders(output_dir)):
        if _step(folder) < step and (found := verify(folder, output_dir)).verified:
            return found
    result = _result(output_dir)
    if result is not None and result.step is not None and result.step < step:
        return result
    begun = _began_at(output_dir)
    if begun:
        raise UsageError(
            f"--before-step {step}: no checkpoint below it verifies in {output_dir}, and what was learnt from the "
            f"files up to step {begun:,} would be lost by beginning anew: give a higher step, put a checkpoint back "
            "from the quarantine, or pass --no-resume to begin anew all the same"
        )
    return None


def set_aside_from(output_dir: Path, step: int) -> list[Path]:
    """Moves the checkpoints of `step` and later to the quarantine, the newest first; where they are now.

    Raises UsageError where one of them stays.
    """
    reason = f"the run went back to before step {step:,}, so that what came from then on is not trusted"
    moved = []
    for folder in reversed(_folders(output_dir)):
        if _step(folder) < step:
            break
        try:
            moved.append(quarantine(folder, reasons=[reason]))
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be set aside ({error.strerror or error}), and the run would go on from it: move it "
                "away, or take another output_dir"
            ) from None
    return moved


def _folders(output_dir: Path) -> list[Path]:
    try:
        return checkpoint_folders(output_dir)
    except OSError:
        return []


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _result(output_dir: Path) -> Checkpoint | None:
    folder = output_dir / FINAL
    try:
        manifest = read_manifest(folder)
        if manifest is None or differences(folder, manifest):
            return None
    except (UnsoundError, OSError):
        return None
    return Checkpoint(path=folder, name=FINAL, step=manifest.step, manifest=manifest, verified=True, by="manifest")


def _began_at(output_dir: Path) -> int:
    """The global step at which the newest file began; 0 where it was the first, or where nothing tells."""
    for folder in reversed(_folders(output_dir)):
        try:
            manifest = read_manifest(folder)
        except (UnsoundError, OSError):
            continue
        began = manifest.run.get("step_before") if manifest is not None else None
        if isinstance(began, int):
            return began
    return 0
