"""Row 63: the next file, which the stock Trainer takes to be trained already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing
from trainguard.drills.data._rows import chat, write_lines
from trainguard.drills.guard import Guard
from trainguard.drills.training._train import BATCH, STEPS, names, train, write_run

_MORE = 24
_MORE_STEPS = _MORE // BATCH


class AlreadyTrained(Drill):
    number = 63
    area = "training"
    needs = frozenset({"trl"})

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """A run of 10 steps to its end, then the same with a file of 6 steps on top of its checkpoints."""
        write_run(scratch)
        first = train(guard, scratch)
        said = guard.checkpoint(scratch / "out")
        write_lines(scratch / "more.jsonl", [chat(f"And {number}?", f"And {number}.") for number in range(_MORE)])
        second = train(guard, scratch, settings={"data": "more.jsonl"})
        newest = names(scratch)[-1]
        state = json.loads((scratch / "out" / newest / "trainer_state.json").read_bytes())
        logged = [line["step"] for line in state["log_history"] if "loss" in line and line["step"] > STEPS]
        values = {"first": first.code, "second": second.code, "newest": newest, "logged": logged, "log": second.log}
        return Outcome(findings=(*said, *second.findings), values=values)

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "CKPT009", severity="warn", says=[f"checkpoint-{STEPS}"])
        for name in ("first", "second"):
            if outcome.values[name] != 0:
                yield f"the {name} file ended with exit code {outcome.values[name]}: {outcome.values['log'][-300:]}"
        if outcome.values["newest"] != f"checkpoint-{STEPS + _MORE_STEPS}":
            yield f"after the second file the newest checkpoint is {outcome.values['newest']}"
        if outcome.values["logged"] != list(range(STEPS + 1, STEPS + _MORE_STEPS + 1)):
            yield f"of the second file, the steps {outcome.values['logged']} were trained, expected {_MORE_STEPS}"
