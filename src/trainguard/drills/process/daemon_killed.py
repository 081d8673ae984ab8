"""Row 41: the daemon is killed in the middle of a file, and in the middle of the next one once more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.process._daemon import (
    CONFIG,
    FAULTS,
    INBOX,
    OUTPUT,
    finish,
    look,
    set_faults,
    start_daemon,
    step_of,
    until,
    write_folder,
)
from trainguard.findings import Finding

_FILES = {"a.jsonl": 24, "b.jsonl": 24}
_STEP_SECONDS = 0.3
# Global steps: in the first file of six steps, and in the second.
_KILLS = (4, 10)
_GONE_SECONDS = 15.0
_TRAINER = "trainguard.drills.process._tiny_trainer"
# The loop over a folder as one writes it in an afternoon.
_LOOP = f"""
import subprocess, sys
from pathlib import Path
from trainguard.drills.queue._naive import NaiveQueue
def train(path):
    subprocess.run([sys.executable, "-m", "{_TRAINER}", sys.argv[1], "--set", f"data={{path}}"], check=True)
NaiveQueue(Path(sys.argv[2]), Path(sys.argv[3])).run(train)
"""


class DaemonKilled(Drill):
    number = 41
    area = "process"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """SIGKILL to the daemon alone, twice. Its run must die with it, and the next daemon take the file up where the
        newest verified checkpoint stands."""
        folder = scratch / "folder"
        write_folder(folder, _FILES)
        set_faults(folder, [], step_seconds=_STEP_SECONDS)
        orphans = []
        for step in _KILLS if guard.guarding else _KILLS[:1]:
            daemon = start_daemon(folder) if guard.guarding else _start_loop(folder)
            try:
                until(lambda step=step: step_of(folder) >= step, "a step")  # type: ignore[misc]
            finally:
                daemon.kill()
                daemon.wait()
            orphans.append(_outlived(folder))
        if not guard.guarding:
            return Outcome(values={"orphans": orphans})
        code = finish(start_daemon(folder))
        seen = look(folder)
        findings = tuple(each for each in _told(seen["events"]) if each.code not in guard.ignored)
        return Outcome(findings=findings, values={"orphans": orphans, "code": code, "seen": seen})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        values = outcome.values
        for count in values["orphans"]:
            if count:
                yield f"the run of the killed daemon went on: {count} processes"
        yield from missing(outcome, "RUN012", says=["while this file was in training", "checkpoint of step"])
        if "seen" not in values:
            return
        if len(outcome.findings) != len(_KILLS):
            yield f"RUN012 was said {len(outcome.findings)} times, expected {len(_KILLS)}"
        if values["code"] != 0:
            yield f"the last daemon ended with {values['code']}"
        seen: dict[str, Any] = values["seen"]
        states = {file["name"]: file["state"] for file in seen["files"]}
        if states != dict.fromkeys(_FILES, "done"):
            yield f"the files are {states}, expected all of {', '.join(_FILES)} done"
        rows = sorted((file, row) for file, _, row in seen["seen"])
        expected = sorted((file, row) for file in {file for file, _ in rows} for row in range(24))
        if rows != expected or len(rows) != sum(_FILES.values()):
            yield f"{len(rows)} rows went into the weights, expected each of {sum(_FILES.values())} once"


def _start_loop(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "daemon.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", _LOOP, str(folder / CONFIG), str(folder / INBOX), str(folder / "home")],
            env={**os.environ, "TINY_TRAINER": str(folder / FAULTS)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _outlived(folder: Path) -> int:
    """How many processes of the run are still there after a while; they are killed then."""
    end = time.monotonic() + _GONE_SECONDS
    pids = _trainers(folder)
    # A run that goes on makes steps meanwhile.
    reached = step_of(folder)
    while pids and time.monotonic() < end and step_of(folder) < reached + 2:
        time.sleep(0.05)
        pids = _trainers(folder)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


def _trainers(folder: Path) -> list[int]:
    """Processes that write into this output folder: those of the heartbeats that live."""
    path = folder / OUTPUT / "trainguard/heartbeat.jsonl"
    try:
        named = {int(json.loads(line)["pid"]) for line in path.read_bytes().splitlines()}
    except (OSError, ValueError, KeyError):
        return []
    found = []
    for pid in named:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if _TRAINER.encode() in command and str(folder).encode() in command:
            found.append(pid)
    return found


def _told(events: list[dict[str, Any]]) -> Iterator[Finding]:
    for event in events:
        code, _, words = str(event.get("cause") or "").partition(" ")
        if event["kind"] == "transition" and code == "RUN012":
            yield Finding(severity="error", message=words, code=code, name="killed")
