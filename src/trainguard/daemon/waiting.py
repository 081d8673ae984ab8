"""What a paused queue waits for, asked again and again, never where an answer could hold up the loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from trainguard.daemon.acting import WAITS
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.settings import Settings
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.machine.folder import read_folder
from trainguard.queue.custody import Custody

logger = logging.getLogger(__name__)

# A person who frees a disk or mounts a server again should not have to wait for long; asking costs one small process.
_PROBE_SECONDS = 15.0
# Nothing can be asked about the network in general, nor about a GPU without taking it: the next attempt is to show.
_TRY_SECONDS = 60.0
_DEADLINE_SECONDS = 10.0
# A checkpoint that failed for want of room needs as much as the last one, and the file system a little for itself;
# where there is no last one, room for a small model with its optimizer.
_ROOM = 1.5
_LEAST_FREE_BYTES = 1 << 30
_LEAST_FREE_INODES = 1_000


class Waits:
    """A pause that ends by itself: `ended` says why it may end now."""

    def __init__(
        self, settings: Settings, custody: Custody | None = None, *, probe_seconds: float = _PROBE_SECONDS
    ) -> None:
        self._custody = custody if custody is not None else Custody(settings.home)
        self._settings = settings
        self._every = Every(probe_seconds)
        self._asking: Background[str | None] | None = None
        self._paused: str | None = None
        self._since = time.monotonic()
        self.needed_bytes: int | None = None

    def ended(self, paused: str) -> str | None:
        """Why the pause of these words may end, None as long as it may not. Never waits."""
        if paused != self._paused:
            self._paused, self._since, self._asking = paused, time.monotonic(), None
            self._every.later(min(self._every.seconds, 1.0))
        kind = waits_for(paused)
        if kind is None:
            return None
        if self._asking is not None:
            if not self._asking.done:
                return None
            job, self._asking = self._asking, None
            return job.result()
        if not self._every.due():
            return None
        probe = self._probe(kind)
        if probe is None:
            passed = time.monotonic() - self._since
            return f"{passed:.0f} s have passed, the next attempt will show" if passed >= _TRY_SECONDS else None
        self._asking = Background(probe, f"probe-{kind}")
        return None

    def _probe(self, kind: str) -> Callable[[], str | None] | None:
        match kind:
            case "disk":
                return self._disk
            case "mount":
                return self._mount
            case _:
                return None

    def _disk(self) -> str | None:
        facts = read_folder(self._settings.output_dir, deadline_seconds=_DEADLINE_SECONDS)
        free, inodes = facts.free_bytes, facts.free_inodes
        newest = _newest_bytes(self._settings.output_dir)
        needed = max(self.needed_bytes or 0, 0) or (round(newest * _ROOM) if newest else _LEAST_FREE_BYTES)
        if free is None or free < needed or (inodes is not None and inodes < _LEAST_FREE_INODES):
            have = "?" if free is None else f"{free / 1e6:,.1f} MB"
            logger.info("still waiting: %s of %.1f MB that are needed are free", have, needed / 1e6)
            return None
        return f"{free / 1e6:,.1f} MB are free now, {needed / 1e6:,.1f} MB are needed"

    def _mount(self) -> str | None:
        facts = read_folder(self._settings.output_dir, deadline_seconds=_DEADLINE_SECONDS)
        if facts.write is None or not facts.write.written:
            return None
        # Asked in this thread, which nobody waits for: what hangs here is not there.
        if (why := self._custody.away()) is not None:
            logger.info("still waiting: %s", why)
            return None
        return f"{self._settings.output_dir} answers and can be written"


def _newest_bytes(output_dir: Path) -> int | None:
    """What the newest checkpoint takes, whole or not; None where there is none."""
    try:
        folders = checkpoint_folders(output_dir)
        files = [each for each in folders[-1].rglob("*") if each.is_file()] if folders else []
        return sum(each.stat().st_size for each in files) or None
    except OSError:
        return None


def waits_for(paused: str) -> str | None:
    """What the words of a pause wait for; None for a pause that a person ends."""
    kind, colon, _ = paused.partition(": ")
    return kind if colon and kind in WAITS else None
