"""Row 80: MemoryError in a user's code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.gpu._kept import kept, said_in_phase
from trainguard.drills.gpu.oom_while_tokenizing import GREEDY
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import names, own_code, train, write_run


class MemoryFull(Drill):
    number = 80
    area = "code"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A list in the fifth step that the machine has no memory for."""
        write_run(scratch)
        ran = train(guard, scratch, fault=own_code(scratch, GREEDY, at=5))
        failure = scratch / "out/trainguard/failure.txt"
        values = {
            "code": ran.code,
            "names": names(scratch),
            "latest": guard.latest_checkpoint(scratch / "out"),
            "traceback": failure.read_text(encoding="utf-8") if failure.is_file() else "",
        }
        return Outcome(findings=ran.findings, values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN011", says=["system memory while training"])
        yield from said_in_phase(outcome, "RUN011", "train")
        yield from kept(outcome, "RUN011", "checkpoint-4")
        if "own.py" not in outcome.values["traceback"]:
            yield "failure.txt does not hold the traceback"
