"""Row 70: the run stands still. Seen from outside its process, which cannot say so itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.forking import forked
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import STEPS, in_fork, names, own_code, write_run

_HANGS = """import time
from pathlib import Path


def wait_for_ever():
    for _ in range(12_000):  # ten minutes, should nobody be left to end it
        time.sleep(0.05)


def go(batch):
    Path("hangs").touch()
    wait_for_ever()
"""
_DECLARED = {"max_steps": STEPS, "logging_steps": 1, "save_steps": 2}
_DEADLINE_SECONDS = 120.0
_MINUTE = 60.0
# A save may be slow where a step may not.
_SAVE_MINUTES = 8
# After two hours a step of a tiny model is late by any measure.
_PATIENCE_MINUTES = 120


class Hang(Drill):
    number = 70
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """The sixth step never ends. What is known of it is what lies in the run's folder, and the clock, which runs
        ahead here; then the stacks are asked for."""
        write_run(scratch)
        fault = own_code(scratch, _HANGS, at=6)
        arguments = {"guarded": guard.guarding, "fault": fault, "settings": {}}
        stacks = scratch / "out/trainguard/stacks.txt"
        with forked(in_fork, arguments, scratch) as fork:
            _until((scratch / "hangs").exists)
            seen = list(self._records(scratch / "out"))
            if guard.guarding:
                fork.send(signal.SIGUSR1)
                _until(lambda: stacks.is_file() and "wait_for_ever" in stacks.read_text(encoding="utf-8"))
        late, waited = self._watched(guard, seen)
        begins = {"event": "phase", "name": "save", "t": self._end_of(seen)}
        saving, _ = self._watched(guard, [*seen, begins], _SAVE_MINUTES)
        values = {
            "minutes": waited,
            "saving": Outcome(findings=saving),
            "stacks": stacks.read_text(encoding="utf-8") if stacks.is_file() else "",
            "latest": guard.latest_checkpoint(scratch / "out"),
            "names": names(scratch),
        }
        return Outcome(findings=late, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN008", says=["SIGUSR1", "resume"])
        if outcome.of("RUN008") and not 2 <= outcome.values["minutes"] <= 60:
            yield f"RUN008 was said after {outcome.values['minutes']} minutes"
        if outcome.values["saving"].of("RUN008"):
            yield f"RUN008 was said of a save of {_SAVE_MINUTES} minutes"
        if "wait_for_ever" not in outcome.values["stacks"]:
            yield "the stacks do not name the function that hangs"
        latest = outcome.values["latest"]
        if latest is None or latest.name != "checkpoint-4":
            yield f"the checkpoint to resume from is {latest}, expected checkpoint-4"

    def _records(self, output: Path) -> Iterator[dict[str, Any]]:
        """What a watcher in another process reads."""
        from trainguard.sources.guarded_run import GuardedRun

        source = GuardedRun(output, "run")
        try:
            yield from source.poll()
        finally:
            source.close()

    def _end_of(self, records: list[dict[str, Any]]) -> float:
        return max((record["t"] for record in records if "t" in record), default=0.0)

    def _watched(
        self, guard: Guard, records: list[dict[str, Any]], minutes: int = _PATIENCE_MINUTES
    ) -> tuple[tuple[Any, ...], int]:
        """What is said of these and the minutes after them, and after how many something was."""
        watcher = guard.watcher(declared=_DECLARED)
        found = [finding for record in records for finding in watcher.feed(record)]
        last = self._end_of(records)
        for minute in range(1, minutes + 1):
            found += watcher.feed({"tick": True, "t": last + minute * _MINUTE})
            if any(finding.code == "RUN008" for finding in found):
                return tuple(found), minute
        return tuple(found), minutes


def _until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE_SECONDS
    while not met():
        if time.monotonic() > end:
            raise TimeoutError("the run did not come to where it hangs")
        time.sleep(0.05)
