"""One run writes into an output folder at a time: a lock that its process holds, and that dies with it.

A POSIX record lock (fcntl(2), F_SETLK) and not flock(2): workers that are forked to load data inherit an flock and
would hold it for seconds after their parent was killed, and the restarted run would find its own folder taken.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Literal

# Of a guarded run's own files; the folder of the heartbeats and events.
OWN_FOLDER = "trainguard"
_LOCK = "writer.lock"

# Descriptor and number of holders by path. Closing any descriptor of a file gives up all locks that the process has on
# it (fcntl(2)), so a process opens each once.
_HELD: dict[str, list[int]] = {}

Held = Literal["held", "taken", "unknown"]


class RunLock:
    """The lock of an output folder. `known` says whether a guarded run wrote here before this one."""

    def __init__(self, output_dir: Path) -> None:
        self.path = output_dir / OWN_FOLDER / _LOCK
        self.known = self.path.exists()
        self._key: str | None = None

    def take(self) -> Held:
        """`held` by this process now, `taken` by another one, or `unknown` where the file system has no locks."""
        if self._key is not None:
            return "held"
        key = os.path.realpath(self.path)
        if key in _HELD:
            _HELD[key][1] += 1
            self._key = key
            return "held"
        try:
            import fcntl

            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (ImportError, OSError):
            return "unknown"
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            return "taken" if error.errno in (errno.EACCES, errno.EAGAIN) else "unknown"
        _HELD[key] = [descriptor, 1]
        self._key = key
        return "held"

    def release(self) -> None:
        key, self._key = self._key, None
        if key is None:
            return
        held = _HELD[key]
        held[1] -= 1
        if held[1] == 0:
            del _HELD[key]
            os.close(held[0])
