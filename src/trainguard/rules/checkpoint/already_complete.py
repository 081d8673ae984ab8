"""CKPT009: a checkpoint has no steps left to train."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.checkpoint._broken import shown_name
from trainguard.rules.checkpoint._example_checkpoints import OUT, saved, state


class AlreadyComplete(Rule):
    """The checkpoint that a run would resume from has reached max_steps.

    *What it does*

    Fires where global_step of the newest checkpoint that verifies is max_steps or more.

    *Why it costs you*

    The Trainer resumes, trains nothing and ends as a success. For a new file of data that is lost: its steps have to
    be added to those that are done.

    *Example*

    A run of 100 steps has ended, and the next file is trained into the same output folder with `max_steps=100`.

    *Use instead*

    Raise `max_steps` (or `num_train_epochs`) by the steps that are to be trained on top, or start anew from the model
    in another output folder.
    """

    code = "CKPT009"
    name = "already-complete"
    severity = "warn"
    area = "checkpoint"
    needs = frozenset({"checkpoint"})

    def check(self, subject: Subject) -> Iterator[Finding]:
        """One finding for the newest checkpoint that verifies."""
        chosen = subject.checkpoints.latest_verified if subject.checkpoints is not None else None
        if chosen is None:
            return
        for problem in chosen.problems_of("already-complete"):
            yield self.finding(
                f"{shown_name(chosen)}: {problem.words}, so a Trainer that resumes from it trains nothing and ends as "
                "a success; raise max_steps by the steps that are to be trained on top, or use another output folder",
                where=Location(str(chosen.path / problem.file)),
                evidence=problem.evidence,
            )

    _END = (
        "so a Trainer that resumes from it trains nothing and ends as a success; raise max_steps by the steps that are "
        "to be trained on top, or use another output folder"
    )
    VALID = (
        Example(files=saved(10), check=OUT, why="90 of 100 steps are left."),
        Example(
            files=saved(10, trainer_state_json=state(10, max_steps=10)) | saved(20),
            check=OUT,
            why="The older one had fewer steps to do; the newest goes on.",
        ),
    )
    INVALID = (
        Example(
            files=saved(100),
            check=OUT,
            findings=((None, f"checkpoint-100: it is at step 100 of max_steps 100, {_END}"),),
        ),
        Example(
            files=saved(20, trainer_state_json=state(20, max_steps=10)),
            check=OUT,
            findings=((None, f"checkpoint-20: it is at step 20 of max_steps 10, {_END}"),),
        ),
    )
