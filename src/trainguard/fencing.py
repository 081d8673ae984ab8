"""Who may still write into an output folder: the holder of the highest number that was handed out for it.

Whoever takes up a training file gets a number that is higher than all before it, and writes it into
`<output_dir>/trainguard/fence` before it starts a process. The process gets its own number in TRAINGUARD_FENCE, and
looks into the file right before each commit. One that was taken for dead (a machine without network, a stopped process)
finds a higher number when it wakes up, and commits nothing. (Kleppmann 2016, How to do distributed locking.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainguard.durable import write_atomically
from trainguard.errors import TrainguardError, UsageError

VARIABLE = "TRAINGUARD_FENCE"
_FOLDER, _FILE, _LOCK = "trainguard", "fence", "fence.lock"
_NUMBER = re.compile(rb"\s*(\d{1,18})\s*", re.ASCII)
# A commit is two renames and a sync. Whoever holds the lock for longer was stopped in it; waiting for that one would
# let a dead process stop a living one, which is what the number is for.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.01


class FencedError(TrainguardError):
    """Somebody with a higher number has this output folder now. Exit code 75: nothing is lost by it."""

    def __init__(self, output_dir: Path, own: int, highest: int) -> None:
        self.output_dir, self.own, self.highest = output_dir, own, highest
        super().__init__(
            f"{output_dir}: this process holds number {own:,} and another one was given {highest:,} for this folder, "
            "so it commits no checkpoint and no result any more; the other goes on from the last verified checkpoint"
            if highest > own
            else f"{output_dir}: number {own:,} of this process does not stand in {fence_path(output_dir)}, so this is "
            "not the folder that its daemon means: its mount may be away; nothing is written into it"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return FencedError, (self.output_dir, self.own, self.highest)


def fence_path(output_dir: Path) -> Path:
    return output_dir / _FOLDER / _FILE


def read_fence(output_dir: Path) -> int:
    """The highest number that was handed out; 0 where there is none, or none that can be read.

    Raises OSError where the file is there and the disk does not give it.
    """
    try:
        content = fence_path(output_dir).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    found = _NUMBER.fullmatch(content)
    return int(found[1]) if found is not None else 0


def write_fence(output_dir: Path, number: int) -> None:
    """Hands out a number: from now on nobody with a lower one commits. The same number may be written again.

    Raises FencedError where a higher one stands, OSError where it cannot be written.
    """
    path = fence_path(output_dir)
    path.parent.mkdir(exist_ok=True)  # never the folder itself: its mount may be away
    with _locked(path.with_name(_LOCK)):
        highest = read_fence(output_dir)
        if highest > number:
            raise FencedError(output_dir, number, highest)
        if highest < number:
            write_atomically(path, f"{number}\n".encode())


def own_fence(environment: Mapping[str, str]) -> int | None:
    """The number of this process, None where it has none. Raises UsageError for what is no number."""
    given = environment.get(VARIABLE, "").strip()
    if not given:
        return None
    if not (given.isascii() and given.isdigit()) or len(given) > 18:
        raise UsageError(f"{VARIABLE}={given!r} is no whole number; leave it out where no daemon starts the run")
    return int(given)


class Fence:
    """The number of one process for one output folder. Without a number nothing is ever refused."""

    def __init__(self, output_dir: Path, number: int | None) -> None:
        self.output_dir, self.number = output_dir, number

    @classmethod
    def of(cls, output_dir: Path, environment: Mapping[str, str] | None = None) -> Fence:
        """By the environment of this process. Raises UsageError as `own_fence` does."""
        return cls(output_dir, own_fence(os.environ if environment is None else environment))

    def check(self) -> None:
        """Raises FencedError where somebody with a higher number has the folder."""
        if self.number is None:
            return
        highest = read_fence(self.output_dir)
        if highest > self.number:
            raise FencedError(self.output_dir, self.number, highest)

    def begin(self) -> None:
        """As `check`, before anything is made: whoever gave the number wrote it into the folder, so that one without it
        is another folder, such as the empty one under a mount that is away."""
        self.check()
        if self.number is not None and (found := read_fence(self.output_dir)) < self.number:
            raise FencedError(self.output_dir, self.number, found)

    @contextlib.contextmanager
    def committing(self) -> Iterator[None]:
        """Around the rename of a commit: nobody gets a higher number between the look and the rename.

        Raises FencedError instead, and OSError where the fence cannot be read.
        """
        if self.number is None:
            yield
            return
        path = fence_path(self.output_dir)
        if not path.is_file():
            # It stood there when this process began: its mount has gone away, and below it is another folder.
            raise FencedError(self.output_dir, self.number, 0)
        with _locked(path.with_name(_LOCK)):
            self.check()
            yield


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds flock(2) on a file that is never deleted; over NFS it is a lock of the server (since Linux 2.6.12).

    Goes on without it where the file system has no locks, and where its holder keeps it for too long.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    break
                time.sleep(_PAUSE_SECONDS)
            except OSError:
                break
        yield
    finally:
        # Not left to the closing: a worker that was forked meanwhile has the descriptor too, and would keep the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
