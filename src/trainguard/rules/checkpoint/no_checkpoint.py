"""CKPT001: there is no checkpoint to resume from."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.findings import Finding, Location
from trainguard.rules._example_files import folder
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved


class NoCheckpoint(Rule):
    """There is no checkpoint to resume from, so the run starts anew.

    *What it does*

    Says so where an output folder does not exist, or holds no folder `checkpoint-<step>`.

    *Why it costs you*

    Nothing, where the run is new. Where it should resume, `resume_from_checkpoint=True` fails with "No valid checkpoint
    found in output directory", mostly because the path is another one than that of the earlier run.

    *Example*

    `out/` is empty, and `trainer.train(resume_from_checkpoint=True)` is asked of it.

    *Use instead*

    Start without `resume_from_checkpoint`, or give the output folder of the earlier run.
    """

    code = "CKPT001"
    name = "none"
    severity = "info"
    area = "checkpoint"
    needs = frozenset({"checkpoint"})

    def check(self, subject: Subject) -> Iterator[Finding]:
        """One finding where there is no checkpoint at all."""
        facts = subject.checkpoints
        if facts is None or facts.checkpoints:
            return
        if facts.unreadable is not None:
            there = f"{facts.path} {facts.unreadable}"
        else:
            left = (
                f" (only {facts.leftovers[0]}, which a save left that did not reach its end)" if facts.leftovers else ""
            )
            there = f"{facts.path} holds no checkpoint{left}"
        yield self.finding(
            f"{there}: the run starts anew; leave resume_from_checkpoint out, or give the folder of the earlier run",
            where=Location(facts.path),
            evidence={"leftovers": len(facts.leftovers)},
        )

    VALID = (
        Example(files=saved(10), check=OUT, why="There is one."),
        Example(
            files={"out/checkpoint-10": folder()},
            check=OUT,
            why="There is one, and CKPT002 says that it is empty.",
        ),
    )
    INVALID = (
        Example(
            files={"out": folder()},
            check=OUT,
            findings=(
                (
                    None,
                    "out holds no checkpoint: the run starts anew; leave resume_from_checkpoint out, or give the "
                    "folder of the earlier run",
                ),
            ),
        ),
        Example(
            files={"other/run.log": "done\n"},
            check=OUT,
            findings=(
                (
                    None,
                    "out does not exist: the run starts anew; leave resume_from_checkpoint out, or give the folder of "
                    "the earlier run",
                ),
            ),
        ),
    )
