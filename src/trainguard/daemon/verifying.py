"""Is a file really trained? The newest checkpoint and `final` are read byte by byte, in a process of its own.

`python -m trainguard.daemon.verifying OUTPUT_DIR FILE_ID` prints the answer as one JSON object. What does not hold its
bytes is moved to the quarantine, so that the next attempt makes it again; nothing is deleted.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from trainguard.checkpoints import quarantine
from trainguard.daemon.aside import Aside, Said
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.manifest import Manifest, differences, read_manifest
from trainguard.facts.checkpoint.verify import verify
from trainguard.facts.weights.files import UnsoundError

FINAL = "final"
# A checkpoint of 500 GB from a disk of 100 MB/s takes 5,000 s.
DEADLINE_SECONDS = 4 * 3600.0


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `problem` None: the file is trained, and `step` (global) and `checkpoint` say where it ended.

    `moved` is what was put into the quarantine.
    """

    problem: str | None = None
    step: int | None = None
    step_before: int | None = None
    planned_steps: int | None = None
    checkpoint: str | None = None
    moved: str | None = None


def begin_verifying(output_dir: Path, file_id: str) -> Aside:
    """Starts the verification."""
    command = [sys.executable, "-m", "trainguard.daemon.verifying", str(output_dir), file_id]
    return Aside(command, deadline_seconds=DEADLINE_SECONDS)


def read_trained(said: Said) -> Trained:
    """What the verification said; where it failed itself, that as the problem."""
    if said.timed_out:
        return Trained(problem=f"reading the checkpoint took longer than {DEADLINE_SECONDS / 3600:.0f} h")
    try:
        return msgspec.json.decode(said.output, type=Trained)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        words = said.error.rpartition("\n")[2] or f"it ended with {said.exit_code}"
        return Trained(problem=f"the checkpoint could not be verified ({words})")


def verify_trained(output_dir: Path, file_id: str) -> Trained:
    """Whether the steps of this file are all made, and what they made is on the disk. Never raises."""
    folder = latest_verified_checkpoint(output_dir)
    if folder is not None:
        one = verify(folder, output_dir, deep=True)
        if not one.verified:
            words = f"{folder.name} does not hold what was written: {one.why_not}"
            return Trained(problem=words, moved=_aside(folder, words))
    manifest = _manifest(folder) if folder is not None else None
    final = _manifest(output_dir / FINAL)
    if manifest is None and final is None:
        return Trained(problem="there is neither a checkpoint that verifies nor a result")
    made = manifest or final
    assert made is not None
    if (found := made.run.get("file_id")) not in (None, file_id):
        return Trained(problem=f"the newest checkpoint is of the file {found}, not of {file_id}", step=made.step)
    # The result tells what the last attempt planned; an older checkpoint, what was planned before data were left out.
    told = final.run if final is not None and final.step == made.step else made.run
    before, planned = _whole(told.get("step_before")), _whole(told.get("planned_steps"))
    if before is not None and planned is not None and made.step - before < planned:
        words = f"{made.step - before:,} of {planned:,} planned steps are made"
        return Trained(problem=words, step=made.step, step_before=before, planned_steps=planned)
    if final is None or final.step != made.step:
        there = f"is of step {final.step:,}" if final is not None else "is missing or has no manifest that can be read"
        return Trained(problem=f"{FINAL} {there}, the checkpoint of step {made.step:,}", step=made.step)
    if differs := _differences(output_dir / FINAL, final):
        words = f"{FINAL} does not hold what was written: {differs}"
        return Trained(problem=words, step=made.step, moved=_aside(output_dir / FINAL, words))
    return Trained(
        step=made.step,
        step_before=before,
        planned_steps=planned,
        checkpoint=folder.name if folder is not None else FINAL,
    )


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except (UnsoundError, OSError):
        return None


def _differences(folder: Path, manifest: Manifest) -> str:
    try:
        found = differences(folder, manifest, deep=True)
    except OSError as error:
        return str(error)
    return f"{found[0][0]} {found[0][1]}" if found else ""


def _aside(folder: Path, words: str) -> str | None:
    with contextlib.suppress(OSError, UsageError):
        return str(quarantine(folder, reasons=[words]))
    return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def main(arguments: list[str]) -> int:
    output_dir, file_id = arguments
    print(json.dumps(msgspec.to_builtins(verify_trained(Path(output_dir), file_id))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
