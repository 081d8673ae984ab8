"""Row 60: a file that ends its run every time, whatever is tried."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.guard import Guard
from trainguard.drills.process._daemon import CONFIG, INBOX, OUTPUT, finish, look, start_daemon, write_folder
from trainguard.drills.process._observed import findings_of
from trainguard.findings import Finding

_BAD, _GOOD = "a-bad.jsonl", "b-good.jsonl"
_RETRIES = 2  # as write_folder sets them
_MOST_ATTEMPTS = 2 * (_RETRIES + 1)
_ENDLESS_SECONDS = 4.0


class RetriedForEver(Drill):
    number = 60
    area = "queue"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Of two files the first kills its trainer before its first save, every time. Without the guard: a loop that
        tries the first file in the folder until it succeeds, for some seconds."""
        write_folder(scratch, {_BAD: 20, _GOOD: 8}, faults=[{"what": "kill", "file": _BAD, "step": 1, "times": None}])
        if not guard.guarding:
            return Outcome(values={"attempts": self._naive(scratch)})
        code = finish(start_daemon(scratch))
        seen = look(scratch)
        reasons = list((scratch / OUTPUT / "queue/quarantined").glob("*/REASON.md"))
        values = {
            "code": code,
            "states": {file["name"]: file["state"] for file in seen["files"]},
            "attempts": {file["name"]: file["attempts"] for file in seen["files"]},
            "starts": [event["time"] for event in seen["events"] if event["kind"] == "attempt-start"],
            "reason": reasons[0].read_text(encoding="utf-8") if reasons else "",
        }
        findings = tuple(
            finding
            for each in findings_of(seen["events"])
            if (finding := Finding.from_dict(each)).code not in guard.ignored
        )
        return Outcome(findings=findings, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "QUEUE010", says=[_BAD, "retry"])
        attempts = outcome.values["attempts"]
        if not _RETRIES <= attempts.get(_BAD, 0) <= _MOST_ATTEMPTS:
            yield f"{_BAD} was tried {attempts.get(_BAD, 0)} times, expected {_RETRIES + 1} or so"
        if "states" not in outcome.values:
            return
        states = outcome.values["states"]
        if states != {_BAD: "quarantined", _GOOD: "done"}:
            yield f"the files ended as {states}, expected the first quarantined and the second done"
        if outcome.values["code"] != 0:
            yield f"the daemon ended with {outcome.values['code']}"
        reason = outcome.values["reason"]
        for words in (_BAD, "SIGKILL", "trainguard queue retry"):
            if words not in reason:
                yield f"REASON.md beside the file does not say {words!r}"

    def _naive(self, scratch: Path) -> dict[str, int]:
        attempts = {_BAD: 0}
        end = time.monotonic() + _ENDLESS_SECONDS
        for path in sorted((scratch / INBOX).iterdir()):
            code = None
            while code != 0 and time.monotonic() < end:
                command = [
                    "-m",
                    "trainguard.drills.process._tiny_trainer",
                    str(scratch / CONFIG),
                    "--set",
                    f"data={path}",
                ]
                code = subprocess.run([sys.executable, *command], check=False, capture_output=True).returncode
                attempts[path.name] = attempts.get(path.name, 0) + 1
        return attempts
