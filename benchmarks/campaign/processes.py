"""The processes of one life, told by a mark in their environment, which their children inherit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

MARK = "TRAINGUARD_CAMPAIGN"


class Processes:
    """Those that were started with `environment`, and whatever they started, but for this one itself."""

    def __init__(self, mark: str | None = None) -> None:
        """`mark` is that of the processes that this one was started with, where none is given."""
        mark = mark or os.environ.get(MARK) or f"campaign-{os.getpid()}"
        self.environment = {MARK: mark}
        self._mark = f"{MARK}={mark}".encode()

    def all(self, *names: str) -> list[int]:
        """Those whose command line has one of these words; all of them without a word."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if self._mark not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if not names or any(name in command for name in names):
                found.append(int(entry.name))
        return found

    def trainers(self) -> list[int]:
        """The training process; that which watches it has the same words in its command line."""
        return [pid for pid in self.all("campaign/trainer.py") if "nanny" not in command_of(pid)]

    def send(self, number: signal.Signals, *names: str) -> list[int]:
        return [pid for pid in self.all(*names) if send(pid, number)]

    def end(self) -> None:
        """Kills all of them, and those that they start meanwhile."""
        while self.send(signal.SIGKILL):
            time.sleep(0.02)


def send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def command_of(pid: int) -> str:
    """Its command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
