"""What a run takes up: the newest checkpoint that verifies. What is broken and newer is put where nobody looks."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from trainguard.checkpoints import quarantine
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import broken_and_newer, latest_verified_checkpoint
from trainguard.facts.checkpoint.verify import verify
from trainguard.findings import Evidence, Finding
from trainguard.train.run_lock import RunLock
from trainguard.train.staging import left_behind, remove_leftovers

# Where no guarded run wrote before, one without a guard may be writing now: what it wrote last is let be. A file of a
# large checkpoint goes to the disk in pieces, so its time of change moves while it is written.
_QUIET_SECONDS = 60.0


class UnverifiedError(UsageError, ValueError):
    """There is no checkpoint that may be resumed from. A ValueError too, as the Trainer raises where it finds none."""


@dataclass(slots=True, kw_only=True)
class Settled:
    """What was put in order before a run: saves that were finished for a killed process, dropped, or set aside."""

    finished: list[Path] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    quarantined: list[tuple[Path, str]] = field(default_factory=list)


def settle(output_dir: Path, lock: RunLock) -> Settled:
    """Puts an output folder in order, where this process is the only one that writes into it.

    Complete saves of a killed process get their manifest and name, incomplete ones are removed, and checkpoints that
    are broken and newer than the newest verified one go to the quarantine. The call is for the process that saves;
    `lock` has to be held by it, and without it nothing is done.
    """
    done = Settled()
    if not output_dir.is_dir():
        return done
    known = lock.known
    if lock.take() == "taken":
        return done
    for place in left_behind(output_dir):
        note = place.resumable()
        try:
            if note is not None:
                base = Path(note.base_model) if note.base_model is not None else None
                done.finished.append(place.finish(note.run, base))
                continue
        except (OSError, UsageError):
            pass
        with contextlib.suppress(OSError):
            place.discard()
            done.dropped.append(place.step)
    remove_leftovers(output_dir)
    for found in broken_and_newer(output_dir):
        if not known and found.saved is not None and time.time() - found.saved < _QUIET_SECONDS:
            continue
        with contextlib.suppress(OSError, UsageError):
            done.quarantined.append((quarantine(found.path, reasons=[found.why_not]), found.why_not))
    return done


def settle_for_resume(output_dir: Path) -> Settled:
    """`settle` for a callback, when a Trainer has been made (`on_init_end`) and has not chosen its checkpoint yet.

    After it the Trainer's own choice, the highest number, is the newest one that verifies, or one of which nobody can
    tell. The folder is not kept locked.
    """
    lock = RunLock(output_dir)
    try:
        return settle(output_dir, lock)
    finally:
        lock.release()


def choose(output_dir: Path, wanted: str | Path | bool | None) -> Path | None:
    """The checkpoint to resume from: the newest verified for True, the one that is named where it verifies.

    Raises UnverifiedError, a ValueError, with the reason and with what may be taken instead.
    """
    if wanted is None or wanted is False:
        return None
    newest = latest_verified_checkpoint(output_dir)
    instead = f"; the newest that verifies is {newest.name}" if newest is not None else ""
    if wanted is True:
        if newest is None:
            raise UnverifiedError(
                f"resume_from_checkpoint=True: no checkpoint in {output_dir} verifies; leave the argument out to start "
                "anew"
            )
        return newest
    folder = Path(wanted)
    if not folder.is_dir():
        raise UnverifiedError(f"resume_from_checkpoint: {folder} is no folder{instead}")
    found = verify(folder, folder.absolute().parent)
    if not found.verified:
        raise UnverifiedError(f"resume_from_checkpoint: {folder} does not verify: {found.why_not}{instead}")
    return folder


def resumed_unverified(output_dir: Path, step: int) -> Finding | None:
    """CKPT005 where the checkpoint of `step`, which a run resumed from, does not verify.

    For a callback, which cannot choose: the Trainer has taken the highest number already when it is first called. A
    checkpoint that cannot be vouched for without anything being wrong with it (another layout, saved without the
    optimizer) is none.
    """
    folder = output_dir / f"checkpoint-{step}"
    if step <= 0 or not folder.is_dir():
        return None
    found = verify(folder, output_dir)
    if not found.broken:
        return None
    newest = latest_verified_checkpoint(output_dir)
    instead = str(newest) if newest is not None else None
    words = f'; resume with resume_from_checkpoint="{instead}"' if instead else "; start anew, no other verifies"
    return Finding(
        severity="error",
        message=f"the run resumed from {folder.name}, which does not verify: {found.why_not}{words}",
        code="CKPT005",
        name="partial-save",
        step=step,
        evidence=Evidence({"checkpoint": folder.name, "why": found.why_not, "newest_verified": instead}),
        docs="docs/rules/CKPT005.md",
    )
