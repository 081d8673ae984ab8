"""Sees that the loop comes round, from the main thread, which touches no disk: a dead mount can stop the loop alone.

What it does then: it says which file system does not answer, where that can still be heard; it hands on signals, and
ends the daemon at their deadline; and it ends a run whose lease another machine may take. The run itself goes on, under
its nanny. A service manager's watchdog is told that the daemon lives while a file system is at fault, since to start
anew would help nobody; where the loop stands still for another reason it is told nothing.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.service import Notifier
from trainguard.facts.machine.folder import read_folder
from trainguard.facts.machine.mounts import is_network, mount_of, read_mounts

if TYPE_CHECKING:
    from trainguard.daemon.attempt import Attempt

logger = logging.getLogger(__name__)

# The loop comes round every two seconds, and one call of it may wait for a locked database for as long again.
SILENT_SECONDS = 15.0
# After the deadline at which a run that does not save is ended.
_SPARE_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_ASK_SECONDS = 15.0
# An automounter or a disk that spins up takes seconds (as in facts/machine/folder.py).
_DEADLINE_SECONDS = 10.0
# As a share of the lease: before the server's clock gives the file to another daemon (as in keeping.py).
_GIVE_UP = 0.7
_AGAIN_SECONDS = 600.0
# Files are hashed at a start, and an end waits for processes. A machine that starves a process does so for seconds.
_MAY_TAKE_LONG, _STILL_SECONDS = ("start", "end"), 60.0
# The shell's number for what a signal ended early: the queue was not told, the next start takes up what is left.
EXIT_SILENT = 1


class Beat:
    """What the loop does now, and since when. Written by the loop, read by others."""

    def __init__(self) -> None:
        self._now = ("start", time.monotonic())

    def at(self, doing: str) -> None:
        self._now = (doing, time.monotonic())

    @property
    def doing(self) -> str:
        return self._now[0]

    @property
    def silent_seconds(self) -> float:
        return time.monotonic() - self._now[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A file system that did not answer: since `time` (unix seconds), for `seconds` so far or in all."""

    path: Path
    words: str
    time: float
    seconds: float


@dataclass(slots=True, kw_only=True)
class Overseer:
    """`run` is asked for at each look, `wake` is called after a signal, `tell` is for a place elsewhere (a database
    server), `leave` ends the process.

    `lease_seconds` None: nobody else could take up the file.
    """

    beat: Beat
    places: Sequence[Path]
    notifier: Notifier
    signals: Callable[[], int]
    run: Callable[[], Attempt | None]
    deadline_seconds: float
    lease_seconds: float | None = None
    wake: Callable[[], object] | None = None
    tell: Callable[[Silence], object] | None = None
    silent_seconds: float = SILENT_SECONDS
    leave: Callable[[int], object] = os._exit
    silence: Silence | None = None
    past: list[Silence] = field(default_factory=list)
    _asking: Background[Path | None] | None = None
    _due: Every = field(default_factory=lambda: Every(_ASK_SECONDS))
    _words_due: Every = field(default_factory=lambda: Every(_AGAIN_SECONDS))
    _woken: int = 0
    _asked_to_stop: int = 0
    _end_by: float = float("inf")
    _since: float = 0.0

    def watch(self, work: Callable[[], int]) -> int:
        """Does `work` in a thread and watches it. Returns what it returns, raises what it raises."""
        job = Background(work, "loop")
        while not job.wait(_LOOK_SECONDS):
            if self.wake is not None and (signals := self.signals()) > self._woken:
                self._woken = signals
                self.wake()
            try:
                self._look()
            except Exception as error:  # no thread to be had, say: the loop and its run go on without
                if self._words_due.due():
                    logger.error("the loop is not watched: %s: %s", type(error).__name__, error)
        return job.result()

    def _look(self) -> None:
        seconds = self.beat.silent_seconds
        if seconds < self.silent_seconds:
            self._asking = None  # an answer that comes now is none to the next silence
            self._heard_again()
            return
        self._hand_on()
        run = self.run()
        if run is not None and self.lease_seconds is not None and seconds > self.lease_seconds * _GIVE_UP:
            run.end_now("lease")
        if self._asking is None:
            if self._due.due():
                self._asking = Background(self._ask, "places")
        elif self._asking.done:
            job, self._asking = self._asking, None
            self._say(job.result())
        if self.silence is not None:
            self.notifier.alive()

    def _ask(self) -> Path | None:
        """The first place that does not answer. In a thread, by a process: both may be left behind."""
        for place in self.places:
            if read_folder(place, deadline_seconds=_DEADLINE_SECONDS).answered is False:
                return place
        return None

    def _say(self, place: Path | None) -> None:
        seconds = self.beat.silent_seconds
        if seconds < self.silent_seconds:
            return
        if place is None:
            long = seconds > _STILL_SECONDS and self.beat.doing not in _MAY_TAKE_LONG
            if long and self.silence is None and self._words_due.due():
                logger.error(
                    "the loop stands still in %r for %.0f s, though its folders answer", self.beat.doing, seconds
                )
            return
        run = "the run in training goes on by itself" if self.run() is not None else "no run is in training"
        words = (
            f"SYS012 the file system of {place} has not answered for {seconds:.0f} s{_mounted(place)}; the daemon "
            f"waits for it, nothing is lost, {run}"
        )
        first = self.silence is None
        began = self.silence.time if self.silence is not None else time.time() - seconds
        if first:
            self._since = time.monotonic() - seconds
        self.silence = Silence(path=place, words=words, time=began, seconds=seconds)
        self.notifier.status(words)
        if first or self._words_due.due():
            self._words_due.later(_AGAIN_SECONDS)
            logger.error("%s", words)
        if first and self.tell is not None:
            tell, silence = self.tell, self.silence
            Background(lambda: tell(silence), "tell")

    def _heard_again(self) -> None:
        silence, self.silence = self.silence, None
        if silence is None:
            return
        self._words_due.at_once()
        seconds = time.monotonic() - self._since
        words = f"SYS012 the file system of {silence.path} answers again; it did not for {seconds:.0f} s"
        logger.warning("%s", words)
        self.past.append(Silence(path=silence.path, words=words, time=silence.time, seconds=seconds))

    def _hand_on(self) -> None:
        """Signals that the loop cannot hear: the run saves, and at the deadline all ends. A second one: at once."""
        signals = min(self.signals(), 2)
        run = self.run()
        if signals > self._asked_to_stop:
            self._asked_to_stop = signals
            deadline = self.deadline_seconds if signals == 1 and run is not None else 0.0
            self._end_by = min(self._end_by, time.monotonic() + deadline + _SPARE_SECONDS)
            if run is not None and signals == 1:
                run.stop("drain", deadline)
            elif run is not None:
                run.end_now()
        if time.monotonic() > self._end_by:
            logger.error("asked to stop, and the loop does not come round: ended; the next start takes up what is left")
            if run is not None:
                run.end_now()
            self.leave(EXIT_SILENT)


def _mounted(place: Path) -> str:
    """The mount by the kernel's table, which answers whatever hangs; a link on the way there is not followed."""
    mounts = read_mounts()
    mount = mount_of(os.path.abspath(place), mounts) if mounts is not None else None
    if mount is None:
        return ""
    what = f"{mount.filesystem} from {mount.source}"
    if not is_network(mount.filesystem) and not mount.filesystem.startswith("fuse"):
        return f" ({what}): look at the disk, and at the kernel's log with `dmesg`"
    # Ends the waiting of NFS and FUSE alone (umount(8), umount2(2): MNT_FORCE).
    return f" ({what}): look at its server, or end the waiting with `umount -f {mount.mount_point}`"
