"""Row 48: a second daemon for the same folder; and a first one that was killed and whose number another process has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.process._daemon import (
    OUTPUT,
    command,
    finish,
    look,
    set_faults,
    start_daemon,
    step_of,
    until,
    write_folder,
)
from trainguard.findings import Finding

_FILES = {"a.jsonl": 24}
# Twelve steps: the first daemon is in the middle of its file however long a second one takes to begin.
_STEP_SECONDS = 2.0
_SECOND_SECONDS = 60.0
_LOCKS = "import sys; from pathlib import Path; from trainguard.drills.queue._naive import NaiveQueue; "
_LOCK = f"{_LOCKS}NaiveQueue(Path(sys.argv[1]), Path(sys.argv[2])).lock()"


class SeveralDaemons(Drill):
    number = 48
    area = "process"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A daemon in the middle of a file, and a second one; then the first is killed, what it wrote about itself says
        the number of a process that lives, and a third begins."""
        if not guard.guarding:
            return Outcome(values={"third": self._naively(scratch)})
        write_folder(scratch / "folder", _FILES)
        folder = scratch / "folder"
        set_faults(folder, [], step_seconds=_STEP_SECONDS)
        first = start_daemon(folder)
        try:
            until(lambda: step_of(folder) >= 1, "a step")
            finding = _asked(folder)
            second = subprocess.run(
                command(folder / "config.json"), capture_output=True, check=False, text=True, timeout=_SECOND_SECONDS
            )
        finally:
            first.kill()
            first.wait()
        (folder / OUTPUT / "queue/daemon.json").write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
        set_faults(folder, [])
        third = finish(start_daemon(folder))
        values = {
            "first": first.pid,
            "second": (second.returncode, second.stdout + second.stderr),
            "third": third,
            "seen": look(folder),
        }
        found = (finding,) if finding is not None and finding.code not in guard.ignored else ()
        return Outcome(findings=found, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        values = outcome.values
        if values["third"] != 0:
            yield f"after the first one's death the next daemon ended with {values['third']}"
        yield from missing(outcome, "SYS009", says=[f"process {values.get('first')}", "daemon stop"])
        if "seen" not in values:
            return
        code, said = values["second"]
        if code == 0 or str(values["first"]) not in said:
            yield f"the second daemon ended with {code} and said {said[-300:]!r}"
        seen: dict[str, Any] = values["seen"]
        if [file["state"] for file in seen["files"]] != ["done"]:
            yield f"the files are {[file['state'] for file in seen['files']]}, expected one that is done"
        rows = [row for _, _, row in seen["seen"]]
        if sorted(rows) != list(range(_FILES["a.jsonl"])):
            yield f"{len(rows)} rows went into the weights, expected each of {_FILES['a.jsonl']} once"

    def _naively(self, scratch: Path) -> str:
        """A lock that is a file: what a killed process leaves keeps everybody out."""
        from trainguard.drills.queue._naive import NaiveQueue

        places = [str(scratch / "inbox"), str(scratch / "home")]
        with subprocess.Popen(
            [sys.executable, "-c", f"{_LOCK}; print('taken', flush=True); sys.stdin.read()", *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as first:
            assert first.stdout is not None
            first.stdout.readline()
            first.kill()
        try:
            NaiveQueue(scratch / "inbox", scratch / "home").lock()
        except RuntimeError as error:
            return str(error)
        return "0"


def _asked(folder: Path) -> Finding | None:
    """What the lock says to whoever wants it now."""
    from trainguard.daemon.lock import AlreadyRunningError, DaemonLock

    lock = DaemonLock(folder / OUTPUT / "queue")
    try:
        lock.take()
    except AlreadyRunningError as error:
        return error.finding
    lock.release()
    return None
