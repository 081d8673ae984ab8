"""Row 55: spaces, quotes, newlines and bytes that are no text in the names of training files."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.guard import Guard
from trainguard.drills.queue._desk import Desk

_NAMES = (
    b"two words.jsonl",
    b'it\'s "mine".jsonl',
    b"a\nb.jsonl",
    b"\xff\xfe.jsonl",
    b"$(touch hit);*.jsonl",
    b"-n.jsonl",
)


class AwkwardNames(Drill):
    """Each is trained, by a script that does not quote what it is given."""

    number = 55
    area = "queue"
    needs = frozenset({"linux"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        desk = Desk(scratch, guard)
        for number, name in enumerate(_NAMES):
            with open(os.fsencode(desk.box) + b"/" + name, "w") as file:
                file.write(f"{number}\n")

        def careless(path: Path) -> None:
            # What is in many a training script: os.system(f"wc {path}"), or a path that is split at spaces.
            folder = shlex.quote(str(path.parent)).encode()
            command = b"cd " + folder + b" && cat " + os.fsencode(path.name)
            done = subprocess.run(["sh", "-c", command], capture_output=True, check=False, stdin=subprocess.DEVNULL)
            desk.trained.append(done.stdout.decode("utf-8", "replace"))

        desk.train_all(careless)
        hit = [path.name for path in scratch.rglob("hit")]
        return desk.outcome(hit=hit)

    def expect(self, outcome: Outcome) -> Iterable[str]:
        if outcome.values["failed"] is not None:
            yield f"the queue ended: {outcome.values['failed']}"
        if outcome.values["hit"]:
            yield "a name was run as a command"
        if sorted(outcome.values["trained"]) != [f"{number}\n" for number in range(len(_NAMES))]:
            yield f"trained were {outcome.values['trained']}, expected each file once"
        yield from missing(outcome, "QUEUE005", severity="info", says=("'two words.jsonl'", "\\n", "\\xff\\xfe"))
        yield from surplus(outcome)
