"""The process that sends alerts: it opens the queue by itself, sends what is due, marks it, and ends.

A process of its own, since Apprise and Trackio bring what a daemon of 150 MB has no room for, and since a service that
hangs must not hang the daemon. Where it is started a second time for the same queue, it ends at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from trainguard.daemon.channels import channels_of, preload
from trainguard.daemon.outbox import Outbox, Raiser, deliver
from trainguard.errors import TrainguardError
from trainguard.facts.config.schema_blocks import Alerts

# A round that takes longer is ended: 200 alerts to a service that answers in half a second.
_DEADLINE_SECONDS = 120.0
_LOCK = "outbox.lock"
_LOG = "outbox.log"
# Not before then is a sender started again: the pause before the first try of what has failed is 30 s.
_BETWEEN_SECONDS = 5.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender is told, on its stdin: addresses hold tokens, and a command line is for everybody to read."""

    home: str
    lineage: str
    alerts: Alerts
    database_url: str | None = None
    label: str = ""


class Courier:
    """Sees to it that alerts get out, a little at each turn of the daemon's loop. Never waits for a service."""

    def __init__(
        self,
        home: Path,
        lineage: str,
        alerts: Alerts,
        *,
        database_url: str | None = None,
        deadline_seconds: float = _DEADLINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._order = Order(
            home=str(home),
            lineage=lineage,
            alerts=alerts,
            database_url=database_url,
            label=Path(lineage).name or lineage,
        )
        self._home = home
        self._deadline = deadline_seconds
        self._clock = clock
        self._raiser = Raiser(home, window_seconds=alerts.window_seconds)
        self._sender: subprocess.Popen[bytes] | None = None
        self._began = -float("inf")
        self._lonely = not channels_of(alerts)

    def busy(self) -> bool:
        """Whether alerts are on their way."""
        return self._sender is not None

    def tick(self, queue: Outbox, *, last: bool = False) -> int:
        """Puts what is new into the outbox, and has a process send what is due; how many alerts were new.

        `last`: the daemon ends, and what is counted for a digest is told now.

        Raises what the database raises, and OSError where no process can be started or the folder cannot be written:
        nothing is lost then, and the next turn does it.
        """
        raised = self._raiser.look(queue, last=last)
        self._reap()
        if self._lonely:
            # Nobody to tell: settled now, so that a service that is set up later is not told of months at once.
            deliver(queue, ())
        elif self._sender is None and self._clock() - self._began >= _BETWEEN_SECONDS and queue.outbox():
            self._start()
        return raised

    def close(self, seconds: float = 10.0) -> None:
        """Gives the alerts that are on their way so long; what is not sent then is sent by the next daemon."""
        if self._sender is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._sender.wait(seconds)
            self._end()

    def _start(self) -> None:
        self._began = self._clock()
        with open(self._home / _LOG, "ab") as log:
            sender = subprocess.Popen(
                [sys.executable, "-m", "trainguard.daemon.sending"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        self._sender = sender
        assert sender.stdin is not None
        # It fits into a pipe's buffer (pipe(7): 64 KiB), so this does not wait; one that is dead is seen by its exit.
        with contextlib.suppress(OSError):
            sender.stdin.write(msgspec.json.encode(self._order))
            sender.stdin.close()

    def _reap(self) -> None:
        if self._sender is None:
            return
        if self._sender.poll() is not None or self._clock() - self._began > self._deadline:
            self._end()

    def _end(self) -> None:
        if self._sender is not None:
            if self._sender.poll() is None:
                self._sender.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._sender.wait(5)
            self._sender = None


def main() -> int:
    """Sends what is due, and ends with 0; 75 where another process does it already."""
    # Whoever started it may be dead by then, and the lock must not be held for ever by a service that hangs.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(round(_DEADLINE_SECONDS))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    home = Path(order.home)
    descriptor = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 75
    from trainguard.queue.store import open_queue

    preload(order.alerts)
    owner = f"alerts:{socket.gethostname()}:{os.getpid()}"
    try:
        queue: Any = open_queue(home, lineage=order.lineage, owner=owner, database_url=order.database_url)
    except TrainguardError as error:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {error}; it is tried again later", flush=True)
        return 75
    try:
        done = deliver(queue, channels_of(order.alerts, lineage=order.label), least=order.alerts.min_severity)
    finally:
        queue.close()
    for name, problem in done.failed.items():
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}: {problem}; it is tried again later", flush=True)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a service that hangs holds a thread, which an orderly exit would not wait for but might trip over
