"""Room on the disk for a checkpoint: how much there is, how much is needed, whether a save failed for want of it.

A full disk has many names. The kernel says ENOSPC or EDQUOT. torch's writer of archives says `RuntimeError: ...
unexpected pos` when it closes a file that was cut short (torch 2.13, caffe2/serialize/inline_container.cc,
`PyTorchStreamWriter`), safetensors `SafetensorError: ... I/O error: No space left on device (os error 28)`, and a Rust
tokenizer a plain `Exception` with the same words. So the chain of exceptions is read, and where it does not say the
errno, the file system is asked.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.findings import Finding, Severity
from trainguard.signals.codes import run_finding

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
# Rust's standard library appends the errno to the words of an error (std::io::Error, `Display`).
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
# What writers say of a write that failed, without an errno.
_WRITE_FAILED = re.compile(r"unexpected pos|PytorchStreamWriter failed|file write failed|iostream error|I/O error")
# A file system with less than this free is full for any writer: the smallest file of a checkpoint takes a block, and
# ext4 and XFS keep a few blocks back for their own books.
FULL_BELOW_BYTES = 1 << 20
_POLL_SECONDS = 2.0
# Written on top of weights and optimizer: tokenizer, configuration, states, manifest. Measured with a tokenizer of 128k
# entries (tokenizer.json 17 MB); less would do for others, and a little too much costs nothing but a look at the disk.
_SMALL_FILES_BYTES = 1 << 20

# Called while a save waits for room: free bytes (None where the file system does not tell) and seconds waited.
OnWait = Callable[[int | None, float], None]


class DiskFullError(OSError):
    """A checkpoint could not be written for want of room, and none came. `finding` says it (RUN025)."""

    def __init__(self, finding: Finding, path: Path) -> None:
        super().__init__(errno.ENOSPC, finding.message, str(path))
        self.finding = finding
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return DiskFullError, (self.finding, self._path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a file system has left for this user. `inodes` is None where it does not count them."""

    free_bytes: int
    inodes: int | None

    @property
    def full(self) -> bool:
        return self.free_bytes < FULL_BELOW_BYTES or self.inodes == 0


def room(path: Path) -> Room | None:
    """What is left where `path` is or will be; None where the file system does not tell."""
    for place in (path, *path.absolute().parents):
        try:
            about = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        # A file system without a fixed number of inodes (btrfs) says 0 of 0.
        inodes = about.f_favail if about.f_files > 0 else None
        return Room(free_bytes=about.f_bavail * about.f_frsize, inodes=inodes)
    return None


def free_bytes(path: Path) -> int | None:
    """Bytes that this user may still write where `path` is; None where the file system does not tell."""
    left = room(path)
    return left.free_bytes if left is not None else None


def allocated_bytes(folder: Path) -> int:
    """Bytes that the files below `folder` take on the disk, holes and compression counted as the file system does."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                about = os.lstat(os.path.join(parent, name))
            except OSError:
                continue
            total += about.st_blocks * 512  # POSIX stat(2): units of 512 bytes, whatever the block size is
    return total


def least_bytes(model: Any, optimizer: Any) -> int:
    """Bytes that the next checkpoint takes at least: weights that are saved and the optimizer's state.

    Of a model with adapters only what is trained counts. An optimizer that has not stepped has no state yet. 0 where
    the tensors cannot be counted.
    """
    try:
        adapters = hasattr(model, "peft_config")
        weights = [each for each in model.parameters() if each.requires_grad or not adapters]
        state: dict[Any, Any] = getattr(optimizer, "state", None) or {}
        moments = [value for values in state.values() for value in values.values()]
        tensors = [each for each in (*weights, *moments) if hasattr(each, "element_size")]
        return sum(each.numel() * each.element_size() for each in tensors) + _SMALL_FILES_BYTES if tensors else 0
    except Exception:  # sharded and wrapped tensors have their own ideas of a size; then nothing is known ahead
        return 0


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it came of."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def errno_of(error: BaseException) -> int | None:
    """The errno that an exception, or one that it came of, carries as a field or in its words."""
    for each in chain(error):
        if isinstance(each, OSError) and each.errno is not None:
            return each.errno
        found = _OS_ERROR.search(str(each))
        if found is not None:
            return int(found[1])
    return None


def is_write_failure(error: BaseException) -> bool:
    """Whether a file could not be written, as opposed to a mistake in the program that wrote it."""
    return any(isinstance(each, OSError) or _WRITE_FAILED.search(str(each)) is not None for each in chain(error))


def is_disk_full(error: BaseException, path: Path, *, needed_bytes: int = 0) -> bool:
    """Whether a save to `path` failed for want of room. To be asked before its debris is removed.

    ENOSPC and EDQUOT say so themselves (a quota is full while the file system is not). Of a write that failed without
    such an errno the file system is asked.
    """
    number = errno_of(error)
    if number is not None:
        return number in _FULL_ERRNOS
    if not is_write_failure(error):
        return False
    left = room(path)
    return left is not None and (left.full or left.free_bytes < needed_bytes)


def wait_for_space(
    path: Path,
    needed_bytes: int,
    *,
    deadline_seconds: float,
    on_wait: OnWait | None = None,
    poll_seconds: float = _POLL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Waits until `needed_bytes` are free at `path`; whether they came before the deadline.

    `on_wait` is called at every look, for heartbeats. It may raise to give up. A file system that does not tell what
    is free is taken to have room: the save itself will say.
    """
    begin = clock()
    while True:
        left = room(path)
        if left is None or (left.free_bytes >= needed_bytes and not left.full):
            return True
        waited = clock() - begin
        if on_wait is not None:
            on_wait(left.free_bytes, waited)
        if waited >= deadline_seconds:
            return False
        sleep(min(poll_seconds, max(deadline_seconds - waited, 0.01)))


def size_words(count: int) -> str:
    """12,345,678 bytes as `12.3 MB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def disk_full_finding(
    path: Path,
    *,
    step: int,
    outcome: str,
    needed_bytes: int,
    good: Path | None,
    severity: Severity | None = None,
    error: BaseException | None = None,
    **evidence: Any,
) -> Finding:
    """RUN025: the checkpoint of `step` found no room; `outcome` is what was done about it."""
    free = free_bytes(path)
    wants = f"{size_words(needed_bytes)} needed, {size_words(free)} free" if free is not None else "no room"
    stands = f"{good.name} stands, verified" if good is not None else "no earlier checkpoint verifies"
    return run_finding(
        "RUN025",
        f"the checkpoint of step {step:,} did not fit on the disk ({wants}): {outcome}; {stands}",
        step=step,
        severity=severity,
        fix="free room on the file system of output_dir, set save_total_limit, or save less often with save_steps",
        evidence={
            "needed_bytes": needed_bytes,
            "free_bytes": free,
            "kept": good.name if good is not None else None,
            "error": f"{type(error).__name__}: {error}"[:500] if error is not None else None,
            **evidence,
        },
    )
