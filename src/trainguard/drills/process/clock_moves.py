"""Row 47: the file server's clock is ahead, and the machine's own is set back and forth while a daemon works, and once
more while a file rests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.process._clock import shifted_clock
from trainguard.drills.process._daemon import (
    INBOX,
    finish,
    look,
    set_faults,
    start_daemon,
    step_of,
    until,
    write_folder,
)
from trainguard.drills.process._on_disk import run_on_disk
from trainguard.findings import Finding

_SKEW_SECONDS = 7_200
_DAY_SECONDS = 86_400
_MOVES = (30 * _DAY_SECONDS, -400 * _DAY_SECONDS)
_MOVE_AT_REST = -410 * _DAY_SECONDS
_FILES = {"a.jsonl": 40, "b.jsonl": 8}
_RESTING = "b.jsonl"
_ATTEMPTS = {"a.jsonl": 1, _RESTING: 2}
_STEP_SECONDS = 0.3
# Long enough to be seen on a busy machine. Nobody waits for it: with the clock put back the rest is over.
_REST_SECONDS = 60.0


class ClockMoves(Drill):
    number = 47
    area = "process"
    needs = frozenset({"fuse"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A folder on a server whose clock is two hours ahead; then a daemon in the middle of whose first file the date
        goes forth by 30 days, and soon back by 430. The second runs out of memory and rests; the date goes back."""
        findings = self._of_server(scratch, guard)
        if not guard.guarding:
            return Outcome(findings=findings)
        folder = scratch / "queue"
        config = write_folder(folder, _FILES)
        values = json.loads(config.read_bytes())
        values["guard"]["retry_delay_seconds"] = _REST_SECONDS
        config.write_text(json.dumps(values), encoding="utf-8")
        no_memory = {"what": "ram", "file": _RESTING, "step": 0, "times": 1}
        set_faults(folder, [no_memory], step_seconds=_STEP_SECONDS)
        # It comes while the first is trained, so that its rest is the last thing that happens.
        (folder / INBOX / _RESTING).rename(folder / _RESTING)
        clock = shifted_clock(scratch)
        daemon = start_daemon(folder, clock.environment)
        try:
            until(lambda: step_of(folder) >= 1, "a step")
            (folder / _RESTING).rename(folder / INBOX / _RESTING)
            for number, seconds in enumerate(_MOVES, 1):
                until(lambda step=3 * number: step_of(folder) >= step, "a step")  # type: ignore[misc]
                clock.move(seconds)
            until(lambda: any(file["not_before"] for file in look(folder)["files"]), "a rest")
            clock.move(_MOVE_AT_REST)
        finally:
            code = finish(daemon)
        clock.move(0)
        return Outcome(findings=findings, values={"code": code, "seen": look(folder)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "SYS010", severity="warn", says=["ahead of this machine's clock"])
        if "seen" not in outcome.values:
            return
        seen: dict[str, Any] = outcome.values["seen"]
        if outcome.values["code"] != 0:
            yield f"the daemon ended with {outcome.values['code']}"
        for file in seen["files"]:
            attempts = _ATTEMPTS[file["name"]]
            if (file["state"], file["attempts"]) != ("done", attempts):
                yield (
                    f"{file['name']} is {file['state']} after {file['attempts']} attempts, expected done after "
                    f"{attempts}"
                )
        if len(seen["files"]) != len(_FILES):
            yield f"{len(seen['files'])} files are in the queue, expected {len(_FILES)}"
        times = [event["time"] for event in seen["events"]]
        if not any(later < earlier - _DAY_SECONDS for earlier, later in pairwise(times)):
            yield "the clock did not go back, so nothing was shown"

    def _of_server(self, scratch: Path, guard: Guard) -> tuple[Finding, ...]:
        for name in ("start", "mount"):
            (scratch / name).mkdir()
        place = scratch / "mount"
        question = {
            "setup": [],
            "folder": str(place),
            "needed_bytes": None,
            "deadline_seconds": None,
            "ignore": list(guard.ignored),
        }
        command = [sys.executable, "-m", "trainguard.drills.inside", json.dumps(question)]
        ran = run_on_disk(scratch / "start", place, command, skew_seconds=_SKEW_SECONDS)
        if ran.returncode != 0:
            raise RuntimeError(ran.stderr[-500:])
        return tuple(Finding.from_dict(each) for each in json.loads(ran.stdout))
