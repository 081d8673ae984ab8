"""Questions that may never be answered, asked in a process of their own with a deadline.

A system call on a file system whose server is gone, and the start of a wedged GPU's driver, block without an end and
cannot be broken off from within. The process that asks them here is given up at the deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

_MAX_ANSWER_BYTES = 1 << 20
_GRACE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a child said: its lines of JSON merged into one mapping, as far as it came.

    `timed_out` says that the deadline came first, `failed` that the child could not be started or died by itself.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    timed_out: bool = False
    failed: str | None = None


def ask_child(script: Path, question: Mapping[str, Any], *, deadline_seconds: float, isolated: bool = True) -> Answer:
    """Runs `script` with `question` as JSON on its command line and collects the JSON lines that it prints.

    `isolated` starts it without site packages and without the user's Python settings; a child that needs an
    installed library says False. Never waits longer than the deadline and a grace of half a second, and never raises.
    """
    flags = ["-I", "-S"] if isolated else ["-P"]
    reading, writing = os.pipe()
    try:
        # The root folder as the current one: the caller's may lie on the very file system that hangs.
        child = subprocess.Popen(
            [sys.executable or "python3", *flags, "-X", "utf8", str(script), json.dumps(question)],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        return Answer(failed=f"no process could be started: {error.strerror or error}")
    finally:
        os.close(writing)
    received = _Receiver(reading)
    timed_out = not received.wait(deadline_seconds)
    if timed_out:
        _kill(child)
        received.wait(_GRACE_SECONDS)
    try:
        code: int | None = child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
        _kill(child)
        # In an uninterruptible wait not even a kill ends it; somebody has to reap it when it does end.
        threading.Thread(target=child.wait, daemon=True).start()
    failed = f"the probe ended with code {code}" if not timed_out and code else None
    return Answer(values=received.values(), timed_out=timed_out, failed=failed)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and what it started, which are a session of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


class _Receiver:
    """Reads a pipe to its end in a thread, so that the deadline holds whatever the writer does. Closes the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether the pipe came to its end within `seconds`."""
        until = monotonic() + seconds
        while self._thread.is_alive() and (left := until - monotonic()) > 0:
            self._thread.join(left)
        return not self._thread.is_alive()

    def values(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for line in bytes(self._data).split(b"\n"):
            try:
                part = json.loads(line)
            except ValueError:
                continue  # a line cut short by the deadline, or a library's chatter
            if isinstance(part, dict):
                merged.update(part)
        return merged

    def _read(self) -> None:
        try:
            while len(self._data) < _MAX_ANSWER_BYTES and (chunk := os.read(self._descriptor, 65536)):
                self._data += chunk
        finally:
            os.close(self._descriptor)
