"""Row 42: the power goes while a daemon works, and writes are lost and torn."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainguard.drills.base import Drill, Outcome
from trainguard.drills.guard import Guard
from trainguard.drills.process._cuts import cut_power
from trainguard.drills.process._daemon import CONFIG, command, write_folder

_FILES = {"a.jsonl": 12, "b.jsonl": 8}
_CUTS, _SEED = 6, 1
# A queue as one writes it in an afternoon: the state in one file, written in place, files moved when they are done.
_NAIVE = """
import json, os, sys
os.chdir(sys.argv[1])
os.makedirs("done", exist_ok=True)
def read():
    try:
        with open("state.json") as file: return json.load(file)
    except (OSError, ValueError): return []
for name in sorted(os.listdir("inbox")):
    if not any(name == done for done, _, _ in read()):
        seen = read()
        with open("inbox/" + name) as file: rows = file.read().splitlines()
        with open("state.json", "w") as file: json.dump(seen + [[name, 0, row] for row in range(len(rows))], file)
    os.rename("inbox/" + name, "done/" + name)
"""
_NAIVE_LOOK = """
import json, os, sys
os.chdir(sys.argv[1])
try:
    with open("state.json") as file: seen = json.load(file)
except (OSError, ValueError): seen = []
files = [{"id": name, "name": name, "state": "done", "sha256": ""} for name in sorted(os.listdir("done"))]
print(json.dumps({"files": files, "seen": seen}))
"""


class PowerLoss(Drill):
    number = 42
    area = "process"
    needs = frozenset({"fuse"})
    slow = True

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Two files are trained on a disk that notes every operation. Then the power is cut at six moments, spread over
        all of them: once nothing that was not synced is left, once some of it, torn, once all; and each time the daemon
        is started again."""
        write_folder(scratch / "start", _FILES)
        place = scratch / "disk"
        place.mkdir()
        if guard.guarding:
            run = command(place / CONFIG)
            look = [*run[:-1], "--look", run[-1]]
        else:
            run = [sys.executable, "-c", _NAIVE, str(place)]
            look = [sys.executable, "-c", _NAIVE_LOOK, str(place)]
        return Outcome(values={"cuts": cut_power(scratch / "start", place, run, look, cuts=_CUTS, seed=_SEED)})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        cuts: list[dict[str, Any]] = outcome.values["cuts"]
        if len(cuts) != _CUTS:
            yield f"the power was cut {len(cuts)} times, expected {_CUTS}"
        for each in cuts:
            for words in self._wrong(each):
                yield f"the power went after operation {each['upto']} of {each['of']} ({each['cut']}): {words}"

    def _wrong(self, cut: dict[str, Any]) -> Iterator[str]:
        if cut["code"] != 0:
            yield f"the next start ended with {cut['code']}"
        if cut["after"] < cut["verified"]:
            yield f"step {cut['verified']} had been verified, and step {cut['after']} is the newest that is whole"
        if "error" in cut:
            yield f"nothing can be read: {cut['error']}"
            return
        states = {file["name"]: file["state"] for file in cut["seen"]["files"]}
        if states != dict.fromkeys(_FILES, "done"):
            yield f"the files ended as {states}"
        trained: dict[str, list[int]] = {}
        for file, _, row in cut["seen"]["seen"]:
            trained.setdefault(str(file), []).append(row)
        if sorted(trained.values(), key=len) != [list(range(rows)) for rows in sorted(_FILES.values())]:
            yield f"not every row was trained once and in its order: {list(trained.values())}"
