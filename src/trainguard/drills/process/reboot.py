"""Row 43: the machine is started anew in the middle of a run."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.process._daemon import (
    CONFIG,
    FAULTS,
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

_FILES = {"a.jsonl": 32}
_STEP_SECONDS = 0.3
_BEFORE = 5
# The first process of a machine: whatever a file says of its number, it lives.
_OTHER = 1


class Reboot(Drill):
    number = 43
    area = "process"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """All processes end at once in the middle of a file, and the boot that their records name is over; what stands
        in the files has numbers that are other processes' now. Then the unit is started as at a boot."""
        if not guard.guarding:
            return Outcome(values={"naive": self._naively(scratch)})
        folder = scratch / "folder"
        write_folder(folder, _FILES)
        set_faults(folder, [], step_seconds=_STEP_SECONDS)
        daemon = start_daemon(folder)
        try:
            until(lambda: step_of(folder) >= _BEFORE, "a step")
        finally:
            _end_everything(folder, daemon)
        reached = step_of(folder)
        set_faults(folder, [])
        unit = _unit(folder)
        code, heard = self._started(folder, unit, scratch)
        seen = look(folder)
        findings = tuple(each for each in _told(seen["events"]) if each.code not in guard.ignored)
        values = {"unit": unit, "code": code, "heard": heard, "seen": seen, "reached": reached}
        return Outcome(findings=findings, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        values = outcome.values
        if "naive" in values:
            yield values["naive"]
        yield from missing(outcome, "RUN012", says=["started anew", "checkpoint of step"])
        if "seen" not in values:
            return
        unit: dict[str, dict[str, str]] = values["unit"]
        if unit["Service"].get("Restart") != "on-failure" or not unit["Install"].get("WantedBy"):
            yield f"the unit does not come back by itself: {unit}"
        if values["code"] != 0:
            yield f"the daemon ended with {values['code']} after the start"
        if "READY=1" not in values["heard"]:
            yield "the service manager was not told that the daemon serves"
        seen: dict[str, Any] = values["seen"]
        if [file["state"] for file in seen["files"]] != ["done"]:
            yield f"the files are {[file['state'] for file in seen['files']]}, expected one that is done"
        rows = [row for _, _, row in seen["seen"]]
        if sorted(rows) != list(range(_FILES["a.jsonl"])):
            yield f"{len(rows)} rows went into the weights, expected each of {_FILES['a.jsonl']} once"

    def _started(self, folder: Path, unit: dict[str, dict[str, str]], scratch: Path) -> tuple[int | None, str]:
        """The unit's command, as a service manager starts it: its exit code, and what the manager heard."""
        address = f"@trainguard-drill-{os.getpid()}-{scratch.name}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind("\0" + address[1:])
            manager.settimeout(1.0)
            environment = {
                **os.environ,
                "TINY_TRAINER": str(folder / FAULTS),
                "NOTIFY_SOCKET": address,
                "WATCHDOG_USEC": "180000000",
            }
            with (folder / "daemon.txt").open("ab") as log:
                command = shlex.split(unit["Service"]["ExecStart"].replace("%%", "%").replace("$$", "$"))
                daemon = subprocess.Popen(
                    command,
                    cwd=unit["Service"]["WorkingDirectory"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            code = finish(daemon)
            heard = []
            with suppress(TimeoutError, BlockingIOError):
                manager.setblocking(False)
                while True:
                    heard.append(manager.recv(4096).decode())
        return code, "\n".join(heard)

    def _naively(self, scratch: Path) -> str:
        """A lock that is a file outlives the boot; the number in it is another process's."""
        from trainguard.drills.queue._naive import PID, NaiveQueue

        queue = NaiveQueue(scratch / "inbox", scratch / "home")
        (scratch / "home" / PID).write_text(str(_OTHER), encoding="utf-8")
        try:
            queue.lock()
        except RuntimeError as error:
            return f"it does not start again: {error}"
        return ""


def _end_everything(folder: Path, daemon: subprocess.Popen[bytes]) -> None:
    """As the end of the machine: no process has the time to clean up behind another."""
    from trainguard.daemon.processes import Identity, is_alive

    records = list((folder / OUTPUT / "queue/attempts").glob("*/*/process.json"))
    found = [json.loads(path.read_bytes()) for path in records]
    named = [Identity.parse(str(each.get(name))) for each in found for name in ("nanny", "command")]
    living = [whom for whom in named if whom is not None and is_alive(whom)]
    with suppress(ProcessLookupError):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (*(whom.pid for whom in living), daemon.pid):
                os.kill(pid, number)
    daemon.wait()
    until(lambda: not any(is_alive(whom) for whom in living), "the end of the run")
    for path, values in zip(records, found, strict=True):
        path.write_text(json.dumps({**values, "boot": "00000000-0000-4000-8000-000000000000"}), encoding="utf-8")
    about = folder / OUTPUT / "queue/daemon.json"
    about.write_text(json.dumps({"pid": _OTHER, "started": 1.0}), encoding="utf-8")


def _unit(folder: Path) -> dict[str, dict[str, str]]:
    from trainguard.daemon.service import unit_text

    # The stand-in's own entry point in the place of `trainguard daemon run`.
    command = (sys.executable, "-P", "-m", "trainguard.drills.process._daemon")
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(unit_text(folder / CONFIG, folders=[folder / OUTPUT], command=command))
    return {name: dict(parser[name]) for name in parser.sections()}


def _told(events: list[dict[str, Any]]) -> Iterator[Finding]:
    """What the queue tells of the end of the first attempt."""
    for event in events:
        code, _, words = str(event.get("cause") or "").partition(" ")
        if code == "RUN012":
            yield Finding(severity="error", message=words, code=code, name="killed")
