"""Where output folders lie is remembered outside of them, so that a share that is away is not taken for a new folder.

A running daemon knows the number of its folder. One that starts asks the database server, where there is one; else a
file beside the configuration, `.NAME.place`, which is written where the output folder lies on another mount.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

import msgspec

from trainguard.daemon.background import Background
from trainguard.daemon.clock import Every
from trainguard.daemon.settings import Settings
from trainguard.durable import write_atomically
from trainguard.facts.machine.mounts import Mount, mount_of, read_mounts
from trainguard.queue.custody import AwayError
from trainguard.queue.place import Place, other_place
from trainguard.queue.placed import tell_place, told_place
from trainguard.queue.store import Queue

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Where an output folder lay: the number of its mark, and the mount as the kernel's table names it."""

    output_dir: str
    number: str
    mount_point: str
    filesystem: str = ""
    source: str = ""


def record_path(settings: Settings) -> Path:
    return settings.config.with_name(f".{settings.config.name}.place")


def away_before_start(settings: Settings) -> str | None:
    """Why the output folder is not there now, though it was at an earlier start; None as a rule. Makes nothing.

    A folder that is missing where the same mount stands was removed by somebody, who may begin anew.
    """
    known = _recorded(settings)
    if known is None:
        return None
    place = Place(settings.home)
    try:
        if place.read() is not None:
            return None
    except OSError as error:
        return None if error.errno == errno.EACCES else f"{settings.home}: {error.strerror or error}"
    mount = _mount(settings.output_dir)
    if mount is None or mount.mount_point == known.mount_point:
        return None
    return (
        f"{known.mount_point} is not mounted, where {settings.output_dir} lay at the last start ({known.filesystem} "
        f"from {known.source}); mount it, or where the queue is to begin anew: rm {record_path(settings)}"
    )


def arrive(settings: Settings, queue: Queue, place: Place) -> None:
    """Makes sure that the folder is the queue's, before anything is made in it, and remembers it.

    Raises AwayError where it is another one, OSError where it cannot be written.
    """
    if (why := place.away()) is not None:
        raise AwayError(why, alone=False)
    if settings.database_url is not None:
        expected, found = told_place(queue), place.read()
        if expected is not None and found != expected:
            raise AwayError(other_place(place.home, found, expected), alone=False)
    settings.home.mkdir(parents=True, exist_ok=True)
    number = place.claim()
    if settings.database_url is not None and (told := tell_place(queue, number)) != number:
        raise AwayError(other_place(place.home, number, told), alone=False)
    _record(settings, number)


def not_as_told(settings: Settings, queue: Queue) -> str | None:
    """Why a command must not write into the folder: the server knows another one. None as a rule."""
    expected = told_place(queue) if settings.database_url is not None else None
    return Place(settings.home, expected).away()


class Presence:
    """Whether the folder is there, asked beside the loop every two seconds. `why` it is not, as it was heard last."""

    def __init__(self, place: Place, *, seconds: float = _LOOK_SECONDS) -> None:
        self.why: str | None = None
        self._place = place
        self._due = Every(seconds)
        self._asking: Background[str | None] | None = None

    def look(self) -> bool:
        """Never waits. Whether it is another answer than before."""
        if self._asking is None:
            if self._due.due():
                self._asking = Background(self._place.away, "place")
            return False
        if not self._asking.done:
            return False
        job, self._asking = self._asking, None
        before, self.why = self.why, job.result()
        return (before is None) != (self.why is None)


def _recorded(settings: Settings) -> Record | None:
    try:
        known = msgspec.json.decode(record_path(settings).read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return known if known.output_dir == os.fsdecode(settings.output_dir) else None


def _record(settings: Settings, number: str) -> None:
    """Written where it differs. On the mount of the configuration none is needed: both are there or away together."""
    mount, near = _mount(settings.output_dir), _mount(settings.config.parent)
    if mount is None or near is None or mount.mount_point == near.mount_point:
        return
    new = Record(
        output_dir=os.fsdecode(settings.output_dir),
        number=number,
        mount_point=mount.mount_point,
        filesystem=mount.filesystem,
        source=mount.source,
    )
    with contextlib.suppress(OSError, UnicodeEncodeError):  # a folder that may only be read: then nothing is known
        if _recorded(settings) != new:
            write_atomically(record_path(settings), msgspec.json.encode(new) + b"\n")


def _mount(folder: Path) -> Mount | None:
    mounts = read_mounts()
    return mount_of(os.path.realpath(folder), mounts) if mounts is not None else None
