"""Row 10: a file of more than 1 GB, read in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import line, numbered
from trainguard.drills.guard import Guard
from trainguard.findings import Finding

_FILE_BYTES = 1_150_000_000
_MAX_MEMORY_BYTES = 300_000_000
_DEADLINE_SECONDS = 300.0

# Reads the file as any program would, and says how much memory it and its workers took at most, together.
_READER = """
import json, sys, threading
import psutil
from pathlib import Path
from trainguard.drills.guard import Guard

path, ignored = json.loads(sys.argv[1])
here, peak, done = psutil.Process(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.02):
        total = 0
        for process in [here, *here.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                pass
        peak = max(peak, total)

if __name__ == "__main__":
    watcher = threading.Thread(target=watch)
    watcher.start()
    steps = []
    findings = Guard(ignored=tuple(ignored)).data(Path(path), on_progress=lambda done, total: steps.append(done))
    done.set()
    watcher.join()
    said = {"peak": peak, "steps": len(steps), "rises": steps == sorted(steps)}
    print(json.dumps([[finding.to_dict() for finding in findings], said]))
"""


class LargeFile(Drill):
    number = 10
    area = "data"
    needs = frozenset({"disk"})
    slow = True

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        path = scratch / "train.jsonl"
        rows = [line(row) for row in numbered(20_000)]
        block = ("\n".join(rows) + "\n").encode()
        with path.open("wb") as file:
            for _ in range(_FILE_BYTES // len(block) + 1):
                file.write(block)
        reader = scratch / "reader.py"
        reader.write_text(_READER, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(reader), json.dumps([str(path), list(guard.ignored)])],
            capture_output=True,
            check=True,
            text=True,
            timeout=_DEADLINE_SECONDS,
        )
        findings, said = json.loads(done.stdout)
        return Outcome(findings=tuple(Finding.from_dict(each) for each in findings), values=said)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA019", severity="info", says=["GB", "train.jsonl"])
        yield from surplus(outcome)
        if outcome.values["peak"] > _MAX_MEMORY_BYTES:
            yield f"reading took {outcome.values['peak'] / 1e6:.0f} MB of memory, more than 300 MB"
        if outcome.values["steps"] < 2 or not outcome.values["rises"]:
            yield f"progress was told {outcome.values['steps']} times"
