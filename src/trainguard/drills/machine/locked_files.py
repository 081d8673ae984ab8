"""Row 50: a file that another program holds open and shares with nobody, and a database that another process locks."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.data._rows import numbered, write_lines
from trainguard.drills.guard import Guard
from trainguard.drills.process._on_disk import run_on_disk
from trainguard.findings import Finding

_LOCKED, _FREE = "a.jsonl", "b.jsonl"
_LOCKED_SECONDS, _DATABASE_SECONDS, _SECONDS = 5.0, 1.5, 7.0
# The inbox is asked again within a second as a rule; a busy machine takes longer.
_PATIENCE_SECONDS = 5.0


@contextmanager
def _locked(path: Path, seconds: float) -> Iterator[None]:
    """Another connection holds an SQLite database for itself, for so long."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, database.execute, ("ROLLBACK",))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        database.close()


class LockedFiles(Drill):
    number = 50
    area = "machine"
    needs = frozenset({"fuse"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """An inbox on a share where the first of two files is locked for five seconds; beside it a queue whose database
        somebody's backup locks meanwhile. Without the guard: a loop that moves what it finds."""
        for name in ("start", "inbox", "home"):
            (scratch / name).mkdir()
        write_lines(scratch / "start" / _LOCKED, numbered(4))
        write_lines(scratch / "start" / _FREE, numbered(5))
        if not guard.guarding:
            return Outcome(values={"accepted": self._naive(scratch)})
        self._make_queue(scratch / "home")
        with _locked(scratch / "home/queue.sqlite", _DATABASE_SECONDS):
            said = self._taken(scratch)
        findings = tuple(
            finding for each in said["findings"] if (finding := Finding.from_dict(each)).code not in guard.ignored
        )
        return Outcome(findings=findings, values={"accepted": said["accepted"]})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "SYS003", says=[_LOCKED, "busy", "tried again"], evidence={"errno": "EBUSY"})
        if len(outcome.of("SYS003")) > 1:
            yield f"it was said {len(outcome.of('SYS003'))} times"
        accepted: Mapping[str, float] = outcome.values["accepted"]
        for name, seconds in ((_FREE, _DATABASE_SECONDS), (_LOCKED, _LOCKED_SECONDS + _DATABASE_SECONDS)):
            if name not in accepted:
                yield f"{name} was not accepted, though it is free again"
            elif accepted[name] > seconds + _PATIENCE_SECONDS:
                yield f"{name} was accepted after {accepted[name]:.1f} s, expected {seconds:.0f} s and a little"

    def _make_queue(self, home: Path) -> None:
        from trainguard.queue.store import open_queue

        open_queue(home, lineage="drill", owner="drill").close()

    def _taken(self, scratch: Path) -> Any:
        """What the guard's inbox made of it, as lines of JSON."""
        command = [sys.executable, "-m", "trainguard.drills.machine._taking"]
        command += [str(scratch / "inbox"), str(scratch / "home"), str(_SECONDS)]
        ran = self._on_share(scratch, command)
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr[-500:])
        return json.loads(ran.stdout)

    def _naive(self, scratch: Path) -> Mapping[str, float]:
        move = "import os, shutil, sys\nfor name in sorted(os.listdir(sys.argv[1])):\n"
        move += "    shutil.copy(os.path.join(sys.argv[1], name), sys.argv[2])\n"
        self._on_share(scratch, [sys.executable, "-c", move, str(scratch / "inbox"), str(scratch / "home")])
        return {path.name: 0.0 for path in (scratch / "home").iterdir()}

    def _on_share(self, scratch: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
        return run_on_disk(scratch / "start", scratch / "inbox", command, locked={_LOCKED: _LOCKED_SECONDS})
