"""Custody of accepted files: content-addressed, read-only, and never without a row of the queue for long.

`files/<sha256>/<safe name>` holds the content, the hidden sidecars beside it what the queue knows. How a file comes
here is told in `intake`; nothing here is deleted but by `retention`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.durable import make_folder_below, sync_folder
from trainguard.queue import intake, settled
from trainguard.queue.hashing import OnProgress, hash_file, hash_open, nothing, read_only
from trainguard.queue.intake import Batch, Entry, Identity, Wanted
from trainguard.queue.names import safe_name, shown, text_of
from trainguard.queue.place import Place
from trainguard.queue.records import Priority, QueuedFile, State
from trainguard.queue.sidecars import FILES, write_sidecar

if TYPE_CHECKING:
    from trainguard.queue.reconciling import Reconciled
    from trainguard.queue.retention import Pruned
    from trainguard.queue.store import Queue

# What os.link says where a file system has no hard links, or one more is not allowed (link(2)).
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV)

_LOCK = "custody.lock"
# What a disk or a server says for itself, whatever the file (errno(3)).
MACHINE_ERRORS = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
        errno.ENXIO,
        errno.ENODEV,
        errno.EREMOTEIO,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A content in custody: its hash, its size in bytes, where it lies, and whose it is."""

    sha256: str
    size: int
    path: Path
    name: str
    origin: str
    priority: Priority = "normal"


class AwayError(OSError):
    """The custody does not answer, or not with this content: a share that is gone, a disk that fails. No file's fault.

    `alone`: the folder of all contents answers, so that it may be this one only.
    """

    def __init__(self, why: str, *, alone: bool) -> None:
        super().__init__(why)
        self.alone = alone


class Custody:
    """The files under `home`, the queue's folder. Methods raise OSError where the disk refuses; nothing is lost
    then."""

    def __init__(self, home: Path, place: Place | None = None) -> None:
        self.home = home
        self.place = place if place is not None else Place(home)
        self._known: int | None = None  # the inode of `files/` when a content was found in it last

    def path_of(self, sha256: str, name: str) -> Path:
        """Where the content of a row lies, or would lie."""
        return self.home / FILES / sha256 / safe_name(name)

    def find(self, file: QueuedFile) -> Path | None:
        """Where the content of a row lies: under its own name, or under that of another row with the same content."""
        path = self.path_of(file.sha256, file.name)
        if path.is_file():
            return path
        try:
            others = sorted(each for each in os.listdir(path.parent) if not each.startswith("."))
        except OSError:
            return None
        return next((path.parent / each for each in others if (path.parent / each).is_file()), None)

    def take_in(self, path: Path, *, remove: bool = True, priority: Priority = "normal") -> Kept:
        """Takes one file into custody, without a row: that is `accepting`'s. For callers that have their own queue.

        Raises intake.ChangedError where it is gone or still written, OSError where it cannot be read or kept.
        """
        found = Identity.of(os.lstat(path))
        origin = f"take:{secrets.token_hex(8)}/{text_of(path.name)}"
        batch = intake.begin(
            self.home, [Wanted(path=path, identity=found, origin=origin, priority=priority, remove=remove)]
        )
        (entry,) = batch.entries
        try:
            intake.fetch(batch, entry)
            kept = self.keep(batch, entry)
            self.sync(kept)
            if remove and os.path.lexists(path):
                intake.release(batch, entry)
            self.done(batch, entry)
            return kept
        finally:
            batch.finish()

    def keep(self, batch: Batch, entry: Entry, *, sync: bool = True, tick: OnProgress = nothing) -> Kept:
        """Hashes a fetched file and puts it to its place; it stays in the batch too, until `done`. `sync` False leaves
        the sync of the content to the caller."""
        source = batch.place_of(entry)
        sha256, size = hash_file(source, sync=sync, tick=tick)
        path = self.path_of(sha256, entry.name)
        try:
            path.parent.mkdir(exist_ok=True)
        except FileNotFoundError:
            make_folder_below(self.home, path.parent)
        # The same content under the same name may be there. If it is damaged, the new one is right by its hash.
        if not path.exists() or self._damaged(path, sha256, size, tick=tick):
            _second_name(source, path)
        return Kept(sha256=sha256, size=size, path=path, name=entry.name, origin=entry.origin, priority=entry.priority)

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Around `keep` and the rows that follow: what is found there already is not removed before its row stands."""
        with _lock(self.home / _LOCK, fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def removing(self) -> Iterator[bool]:
        """Around the last look at the rows of a content and its end. False while somebody keeps one: not now, then."""
        with _lock(self.home / _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            yield alone

    def sync(self, kept: Kept, *, parent: bool = True) -> None:
        """Makes the names of a content survive a power cut, its sidecars too; `parent` False leaves `sync_files` to
        do."""
        sync_folder(kept.path.parent)
        if parent:
            self.sync_files()

    def sync_files(self) -> None:
        sync_folder(self.home / FILES)

    def done(self, batch: Batch, entry: Entry) -> None:
        """The content has its row and sidecar: the batch's own name for it goes."""
        batch.place_of(entry).unlink(missing_ok=True)

    def verify(self, file: QueuedFile, *, tick: OnProgress = nothing) -> str | None:
        """Reads the whole content of a row; None where it is what was accepted, else what is wrong with it.

        Raises AwayError where the disk or share is at fault, not the file.
        """
        path = self.find(file)
        name = shown(file.name)
        if path is None:
            if (why := self.away()) is not None:
                raise AwayError(why, alone=False)
            where = self.home / FILES / file.sha256
            return f"{name} is not in custody any more: somebody removed it from {where}; put it into the inbox again"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                digest, size = hash_open(descriptor, tick=tick)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in MACHINE_ERRORS:
                why = self.away()
                raise AwayError(why or f"{path}: {error.strerror}", alone=why is None) from error
            return f"{name} cannot be read in custody: {path}: {error.strerror or error}; look at the disk and retry it"
        self._known = _inode(self.home / FILES) or self._known
        if digest == file.sha256:
            return None
        return (
            f"{name} was changed in custody: it has {size:,} bytes and sha256 {digest[:12]}…, accepted were "
            f"{file.bytes:,} and {file.sha256[:12]}…; put the right file into the inbox again, and write nothing into "
            f"{self.home}"
        )

    def away(self) -> str | None:
        """Why the custody as a whole is not there now: a mount that is gone leaves no folder, or another one.

        To be asked where a content is missing; None: then somebody removed it.
        """
        if (why := self.place.away()) is not None:
            return why
        folder = self.home / FILES
        try:
            os.listdir(folder)
            inode = os.stat(folder).st_ino
        except OSError as error:
            return f"{folder}: {error.strerror or error}"
        if self._known is not None and inode != self._known:
            return f"{folder} is another folder than the one in which the files were found"
        return None

    def settle(self, file: QueuedFile, to: State | None = None, **told: object) -> Path:
        """Shows a file where people look: `done/`, `failed/` or `quarantined/`, with REASON.md (see `settled`)."""
        return settled.settle(self.home, file, to, content=self.find(file), **told)  # type: ignore[arg-type]

    def restore(self, file: QueuedFile) -> Path | None:
        """A retry: its folder under failed/ or quarantined/ goes, the content stays in custody. Where it lies, or
        None."""
        content = self.find(file)
        if content is None:
            content = settled.bring_back(self.home, file, self.path_of(file.sha256, file.name))
        if content is not None:
            settled.remove(self.home, file)
            write_sidecar(self.home, file)
        return content

    def reconcile(self, queue: Queue, *, tick: OnProgress = nothing) -> Reconciled:
        """Brings rows and files together after a crash. See `reconciling.reconcile`."""
        from trainguard.queue.reconciling import reconcile

        return reconcile(self, queue, tick=tick)

    def prune(self, queue: Queue, keep: int, days: float | None = None, gigabytes: float | None = None) -> Pruned:
        """Removes trained files beyond what is to be kept. See `retention.prune`."""
        from trainguard.queue.retention import prune

        return prune(self, queue, keep=keep, days=days, gigabytes=gigabytes)

    def _damaged(self, path: Path, sha256: str, size: int, *, tick: OnProgress) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            return os.fstat(descriptor).st_size != size or hash_open(descriptor, tick=tick)[0] != sha256
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _lock(path: Path, how: int) -> Iterator[bool]:
    """flock(2) on a file that is never removed, between threads and processes; False where another one holds it.

    A file system without locks is let be: the queue's database is refused there, but for a server's.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield not how & fcntl.LOCK_NB  # nothing is removed where that cannot be told
        return
    try:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
    finally:
        os.close(descriptor)


def _inode(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _second_name(source: Path, path: Path) -> None:
    """Puts a content to its place, in one step; the first name stays, for a crash before the row."""
    temporary = path.with_name(f".new-{secrets.token_hex(6)}")
    try:
        os.link(source, temporary, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, temporary)
    os.replace(temporary, path)


def _copy(source: Path, target: Path) -> None:
    mode = read_only(os.stat(source).st_mode)
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(source, "rb") as reading, open(descriptor, "wb", closefd=False) as writing:
            shutil.copyfileobj(reading, writing)
        with contextlib.suppress(PermissionError):  # as in intake
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
