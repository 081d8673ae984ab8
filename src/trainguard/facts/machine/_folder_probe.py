"""Looks at a folder and writes a small file into it; run as a process of its own, since any step may hang.

Prints a line of JSON before and after each step that may block. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import stat
import sys
import time
from typing import Any

# More than one block, so that space is taken for real; random, so that no file system packs it away.
_PROBE_BYTES = 64 * 1024
_LOCK_BYTES = 4096
_MAX_CHECKPOINTS = 1000
_MAX_ENTRIES = 100_000


def main() -> None:
    question = json.loads(sys.argv[1])
    _say(started=True)
    folder, problem = _nearest_folder(question["path"])
    _say(problem=problem, probed=folder)
    if folder is None:
        _say(answered=True)
        return
    real = os.path.realpath(folder)
    _say(real=real)
    _stat(folder)
    _say(answered=True)
    if problem is None:
        _say(lock=_lock(os.path.join(question["path"], question["lock"])))
        _say(stuck_at="write")
        _say(**_write(folder), stuck_at=None)
        _say(checkpoint_bytes=_largest_checkpoint(question["path"]))


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _nearest_folder(path: str) -> tuple[str | None, str | None]:
    """The folder itself, or the nearest one above it that exists; and why `path` cannot be a folder to write into."""
    current = path
    while True:
        try:
            found = os.stat(current)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                return None, f"{current}: {error.strerror}"
            if os.path.islink(current):
                return None, f"{current} is a symlink to a place that does not exist"
            parent = os.path.dirname(current)
            if parent == current:
                return None, f"{current}: {error.strerror}"
            current = parent
            continue
        if stat.S_ISDIR(found.st_mode):
            return current, None
        return os.path.dirname(current), f"{current} is not a folder"


def _stat(folder: str) -> None:
    found = os.stat(folder)
    _say(mode=stat.S_IMODE(found.st_mode), owner=found.st_uid, user=os.geteuid())
    space = os.statvfs(folder)
    values: dict[str, Any] = {"read_only": bool(space.f_flag & os.ST_RDONLY)}
    if space.f_blocks:
        values |= {"total_bytes": space.f_blocks * space.f_frsize, "free_bytes": space.f_bavail * space.f_frsize}
    if space.f_files:  # file systems without a fixed number of inodes, such as btrfs, say 0
        values |= {"total_inodes": space.f_files, "free_inodes": space.f_favail}
    _say(**values)


def _largest_checkpoint(folder: str) -> int | None:
    """The size of the largest `checkpoint-N`, as the Trainer names them (transformers, PREFIX_CHECKPOINT_DIR)."""
    sizes = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(r"checkpoint-\d+", entry.name) and entry.is_dir(follow_symlinks=False):
                sizes.append(_folder_bytes(entry.path))
                if len(sizes) == _MAX_CHECKPOINTS:
                    break
    return max(sizes, default=None)


def _folder_bytes(folder: str) -> int:
    total = entries = 0
    for place, _, names in os.walk(folder):
        for name in names[:_MAX_ENTRIES]:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(place, name))
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
        entries += len(names)
        if entries > _MAX_ENTRIES:
            break
    return total


def _write(folder: str) -> dict[str, Any]:
    """Creates, writes, syncs and removes a file, and compares its time stamp with the clock."""
    name = os.path.join(folder, f".trainguard-probe-{os.getpid()}-{secrets.token_hex(4)}")
    step = "create"
    descriptor = -1
    skew: float | None = None
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        step = "write"
        before = time.time()
        data = secrets.token_bytes(_PROBE_BYTES)
        while data:
            data = data[os.write(descriptor, data) :]
        after = time.time()
        step = "sync"
        os.fsync(descriptor)
        changed = os.fstat(descriptor).st_mtime
        skew = 0.0 if before <= changed <= after else min(changed - before, changed - after, key=abs)
        closing, descriptor = descriptor, -1
        os.close(closing)  # NFS says here that a quota is used up
        failed: dict[str, Any] = {"written": True}
    except OSError as error:
        failed = {
            "written": False,
            "step": step,
            "error": errno.errorcode.get(error.errno or 0, str(error.errno)),
            "message": error.strerror or str(error),
        }
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if step != "create":
        try:
            os.unlink(name)
        except OSError:
            failed["left_behind"] = name
    return {"write": failed, "skew_seconds": skew}


def _lock(path: str) -> dict[str, Any] | None:
    """Whether a process holds the kernel's lock on a lock file; None where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        number = re.search(rb"\d{1,10}", os.read(descriptor, _LOCK_BYTES))
        try:
            # Shared, and given back at once: of two probes neither takes the other for a run.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return {"path": path, "held": True, "pid": int(number[0]) if number else None}
        return {"path": path, "held": False, "pid": None}
    except OSError:
        return None
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
