"""Row 22: there is no memory left while the data is tokenized."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.gpu._kept import said_in_phase
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import own_code, train, write_run

# Python's own allocator, under a limit that such a piece is beyond on every machine.
GREEDY = """import resource


def go(batch):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 38, 1 << 38))
    return bytearray(1 << 40)
"""


class OomWhileTokenizing(Drill):
    number = 22
    area = "gpu"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A tokenizer that takes more than there is at the fifth row."""
        write_run(scratch)
        before = (scratch / "train.jsonl").read_bytes()
        ran = train(guard, scratch, fault=own_code(scratch, GREEDY, at=5, place="tokenize"))
        untouched = (scratch / "train.jsonl").read_bytes() == before
        return Outcome(findings=ran.findings, values={"code": ran.code, "untouched": untouched})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "RUN011", says=["system memory", "tokenized", "fewer dataset"])
        yield from said_in_phase(outcome, "RUN011", "tokenize")
        if not outcome.values["untouched"]:
            yield "the data was changed"
