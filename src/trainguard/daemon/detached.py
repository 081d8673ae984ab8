"""A daemon without a terminal: started in a session of its own, found by its lock, stopped by its verified identity."""

from __future__ import annotations

import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainguard.daemon.lock import Holder, holder
from trainguard.daemon.placing import away_before_start
from trainguard.daemon.processes import identity, send
from trainguard.daemon.settings import Settings
from trainguard.daemon.start import log_path
from trainguard.errors import UsageError

# Ten thousand files in history take 2 s; rebuilding a broken queue reads all folders.
READY_SECONDS = 120.0
ERRORS = "daemon.err"
# The variable of queue.database_url (facts/config/given.py).
DATABASE_URL = "TRAINGUARD_QUEUE_DATABASE_URL"
_PAUSE_SECONDS = 0.05
_MOST_WORDS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What came of a start: `pid` of the daemon, and `problem` where it did not get ready (its last words)."""

    pid: int
    log: Path
    problem: str | None = None
    exit_code: int | None = None


def start_detached(
    settings: Settings,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    seconds: float = READY_SECONDS,
) -> Started:
    """Starts `trainguard daemon run` with these arguments in the background, and waits until it serves.

    `environment` is added to that of this process.

    It says so the way it does to systemd (sd_notify(3)), through a socket of this process. Raises OSError where the
    folder cannot be written or no process can be started, and UsageError where its mount is away.
    """
    if (why := away_before_start(settings)) is not None:
        raise UsageError(why)
    folder = settings.lock_folder
    folder.mkdir(parents=True, exist_ok=True)
    address = f"trainguard-{os.getpid()}-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as listening:
        listening.bind(f"\0{address}")
        listening.settimeout(_PAUSE_SECONDS)
        with open(folder / ERRORS, "wb") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "trainguard",
                    "daemon",
                    "run",
                    str(settings.config),
                    "--quiet",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd="/",
                env={**os.environ, **(environment or {}), "NOTIFY_SOCKET": f"@{address}"},
                start_new_session=True,
            )
        return _awaited(process, listening, folder, log_path(settings), seconds)


def _awaited(
    process: subprocess.Popen[bytes], listening: socket.socket, folder: Path, log: Path, seconds: float
) -> Started:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(TimeoutError):
            if b"READY=1" in listening.recv(4096).split(b"\n"):
                return Started(pid=process.pid, log=log)
        code = process.poll()
        if code is not None:
            return Started(pid=process.pid, log=log, problem=_last_words(folder / ERRORS), exit_code=code)
    return Started(pid=process.pid, log=log, problem=f"it was not ready after {seconds:.0f} s and goes on trying")


def _last_words(path: Path) -> str:
    try:
        text = path.read_bytes()[-_MOST_WORDS:].decode("utf-8", "backslashreplace").strip()
    except OSError:
        text = ""
    return text.removeprefix("error: ") or "it ended without a word"


def running(settings: Settings) -> Holder | None:
    """Who serves this configuration now, None where nobody does."""
    return holder(settings.lock_folder)


def is_here(whom: Holder) -> bool:
    """Whether the holder is a process of this machine that can be sent a signal."""
    return whom.pid is not None and whom.host in (None, platform.node())


def stop_daemon(settings: Settings, *, now: bool = False) -> bool:
    """SIGTERM to the holder of the lock, and to no other process; whether it was sent. `now` sends a second one."""
    whom = running(settings)
    if whom is None or whom.pid is None or not is_here(whom):
        return False
    who = identity(whom.pid)
    again = running(settings)
    # Between the two questions the number may have become another process's, which then does not hold the lock.
    if who is None or again is None or again.pid != whom.pid:
        return False
    sent = send(who, signal.SIGTERM)
    if sent and now:
        time.sleep(0.2)  # two signals of a kind that are pending are one (signal(7))
        send(who, signal.SIGTERM)
    return sent


def wait_for_end(settings: Settings, seconds: float) -> bool:
    """Waits until nobody holds the lock; whether that came in time."""
    until = time.monotonic() + seconds
    while running(settings) is not None:
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
