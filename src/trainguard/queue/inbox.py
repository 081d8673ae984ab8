"""The inbox: other people's files, looked at until they have stopped changing. Nothing is opened that could block.

A file is ready once its size and time of change have stayed the same for `settle_seconds` of the monotonic clock, while
nobody has had it open for writing. A link is never followed; FIFOs, sockets and devices are never opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from trainguard.facts.machine.mounts import is_network, mount_of, read_mounts
from trainguard.findings import Finding
from trainguard.queue import saying
from trainguard.queue.intake import Batch, Identity
from trainguard.queue.names import is_training_name, is_unfinished, text_of
from trainguard.queue.patience import Patience
from trainguard.queue.records import PRIORITIES, Priority
from trainguard.queue.watching import Watch
from trainguard.queue.writers import Writers, writers_of

# A network mount whose server is gone: longer than an automounter or a disk that spins up takes.
DEADLINE_SECONDS = 10.0
# Somebody who writes a file for so long, or so many times the settling, is told once that it is waited for.
_LONG_SECONDS, _LONG_TIMES = 600.0, 20.0
# A file that does not change and is held open, or cannot be read, is asked again no sooner.
_AGAIN_SECONDS = 1.0
# Between two tries to take in a file that the disk refuses, at the longest.
_LATEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that may be taken in. `origin` names this drop of it: the same for every look at it, another for the next
    file of its name. `first_seen` is of the monotonic clock."""

    path: Path
    priority: Priority
    origin: str
    identity: Identity
    first_seen: float = 0.0
    leases: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found: files that are ready in the order of their coming, those that still change, what to say.

    `answered` False means that the folder did not answer in time, so that nothing is known of it."""

    ready: tuple[Candidate, ...] = ()
    growing: tuple[Path, ...] = ()
    findings: tuple[Finding, ...] = ()
    answered: bool = True


@dataclass(slots=True)
class _Seen:
    """A file over several looks: since when it is known, and since when it is as it is. Monotonic seconds."""

    identity: Identity
    first: float
    since: float
    said: set[str] = field(default_factory=set)
    writers: Writers | None = None
    refused: int = 0
    not_before: float = 0.0


class Inbox:
    """Looks at a folder and its subfolders high, normal and low. Methods never raise OSError.

    `own` are files that the configuration itself needs, by what they are for people: never taken, whatever their name.
    `clock` is the monotonic clock. What stands in the folder is told once for as long as it stands there.
    """

    def __init__(
        self,
        folder: Path,
        settle_seconds: float = 5.0,
        poll_seconds: float = 30.0,
        *,
        clock: Callable[[], float] = monotonic,
        deadline_seconds: float = DEADLINE_SECONDS,
        network: bool | None = None,
        own: Mapping[Path, str] | None = None,
    ) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.settle_seconds = settle_seconds
        self.poll_seconds = poll_seconds
        self._clock = clock
        self._given_network = network
        self._own = dict(own or {})
        self._seen: dict[Path, _Seen] = {}
        self._told: dict[tuple[str, str], Identity | None] = {}
        self._left: dict[Path, Identity] = {}
        self._due: float | None = None
        self._trouble: tuple[int | None, float] | None = None
        self._abandoned: list[Batch] = []
        self.patience = Patience(deadline_seconds)
        self._watch = Watch()

    @property
    def network(self) -> bool:
        """Whether the folder lies on another machine, or in a process (FUSE): it may send no events, and not answer."""
        if self._given_network is not None:
            return self._given_network
        mounts = read_mounts()
        mount = mount_of(str(self.folder), mounts) if mounts is not None else None
        return mount is not None and (is_network(mount.filesystem) or _is_fuse(mount.filesystem))

    def look(self) -> Look:
        """Looks once. On a network mount that does not answer it is given up at the deadline (SYS012)."""
        if not self.network:
            return self._look(leases=True)
        look = self.patience.ask(lambda: self._look(leases=False))
        if look is None:
            return Look(findings=tuple(self._once("", "silent", lambda: saying.silent(self.folder))), answered=False)
        self._told.pop(("", "silent"), None)
        return look

    def leave(self, path: Path, identity: Identity) -> None:
        """The file was accepted and its original cannot be removed: it is not looked at again while it is the same."""
        self._left[path] = identity
        self._seen.pop(path, None)

    def refuse(self, candidate: Candidate) -> bool:
        """The file could not be taken in: it is tried again later, ever later. Whether it is the first time."""
        seen = self._seen.get(candidate.path)
        if seen is None:
            return True
        seen.refused += 1
        seen.not_before = self._clock() + min(_LATEST_SECONDS, _AGAIN_SECONDS * 2**seen.refused)
        return seen.refused == 1

    def is_new_trouble(self, error: OSError) -> bool:
        """Whether this is another error than the last one, or that one is long ago."""
        now = self._clock()
        trouble, self._trouble = self._trouble, (error.errno, now)
        return trouble is None or trouble[0] != error.errno or now - trouble[1] > 2 * _LATEST_SECONDS

    def abandon(self, batch: Batch) -> None:
        """A batch in whose fetching a thread hangs: it is closed when the thread has come back."""
        self._abandoned.append(batch)

    def close_abandoned(self) -> None:
        if not self.patience.stuck:
            while self._abandoned:
                self._abandoned.pop().close()

    def wait(self, stop: threading.Event, timeout: float) -> bool:
        """Waits until a look is due: something changed, or a file may have settled. False at the timeout and at
        `stop`."""
        due = self._due
        until_due = max(0.0, due - self._clock()) if due is not None else None
        if self.network:
            until_due = min(self.poll_seconds, until_due if until_due is not None else self.poll_seconds)
        if until_due is not None and until_due <= timeout:
            # A change before it changes nothing: the settling of this file ends no sooner, and others have to settle
            # too.
            return not stop.wait(until_due)
        if self.network:
            stop.wait(timeout)
            return False
        return self._watch.wait([self.folder, *(self.folder / name for name in PRIORITIES)], stop, timeout)

    def close(self) -> None:
        self._watch.close()

    def _look(self, *, leases: bool) -> Look:
        now = self._clock()
        ready: list[Candidate] = []
        growing: list[Path] = []
        findings: list[Finding] = []
        present: set[Path] = set()
        told: set[tuple[str, str]] = {("", "silent")}
        own = self._own_files()
        for entry, priority in self._entries(findings, told):
            path = Path(entry.path)
            try:
                found = entry.stat(follow_symlinks=False)
                # Of a name that stands in the folder but cannot be asked, the next look will tell.
                refused = self._refused(entry, found, priority, own)
            except OSError:
                continue
            present.add(path)
            if refused is not None:
                kind, finding = refused
                told.add((entry.path, kind))
                if finding is not None:
                    findings += self._once(entry.path, kind, finding, Identity.of(found))
                continue
            identity = Identity.of(found)
            if self._left.get(path) == identity:
                continue
            self._left.pop(path, None)
            seen = self._seen.get(path)
            if seen is None:
                seen = self._seen[path] = _Seen(identity=identity, first=now, since=now)
            elif seen.identity != identity:
                if (seen.identity.dev, seen.identity.ino) != (identity.dev, identity.ino):
                    seen = self._seen[path] = _Seen(identity=identity, first=now, since=now)
                seen.identity, seen.since = identity, now
            if (
                now - seen.since >= self.settle_seconds
                and now >= seen.not_before
                and self._settled(path, seen, findings, leases=leases)
            ):
                origin = f"inbox:{_origin(self.folder, path, found)}"
                ready.append(
                    Candidate(
                        path=path,
                        priority=priority,
                        origin=origin,
                        identity=seen.identity,
                        first_seen=seen.first,
                        leases=leases,
                    )
                )
                continue
            growing.append(path)
            if "long" not in seen.said and now - seen.first >= max(_LONG_SECONDS, _LONG_TIMES * self.settle_seconds):
                seen.said.add("long")
                findings.append(saying.still_written(path, now - seen.first, seen.identity.size, seen.writers))
        for gone in self._seen.keys() - present:
            del self._seen[gone]
        for gone in self._left.keys() - present:
            del self._left[gone]
        self._told = {key: value for key, value in self._told.items() if key in told}
        self._due = self._next(now)
        ready.sort(key=lambda each: (each.first_seen, each.identity.mtime_ns, _natural(each.path.name)))
        return Look(ready=tuple(ready), growing=tuple(growing), findings=tuple(findings))

    def _entries(self, findings: list[Finding], told: set[tuple[str, str]]) -> list[tuple[os.DirEntry[str], Priority]]:
        """What stands in the inbox and its subfolders, but for what the names alone rule out."""
        found: list[tuple[os.DirEntry[str], Priority]] = []
        folders: list[tuple[Path, Priority]] = [(self.folder, "normal")]
        while folders:
            folder, priority = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    names = list(entries)
            except OSError as error:
                told.add((str(folder), "unreadable"))
                finding = saying.unreadable_folder(folder, error)
                findings += self._once(str(folder), "unreadable", lambda said=finding: said)  # type: ignore[misc]
                continue
            for entry in names:
                if is_unfinished(entry.name):
                    continue
                if folder == self.folder and entry.name in PRIORITIES and entry.is_dir(follow_symlinks=False):
                    folders.append((Path(entry.path), _priority(entry.name)))
                    continue
                found.append((entry, priority))
        return found

    def _own_files(self) -> dict[tuple[int, int], str]:
        """Those that are there now, by device and inode: under whatever name they stand here."""
        there = {}
        for path, role in self._own.items():
            with contextlib.suppress(OSError, ValueError):
                known = os.stat(path)
                there[known.st_dev, known.st_ino] = role
        return there

    def _refused(
        self, entry: os.DirEntry[str], found: os.stat_result, priority: Priority, own: Mapping[tuple[int, int], str]
    ) -> tuple[str, Callable[[], Finding]] | None:
        """What is left alone, by its kind, and how it is said; None for a file that may be taken."""
        path = Path(entry.path)
        if stat.S_ISLNK(found.st_mode):
            return "link", lambda: saying.link(path, self.folder)
        if stat.S_ISDIR(found.st_mode):
            return "folder", lambda: saying.folder(path, self.folder)
        if not stat.S_ISREG(found.st_mode):
            return "special", lambda: saying.special(path, found.st_mode)
        if (role := own.get((found.st_dev, found.st_ino))) is not None:
            return "own", lambda: saying.own_file(path, role)
        if not is_training_name(entry.name):
            return "ending", lambda: saying.other_file(path, priority)
        return None

    def _settled(self, path: Path, seen: _Seen, findings: list[Finding], *, leases: bool) -> bool:
        """Whether nobody has the file open for writing and the server agrees about its size (an open asks it anew)."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENOENT and "unreadable" not in seen.said:
                seen.said.add("unreadable")
                findings.append(saying.unreadable_file(path, error))
            return False
        try:
            found = os.fstat(descriptor)
            seen.writers = writers_of(descriptor, path.name, leases=leases)
        finally:
            os.close(descriptor)
        seen.said.discard("unreadable")
        if Identity.of(found) != seen.identity or not stat.S_ISREG(found.st_mode):
            seen.identity, seen.since = Identity.of(found), self._clock()
            return False
        return not seen.writers.writing

    def _next(self, now: float) -> float | None:
        """When the first of the growing files may have settled."""
        again = now + max(_AGAIN_SECONDS, min(self.settle_seconds, self.poll_seconds))
        times = [
            settled if (settled := max(seen.not_before, seen.since + self.settle_seconds)) > now else again
            for seen in self._seen.values()
        ]
        return min(times, default=None)

    def _once(
        self, path: str, kind: str, finding: Callable[[], Finding], identity: Identity | None = None
    ) -> list[Finding]:
        key = (path, kind)
        if key in self._told and self._told[key] == identity:
            return []
        self._told[key] = identity
        return [finding()]


def _is_fuse(filesystem: str) -> bool:
    """`fuse` or `fuse.NAME`: changes by others are not told there (inotify(7), "Limitations and caveats"), and the
    process may hang. `fuseblk` is a local disk."""
    return filesystem.partition(".")[0] == "fuse"


def _priority(name: str) -> Priority:
    return next(each for each in PRIORITIES if each == name)


def _origin(folder: Path, path: Path, found: os.stat_result) -> str:
    """The name of a drop. The time of the last change of the inode tells a file from the next one of its name and
    number, even where the other times were copied; a look does not change it."""
    name = text_of(os.path.relpath(path, folder))
    return f"{name}@{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _natural(name: str) -> list[tuple[int, int, str]]:
    """`part-2` before `part-10`."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() and len(part) < 19 else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]
