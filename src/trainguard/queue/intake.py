"""How a file comes into the home of the queue: a journal first, then a rename or a copy, then its content's hash.

A batch is `incoming/<token>.json`, the journal, and `incoming/<token>/` with the files. The journal is synced before
the first file is touched and removed when all its files have their rows and sidecars, so that whoever finds one whose
maker is dead (its kernel lock is free) does the rest again. Every step may be done twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from trainguard.durable import make_folder_below, sync_folder
from trainguard.queue.hashing import BLOCK_BYTES, OnProgress, nothing, read_only
from trainguard.queue.names import safe_name, text_of
from trainguard.queue.records import Priority
from trainguard.queue.writers import writers_of

INCOMING = "incoming"
_PART = ".part"


# Why an original stays, where it is not the machine that refuses.
OTHER = "there is another file under its name now"
GONE = "it is not under its name any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which file it was, and in which state: equal for the same inode with the same content."""

    dev: int
    ino: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        return cls(dev=found.st_dev, ino=found.st_ino, size=found.st_size, mtime_ns=found.st_mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that is to be taken in. `remove` False leaves the original where it is."""

    path: Path
    identity: Identity
    origin: str
    priority: Priority = "normal"
    remove: bool = True
    name: str | None = None  # where people know it by another name than the path's last part


class Entry(Struct, kw_only=True):
    """A line of the journal. `source` is the path's bytes in hexadecimal digits, since names hold any bytes."""

    entry: str
    name: str
    origin: str
    priority: Priority
    source: str
    dev: int
    ino: int
    size: int
    mtime_ns: int
    remove: bool

    @property
    def path(self) -> Path:
        return Path(os.fsdecode(bytes.fromhex(self.source)))

    @property
    def identity(self) -> Identity:
        return Identity(dev=self.dev, ino=self.ino, size=self.size, mtime_ns=self.mtime_ns)


class ChangedError(Exception):
    """The file is not the one that was looked at: it is gone, another one, or still written. Nothing was taken."""

    def __init__(self, why: str, *, gone: bool = False) -> None:
        super().__init__(why)
        self.gone = gone


@dataclass(slots=True, kw_only=True)
class Batch:
    """An open batch; the descriptor of its journal holds the kernel lock that says that its maker lives."""

    journal: Path
    entries: list[Entry] = field(default_factory=list)
    descriptor: int = -1
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.journal.with_suffix("")

    def place_of(self, entry: Entry) -> Path:
        return self.folder / entry.entry

    def finish(self) -> None:
        """Everything of it has its row and sidecar: the journal goes, and the folder where it is empty."""
        with contextlib.suppress(OSError):
            for left in os.listdir(self.folder):
                if left.endswith(_PART):  # an unfinished copy, whose original is still there
                    (self.folder / left).unlink()
            self.folder.rmdir()
        if not self.folder.exists():
            self.journal.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def begin(home: Path, wanted: Iterable[Wanted]) -> Batch:
    """Writes the journal of what will be taken in. Raises OSError."""
    incoming = home / INCOMING
    make_folder_below(home, incoming)
    journal = incoming / f"{secrets.token_hex(8)}.json"
    entries = [_entry(number, each) for number, each in enumerate(wanted)]
    # Locked and written under another name: a journal is never seen without its lock, or half.
    new = journal.with_suffix(".new")
    # For reading too: NFS emulates the lock by one that asks for both (flock(2), NFS details).
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        _lock(descriptor)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(msgspec.json.encode(entries))
            file.flush()
            os.fsync(descriptor)
        os.rename(new, journal)
        os.mkdir(journal.with_suffix(""))
        sync_folder(incoming)
    except BaseException:
        os.close(descriptor)
        for path in (new, journal):
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    return Batch(journal=journal, entries=entries, descriptor=descriptor)


def unfinished(home: Path) -> Iterator[Batch]:
    """The batches whose makers are dead, and a batch for a folder that lost its journal. Never raises."""
    try:
        names = sorted(os.listdir(home / INCOMING))
    except OSError:
        return
    known = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    for name in names:
        path = home / INCOMING / name
        if name.endswith(".json"):
            batch = _reopen(path)
            if batch is not None:
                yield batch
        elif name.endswith(".new"):
            # Of a maker that died before it took a file; or that has not locked it yet, whose rename fails then.
            if _is_free(path):
                with contextlib.suppress(OSError):
                    path.unlink()
        elif path.is_dir() and not path.is_symlink() and name not in known:
            yield Batch(journal=path.with_suffix(".json"), entries=_found(path))


def live(home: Path) -> bool:
    """Whether another process is taking files in just now."""
    try:
        names = os.listdir(home / INCOMING)
    except OSError:
        return False
    return any(name.endswith(".json") and not _is_free(home / INCOMING / name) for name in names)


def fetch(batch: Batch, entry: Entry, *, copy: bool = False, leases: bool = True, tick: OnProgress = nothing) -> None:
    """Brings one file into the batch, whole and synced by rename or copy.

    Raises ChangedError where it is not the file that the journal means, OSError where it cannot be read or written; the
    file is then where it was.
    """
    place = batch.place_of(entry)
    if entry.remove and not copy and _rename(entry, place, leases=leases):
        return
    _copy(entry, place, leases=leases, tick=tick)


def recheck(batch: Batch, entry: Entry, *, leases: bool = True) -> None:
    """For what a dead maker has left: a renamed file that is still written goes back. Raises ChangedError, OSError."""
    place = batch.place_of(entry)
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = Identity.of(os.fstat(descriptor))
        renamed = (found.dev, found.ino) == (entry.dev, entry.ino)
        writing = renamed and writers_of(descriptor, entry.entry, leases=leases).writing
    finally:
        os.close(descriptor)
    if renamed and (writing or found != entry.identity):
        _put_back(place, entry.path)
        raise ChangedError("somebody has opened it for writing")


def release(batch: Batch, entry: Entry) -> str | None:
    """Removes the original of a copied file, if it is still the file that was copied; else what is there.

    It is renamed first, so that a file that somebody puts there meanwhile is never the one that is removed.
    """
    path = entry.path
    aside = path.with_name(f".trainguard-{batch.folder.name}-{entry.entry.partition('-')[0]}")
    try:
        if not os.path.lexists(aside):  # else a dead maker came so far
            if Identity.of(os.lstat(path)) != entry.identity:
                return OTHER
            os.rename(path, aside)
        if Identity.of(os.lstat(aside)) == entry.identity:
            aside.unlink()
            return None
        _put_back(aside, path)
    except FileNotFoundError:
        return GONE
    except OSError as error:
        return error.strerror or str(error)
    return OTHER


def _rename(entry: Entry, place: Path, *, leases: bool) -> bool:
    """True where it was renamed, False where it has to be copied."""
    path = entry.path
    try:
        found = os.lstat(path)
        if Identity.of(found) != entry.identity:
            raise ChangedError("it changed since it was looked at")
        if found.st_nlink > 1:
            return False  # whoever has the other name can still write into it
        os.rename(path, place)
    except FileNotFoundError:
        raise ChangedError("it is gone", gone=True) from None
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY):
            return False
        raise
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        _put_back(place, path)
        raise
    try:
        same = Identity.of(os.fstat(descriptor)) == entry.identity
        writing = writers_of(descriptor, entry.entry, leases=leases).writing
    finally:
        os.close(descriptor)
    if same and not writing:
        return True
    _put_back(place, path)
    raise ChangedError("somebody has opened it for writing" if same else "it changed since it was looked at")


def _put_back(place: Path, path: Path) -> None:
    """Gives a name back without taking it from another file; where it is taken, the next free one with a number."""
    for number in range(1000):
        target = path.with_name(f"{number}-{path.name}") if number else path
        try:
            os.link(place, target)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                continue
            os.rename(place, target)
            return
        os.unlink(place)
        return


def _copy(entry: Entry, place: Path, *, leases: bool, tick: OnProgress) -> None:
    path = entry.path
    try:
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ChangedError("it is gone", gone=True) from None
    part = place.with_name(f"{place.name}{_PART}")
    try:
        if Identity.of(os.fstat(source)) != entry.identity:
            raise ChangedError("it changed since it was looked at")
        target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            at = 0
            while block := os.pread(source, BLOCK_BYTES, at):
                at += len(block)
                while block:
                    block = block[os.write(target, block) :]
                tick()
            with contextlib.suppress(PermissionError):  # vfat closes no file to others; it stays as it was made
                os.fchmod(target, read_only(os.fstat(source).st_mode))
            os.fsync(target)
        finally:
            os.close(target)
        writing = writers_of(source, path.name, leases=leases).writing
        if writing or at != entry.size or Identity.of(os.fstat(source)) != entry.identity:
            raise ChangedError("it changed while it was copied")
        os.rename(part, place)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(source)


def _entry(number: int, wanted: Wanted) -> Entry:
    name = wanted.name if wanted.name is not None else text_of(wanted.path.name)
    identity = wanted.identity
    return Entry(
        entry=f"{number}-{safe_name(name)}",
        name=name,
        origin=wanted.origin,
        priority=wanted.priority,
        source=os.fsencode(wanted.path).hex(),
        dev=identity.dev,
        ino=identity.ino,
        size=identity.size,
        mtime_ns=identity.mtime_ns,
        remove=wanted.remove,
    )


def _found(folder: Path) -> list[Entry]:
    """Entries for a folder without a journal: what lies there is known by its name alone."""
    with contextlib.suppress(OSError):
        return [_stray(folder, name) for name in sorted(os.listdir(folder)) if not name.endswith(_PART)]
    return []


def _stray(folder: Path, name: str) -> Entry:
    text = text_of(name).partition("-")[2] or text_of(name)
    return Entry(
        entry=name,
        name=text,
        origin=f"found:{folder.name}/{text_of(name)}",
        priority="normal",
        source="",
        dev=0,
        ino=0,
        size=0,
        mtime_ns=0,
        remove=False,
    )


def _reopen(journal: Path) -> Batch | None:
    """The batch of a journal whose maker is dead; None where it lives or has just finished."""
    try:
        descriptor = os.open(journal, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        _lock(descriptor)
        if not journal.exists():  # its maker finished between the two calls
            raise BlockingIOError
        with open(descriptor, "rb", closefd=False) as file:
            entries = msgspec.json.decode(file.read(), type=list[Entry])
    except OSError:
        os.close(descriptor)
        return None
    except msgspec.MsgspecError:
        entries = _found(journal.with_suffix(""))
    return Batch(journal=journal, entries=entries, descriptor=descriptor)


def _lock(descriptor: int) -> None:
    """flock(2) and not a record lock: two threads of one process must not both get it. Raises BlockingIOError."""
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_free(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        _lock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
