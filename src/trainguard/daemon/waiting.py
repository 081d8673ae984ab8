"""What a paused queue waits for, asked again and again, never where an answer could hold up the loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from trainguard.daemon.acting import WAITS
from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.gpu import GpuMemory
from trainguard.daemon.probing import answers, can_start, gpu_again, host_of
from trainguard.daemon.pruning import make_room
from trainguard.daemon.settings import Settings
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.machine.folder import read_folder
from trainguard.queue.custody import Custody
from trainguard.queue.store import Queue
from trainguard.recovery.records import Failure

logger = logging.getLogger(__name__)

# A person who frees a disk or mounts a server again should not have to wait for long; asking costs one small process.
_PROBE_SECONDS = 15.0
# Where nothing can be asked (no driver's library, an error that names no host) the next attempt is to show.
_TRY_SECONDS = 60.0
# A host that cannot be reached like this may be reached by the run, through a proxy of its own: then that is to show.
_NETWORK_SECONDS = 1_800.0
_DEADLINE_SECONDS = 10.0
# A checkpoint that failed for want of room needs as much as the last one, and the file system a little for itself;
# where there is no last one, room for a small model with its optimizer.
_ROOM = 1.5
_LEAST_FREE_BYTES = 1 << 30
_LEAST_FREE_INODES = 1_000
# A disk on which others write too must not be enough now and full a moment later: where it was too
# little, enough is seen twice, with this much more.
_SPARE, _TIMES = 1.1, 2


class Waits:
    """A pause that ends by itself: `ended` says why it may end now."""

    def __init__(
        self,
        settings: Settings,
        custody: Custody | None = None,
        *,
        queue: Queue | None = None,
        gpu: GpuMemory | None = None,
        probe_seconds: float = _PROBE_SECONDS,
    ) -> None:
        self._custody = custody if custody is not None else Custody(settings.home)
        self._settings = settings
        self._queue = queue
        self._gpu = gpu
        self._short, self._enough = False, 0
        self.failure: Failure | None = None
        self._every = Every(probe_seconds)
        self._asking: Background[str | None] | None = None
        self._paused: str | None = None
        self._since = time.monotonic()
        self.needed_bytes: int | None = None

    def ended(self, paused: str) -> str | None:
        """Why the pause of these words may end, None as long as it may not. Never waits."""
        if paused != self._paused:
            self._paused, self._since, self._asking = paused, time.monotonic(), None
            self._short, self._enough = False, 0
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
        probe, passed = self._probe(kind, paused), time.monotonic() - self._since
        most = _TRY_SECONDS if probe is None else _NETWORK_SECONDS if kind == "network" else float("inf")
        if passed >= most:
            return f"{passed:.0f} s have passed, the next attempt will show"
        if probe is None:
            return None
        self._asking = Background(probe, f"probe-{kind}")
        return None

    def _probe(self, kind: str, paused: str) -> Callable[[], str | None] | None:
        match kind:
            case "disk":
                return self._disk
            case "mount":
                return self._mount
            case "gpu" if self._gpu is not None and self._gpu.before:
                gpu, failure = self._gpu, self.failure
                return lambda: self._ask_gpu(gpu, failure)
            case "network" if (named := host_of(paused)) is not None:
                host, port = named
                return lambda: f"{host}:{port} answers" if answers(host, port) else None
            case "start":
                return lambda: "a process can be started again" if can_start() else None
            case _:
                return None

    def _ask_gpu(self, gpu: GpuMemory, failure: Failure | None) -> str | None:
        there, seen = gpu_again(gpu, failure.kind if failure is not None else None, failure.data if failure else {})
        if not there:
            logger.info("still waiting: %s", seen)
        return seen if there else None

    def _disk(self) -> str | None:
        if not self._short and self._queue is not None and self._custody.away() is None:
            # Nothing goes but now, and nothing that the configuration keeps.
            make_room(self._settings, self._custody, self._queue)
        facts = read_folder(self._settings.output_dir, deadline_seconds=_DEADLINE_SECONDS)
        free, inodes = facts.free_bytes, facts.free_inodes
        newest = _newest_bytes(self._settings.output_dir)
        needed = max(self.needed_bytes or 0, 0) or (round(newest * _ROOM) if newest else _LEAST_FREE_BYTES)
        needed = round(needed * _SPARE) if self._short else needed
        if free is None or free < needed or (inodes is not None and inodes < _LEAST_FREE_INODES):
            have = "?" if free is None else f"{free / 1e6:,.1f} MB"
            logger.info("still waiting: %s of %.1f MB that are needed are free", have, needed / 1e6)
            self._short, self._enough = True, 0
            return None
        self._enough += 1
        if self._short and self._enough < _TIMES:
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
