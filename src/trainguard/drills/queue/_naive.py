"""The queue that one writes in an afternoon: what the drills compare with, and what people have without trainguard.

It takes files straight from the folder in the order of their names, holds a file with its process number as its lock,
and rewrites a JSON file in place to know what is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

Train = Callable[[Path], None]

STATE = "state.json"
PID = "queue.pid"


class NaiveQueue:
    """Files of `inbox`, done files by name in `home/state.json`. Raises what goes wrong, as such a loop does."""

    def __init__(self, inbox: Path, home: Path) -> None:
        self.inbox = inbox
        self.home = home
        home.mkdir(parents=True, exist_ok=True)

    def lock(self) -> None:
        """Raises RuntimeError where the file is there, whoever wrote it, and whether or not that process lives."""
        path = self.home / PID
        if path.exists():
            raise RuntimeError(f"already running as process {path.read_text()}")
        path.write_text(str(os.getpid()))

    def done(self) -> list[str]:
        """The names of the files that are done. Raises ValueError where the file was torn."""
        path = self.home / STATE
        names: list[str] = json.loads(path.read_text())["done"] if path.exists() else []
        return names

    def finish(self, name: str) -> None:
        done = [*self.done(), name]
        (self.home / STATE).write_text(json.dumps({"done": done}))

    def waiting(self) -> Iterator[Path]:
        """What is to be trained: everything below the folder, links followed, that is not done by its name."""
        found: list[Path] = []
        for folder, _, names in os.walk(self.inbox, followlinks=True):
            found += [Path(folder) / name for name in names]
        done = self.done()
        yield from (path for path in sorted(found) if path.name not in done)

    def run(self, train: Train) -> None:
        """Trains all that waits, one after the other."""
        for path in list(self.waiting()):
            train(path)
            self.finish(path.name)
