"""From a save to a checkpoint: written aside, synced, listed in a manifest, and only then given its name.

A checkpoint is saved as `<run>/.trainguard-staging-<step>/checkpoint-<step>`, on the file system on which it will
stand, so that one rename gives it its name. When the Trainer has written its last file, `saved.json` beside it says so.
A process that is killed after that loses nothing: the next one finishes the work. This is sound as long as the machine
did not restart meanwhile, because a killed process takes nothing back that it wrote, and a machine that lost its power
may. So `saved.json` names the boot, and a save of another boot is dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from trainguard.checkpoints import REMOVED_PREFIX, write_manifest
from trainguard.durable import sync_folder
from trainguard.facts.checkpoint.folder import MANIFEST
from trainguard.fencing import Fence, FencedError

PREFIX = ".trainguard-staging-"
_NAME = re.compile(r"^\.trainguard-staging-(\d{1,18})$", re.ASCII)
_SAVED = "saved.json"
_NEW, _ASIDE = "new", "replaced"
# linux/fs.h; renameat2(2): since Linux 3.15, on ext4, XFS, btrfs, tmpfs, overlayfs and others.
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside a save whose last file was written: what its manifest will say, the boot of the machine.

    `fence` is the number that its process held for the folder (`trainguard.fencing`).
    """

    step: int
    boot: str | None
    run: dict[str, Any] = {}
    base_model: str | None = None
    fence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """Where the checkpoint of one step is written. `run_dir` is where it will stand.

    `fence` refuses the commit of a process that others have taken for dead.
    """

    run_dir: Path
    step: int
    fence: Fence | None = None

    @property
    def home(self) -> Path:
        return self.run_dir / f"{PREFIX}{self.step}"

    @property
    def staged(self) -> Path:
        return self.home / self.name

    @property
    def final(self) -> Path:
        return self.run_dir / self.name

    @property
    def name(self) -> str:
        return f"checkpoint-{self.step}"

    def begin(self) -> None:
        """An empty folder. What a failed save of the same step left is removed."""
        self.discard()
        self.home.mkdir(parents=True)

    def discard(self) -> None:
        """Gives the room of an unfinished save back. A checkpoint that it had moved aside goes back first."""
        self._put_back()
        shutil.rmtree(self.home, ignore_errors=True)

    def mark_saved(self, run: Mapping[str, Any], base_model: Path | None) -> None:
        """Notes that every file has been written, with what the manifest will need."""
        base = str(base_model) if base_model is not None else None
        fence = self.fence.number if self.fence is not None else None
        note = Saved(step=self.step, boot=_boot(), run=dict(run), base_model=base, fence=fence)
        path = self.home / f"{_SAVED}.tmp"
        path.write_bytes(msgspec.json.encode(note))
        os.replace(path, self.home / _SAVED)

    def finish(self, run: Mapping[str, Any], base_model: Path | None) -> Path:
        """Syncs, lists and names the checkpoint; where it stands.

        Raises OSError where the disk does not let it, FencedError where somebody else has the folder now: then what was
        written aside is removed, if it is this process's own.
        """
        if not (self.staged / MANIFEST).is_file():
            write_manifest(self.staged, step=self.step, run=run, base_model=base_model)
        try:
            with self.fence.committing() if self.fence is not None else contextlib.nullcontext():
                self._publish()
        except FencedError:
            note = self._note()
            if note is not None and self.fence is not None and note.fence == self.fence.number:
                self.discard()
            raise
        return self.final

    def resumable(self) -> Saved | None:
        """What the note says where this save was complete and may be finished by another process, else None."""
        note = self._note()
        if note is None:
            return None
        same_boot = note.boot is not None and note.boot == _boot()
        listed = (self.staged / MANIFEST).is_file()  # all that a manifest lists was synced before it
        return note if note.step == self.step and self.staged.is_dir() and (same_boot or listed) else None

    def _note(self) -> Saved | None:
        try:
            return msgspec.json.decode((self.home / _SAVED).read_bytes(), type=Saved)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _publish(self) -> None:
        """Gives the checkpoint its name. One of that name which stands already is there until the new one is."""
        try:
            os.rename(self.staged, self.final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not self.final.is_dir():
                raise
            # Under another name first: after the swap the older one must not lie where a save to be finished would.
            new = self.home / _NEW
            os.rename(self.staged, new)
            if not _exchange(new, self.final):
                os.rename(self.final, self.home / _ASIDE)
                os.rename(new, self.final)
        sync_folder(self.run_dir)
        shutil.rmtree(self.home, ignore_errors=True)

    def _put_back(self) -> None:
        aside = self.home / _ASIDE
        if aside.is_dir() and not self.final.exists():
            os.rename(aside, self.final)
            sync_folder(self.run_dir)


def left_behind(run_dir: Path) -> list[Staging]:
    """The saves that did not reach their end in `run_dir`, oldest first."""
    try:
        names = os.listdir(run_dir)
    except OSError:
        return []
    steps = sorted(int(found[1]) for name in names if (found := _NAME.match(name)) is not None)
    places = [Staging(run_dir=run_dir, step=step) for step in steps]
    return [each for each in places if each.home.is_dir() and not each.home.is_symlink()]


def remove_leftovers(run_dir: Path) -> None:
    """Ends deletions that a killed process had begun."""
    with contextlib.suppress(OSError):
        for name in os.listdir(run_dir):
            path = run_dir / name
            if name.startswith(f"{REMOVED_PREFIX}checkpoint-") and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step; False where the system has no such call."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2  # glibc 2.28, and newer
    except (AttributeError, OSError):
        return False
    result: int = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE))
    return result == 0


def _boot() -> str | None:
    """A name of the time since the machine was started (random(4), boot_id); None where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or None
    except OSError:
        return None
