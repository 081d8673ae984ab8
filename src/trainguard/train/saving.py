"""CheckpointKeeper: vouches for what a run saved, keeps what is needed, and says what did not fit on the disk.

For a stock Trainer, which writes in place and without fsync, a manifest after the save is the commit mark (`saving`,
`saved`). `VerifiedSaves` hands over a save that was written aside (`publish`). Either way one thread does the syncing
and hashing, in the order of the saves; nothing older is deleted before the newer one is vouched for.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

from trainguard.checkpoints import quarantine, remove, write_manifest
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.folder import MANIFEST
from trainguard.facts.checkpoint.prunable import is_whole, prunable
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.verify import verify
from trainguard.fencing import Fence, FencedError
from trainguard.findings import Finding
from trainguard.train.resuming import Settled, settle
from trainguard.train.run_lock import Held, RunLock
from trainguard.train.space import (
    FULL_BELOW_BYTES,
    OnWait,
    allocated_bytes,
    disk_full_finding,
    free_bytes,
    is_disk_full,
    wait_for_space,
)
from trainguard.train.staging import Staging

logger = logging.getLogger(__name__)


class CheckpointKeeper:
    """The checkpoints of one run in `output_dir`; for the one process that saves (rank 0).

    `keep` is the number of checkpoints that stay (None or 0: all, as with `save_total_limit`). `run` are plain values
    for the manifests, `base_model` the folder of the model that is trained. With `background=False` every call returns
    when its work is done. `on_verified(folder, step)` and `on_finding(finding)` come from the thread that did the work.
    `fence` is by default the number in the environment; where somebody has a higher one for the folder nothing is
    vouched for and nothing deleted any more, and `fenced` says so.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        keep: int | None = None,
        run: Mapping[str, Any] | None = None,
        base_model: Path | None = None,
        background: bool = True,
        on_verified: Callable[[Path, int], None] | None = None,
        on_finding: Callable[[Finding], None] | None = None,
        fence: Fence | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.fence = fence if fence is not None else Fence.of(self.output_dir)
        self.fenced: FencedError | None = None
        self.keep = keep if keep is not None and keep > 0 else None
        self.run: dict[str, Any] = dict(run or {})
        self.base_model = base_model
        self.background = background
        self.on_verified = on_verified
        self.on_finding = on_finding
        self._lock = RunLock(self.output_dir)
        self._guard = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._work: list[Future[None]] = []
        self._pending: set[str] = set()
        self._saved: dict[str, int] = {}
        self._protected: set[Path] = set()
        self._best: Path | None = None
        self._begun: Path | None = None
        self._last_bytes = 0
        self._unread: list[Finding] = []

    # Before a run, and before a save.

    def claim(self) -> Held:
        """Takes the folder for this process: `taken` where another run writes into it."""
        return self._lock.take()

    def settle(self) -> Settled:
        """Puts the output folder in order before a run: see `resuming.settle`. A no-op where another run writes."""
        return settle(self.output_dir, self._lock)

    def saving(
        self,
        folder: Path,
        step: int,
        *,
        least_bytes: int = 0,
        wait_seconds: float = 0.0,
        on_wait: OnWait | None = None,
    ) -> bool:
        """To be called before a stock Trainer saves into `folder`; whether there is room for it.

        Ends what is pending, prunes for room and waits for it up to `wait_seconds`; without it there is a finding, and
        the save should not be begun. A folder of that name is moved to the quarantine, because the Trainer would write
        over it in place.
        """
        self.wait()
        self._lock.take()
        if self.make_room(step, least_bytes=least_bytes, wait_seconds=wait_seconds, on_wait=on_wait) is not None:
            return False
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError, UsageError):
                quarantine(folder, reasons=["another save of the same step began"])
        if not os.path.lexists(folder):
            self._begun = folder
            atexit.register(self._remove_debris)  # an exception in a save ends most scripts without another word to us
        return True

    def make_room(
        self, step: int, *, least_bytes: int = 0, wait_seconds: float = 0.0, on_wait: OnWait | None = None
    ) -> Finding | None:
        """None where a checkpoint like the last one (of `least_bytes` at least) fits; else why not, after pruning for
        it and waiting."""
        needed = max(self.expected_bytes(), least_bytes)
        free = free_bytes(self.output_dir)
        if free is None or free >= needed:
            return None
        removed = _names(self.free_up(needed))
        if removed:
            words = f"{', '.join(removed)} went for it, the oldest that is not needed"
            self.say_full(step, words, needed, severity="warn", removed=removed)
        if (free_bytes(self.output_dir) or 0) >= needed:
            return None
        if wait_seconds > 0:
            self.say_full(step, f"the run waits up to {wait_seconds:,.0f} s for room", needed, severity="warn")
            if wait_for_space(self.output_dir, needed, deadline_seconds=wait_seconds, on_wait=on_wait):
                return None
        return self.say_full(step, "it was not begun", needed)

    def expected_bytes(self) -> int:
        """Bytes that the newest whole checkpoint takes on the disk; 0 where there is none."""
        if self._last_bytes == 0:
            whole = (each for each in self._newest_first() if is_whole(each, self.output_dir))
            self._last_bytes = next((allocated_bytes(each) for each in whole), 0)
        return self._last_bytes

    # After a save.

    def saved(self, folder: Path, step: int) -> None:
        """The Trainer has saved into `folder` and every rank is done: syncs, hashes, writes the manifest."""
        folder = self.output_dir / folder.name
        self._forget_begun()
        if not folder.is_dir() or folder.is_symlink() or _has_fresh_manifest(folder):
            return  # VerifiedSaves did it, or does it now
        with self._guard:
            self._pending.add(folder.name)
        self._submit(lambda: self._mark(folder, step))

    def publish(self, place: Staging) -> None:
        """A save that was written aside and is complete: syncs, hashes, lists it, and gives it its name."""
        self._submit(lambda: self._publish(place))

    def wait(self, timeout: float | None = None) -> None:
        """Until everything that was handed over is done. Raises TimeoutError."""
        try:
            while self._work:
                self._work[0].result(timeout)
                self._work.pop(0)
        except FutureTimeoutError:
            raise TimeoutError(f"a checkpoint in {self.output_dir} is still being verified") from None

    def latest_verified(self) -> Path | None:
        """The newest checkpoint that verifies. One whose manifest is still to be written is none yet."""
        for folder in self._newest_first():
            if verify(folder, self.output_dir).verified:
                return folder
        return None

    def is_fenced(self) -> bool:
        """Whether somebody with a higher number has the folder now. A fence that cannot be read refuses nothing."""
        if self.fenced is None:
            try:
                self.fence.check()
            except FencedError as error:
                self.fenced = error
            except OSError:
                return False
        return self.fenced is not None

    # What stays.

    def protect(self, folder: Path) -> None:
        """Never deletes this checkpoint: a job is based on it."""
        self._protected.add(folder)

    def best(self, folder: str | Path | None) -> None:
        """Never deletes the best checkpoint; None where there is none."""
        self._best = Path(folder) if folder else None

    def prune(self, best: Path | None = None) -> list[Path]:
        """Deletes the oldest checkpoints beyond `keep`; those deleted.

        Never the two newest that are whole, the best, or a protected one. What is pending does not count: once it is
        vouched for, there is another pruning.
        """
        self.best(best if best is not None else self._best)
        return self._prune(self.keep) if self.keep is not None else []

    def free_up(self, needed_bytes: int) -> list[Path]:
        """Deletes the oldest checkpoints that are not needed until `needed_bytes` are free; those deleted."""
        removed: list[Path] = []
        while (free := free_bytes(self.output_dir)) is not None and free < needed_bytes:
            gone = self._prune(0, at_most=1)
            if not gone:
                break
            removed += gone
        return removed

    def _prune(self, keep: int, at_most: int | None = None) -> list[Path]:
        removed: list[Path] = []
        if self.is_fenced():
            return removed
        with self._guard:
            protected = {*self._protected, *([self._best] if self._best is not None else [])}
            found = prunable(
                self.output_dir, keep=keep, protected=protected, saved=self._saved, pending=frozenset(self._pending)
            )
            for folder in found[:at_most]:
                try:
                    remove(folder)
                except OSError as error:
                    logger.warning("%s could not be deleted: %s", folder, error)
                    continue
                removed.append(folder)
        return removed

    # What was found.

    def findings(self) -> list[Finding]:
        """What came up since the last call."""
        with self._guard:
            found, self._unread = self._unread, []
        return found

    def say(self, finding: Finding) -> None:
        with self._guard:
            self._unread.append(finding)
        if self.on_finding is not None:
            self.on_finding(finding)

    def say_full(self, step: int, outcome: str, needed: int, **more: Any) -> Finding:
        good = self.latest_verified()
        finding = disk_full_finding(self.output_dir, step=step, outcome=outcome, needed_bytes=needed, good=good, **more)
        self.say(finding)
        return finding

    def close(self) -> None:
        """Ends the work and removes what a failed save of this process left. May be called more than once."""
        self.wait()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._remove_debris()
        self._lock.release()

    def _remove_debris(self) -> None:
        """The folder that `saving` announced and that `saved` never came for: an exception ended the save."""
        folder = self._forget_begun()
        if folder is not None and folder.is_dir() and verify(folder, self.output_dir).broken:
            with contextlib.suppress(OSError):
                remove(folder)

    def _forget_begun(self) -> Path | None:
        folder, self._begun = self._begun, None
        atexit.unregister(self._remove_debris)
        return folder

    # The work, in the thread.

    def _submit(self, work: Callable[[], None]) -> None:
        if not self.background:
            work()
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="trainguard-checkpoints")
        self._work.append(self._pool.submit(work))

    def _mark(self, folder: Path, step: int) -> None:
        try:
            self.fence.check()
            self._tried(lambda: write_manifest(folder, step=step, run=self.run, base_model=self.base_model), step)
        except FencedError as error:
            self.fenced = error
            return
        except (OSError, UsageError) as error:
            logger.warning("%s could not be verified: %s", folder, error)
            if not is_disk_full(error, folder):
                with contextlib.suppress(OSError, UsageError):
                    quarantine(folder, reasons=[f"its files could not be synced and read: {error}"])
            return
        finally:
            with self._guard:
                self._pending.discard(folder.name)
        self._done(folder, step)

    def _publish(self, place: Staging) -> None:
        try:
            self._tried(lambda: place.finish(self.run, self.base_model), place.step)
        except FencedError as error:
            self.fenced = error
            return
        except (OSError, UsageError) as error:
            logger.warning("%s could not be verified and was dropped: %s", place.name, error)
            with contextlib.suppress(OSError):
                place.discard()
            return
        self._done(place.final, place.step)

    def _tried(self, work: Callable[[], object], step: int) -> None:
        """Does `work`, and on a full disk once more after pruning; what cannot be helped is said and raised."""
        try:
            work()
        except (OSError, UsageError) as error:
            if not is_disk_full(error, self.output_dir):
                raise
            removed = _names(self.free_up((free_bytes(self.output_dir) or 0) + FULL_BELOW_BYTES))
            needed = FULL_BELOW_BYTES
            try:
                work()
            except (OSError, UsageError) as again:
                self.say_full(step, "no manifest could be written", needed, error=again, removed=removed)
                raise
            words = f"{', '.join(removed)} went for it" if removed else "another try did it"
            self.say_full(step, words, needed, severity="warn", error=error, removed=removed)

    def _done(self, folder: Path, step: int) -> None:
        with self._guard:
            self._saved.pop(folder.name, None)
            self._saved[folder.name] = max(self._saved.values(), default=0) + 1
        self._last_bytes = allocated_bytes(folder)
        if self.keep is not None:
            self._prune(self.keep)
        if self.on_verified is not None:
            self.on_verified(folder, step)

    def _newest_first(self) -> Iterable[Path]:
        with self._guard:
            pending = set(self._pending)
        try:
            folders = checkpoint_folders(self.output_dir)
        except OSError:
            return []
        return [each for each in reversed(folders) if each.name not in pending]


def _has_fresh_manifest(folder: Path) -> bool:
    """Whether the manifest was written after every other file. An older one is of a save that was written over."""
    try:
        written = (folder / MANIFEST).stat().st_mtime_ns
        with os.scandir(folder) as entries:
            return all(each.stat().st_mtime_ns <= written for each in entries if each.name != MANIFEST)
    except OSError:
        return False


def _names(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders]
