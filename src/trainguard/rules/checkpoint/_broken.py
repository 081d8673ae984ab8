"""What the rules about broken checkpoints share: which of them are worth a finding, and what to resume from instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import ClassVar

from trainguard.facts.checkpoint.records import Checkpoint, CheckpointProblem, CheckpointsFacts, ProblemKind
from trainguard.findings import Finding, Location
from trainguard.rules.base import Area, Need, Rule, Subject

# Problems of one checkpoint that a message lists; the evidence counts all.
_LISTED = 3


class BrokenCheckpointRule(Rule):
    """Base of the rules that tell of one `kind` of problem that forbids to resume from a checkpoint."""

    area: ClassVar[Area] = "checkpoint"
    needs: ClassVar[frozenset[Need]] = frozenset({"checkpoint"})
    kind: ClassVar[ProblemKind]

    def check(self, subject: Subject) -> Iterator[Finding]:
        """One finding for each checkpoint that has a problem of this rule's kind."""
        facts = subject.checkpoints
        if facts is None:
            return
        for checkpoint in concerned(facts):
            problems = checkpoint.problems_of(self.kind)
            if problems:
                yield self._finding(facts, checkpoint, problems)

    def _finding(
        self, facts: CheckpointsFacts, checkpoint: Checkpoint, problems: tuple[CheckpointProblem, ...]
    ) -> Finding:
        words = ", ".join(problem.words for problem in problems[:_LISTED])
        if len(problems) > _LISTED:
            words += f" and {len(problems) - _LISTED:,} more"
        cost = next((f"; {problem.cost}" for problem in problems if problem.cost), "")
        good = facts.latest_verified
        evidence = {
            **problems[0].evidence,
            "step": checkpoint.step,
            "problems": len(problems),
            "fallback": str(good.path) if good is not None else None,
        }
        return self.finding(
            f"{shown_name(checkpoint)}: {words}{cost}; {fallback(facts)}",
            where=Location(str(checkpoint.path / problems[0].file)),
            fix=_fix(facts, good, checkpoint),
            evidence=evidence,
        )


def concerned(facts: CheckpointsFacts) -> list[Checkpoint]:
    """The checkpoints of which a problem costs something: those that a Trainer would choose before a good one, and the
    best one, which it loads at the end of the run."""
    good = facts.latest_verified
    if good is None:
        return list(facts.checkpoints)
    after = facts.checkpoints.index(good)
    best = PurePath(good.state.best_model_checkpoint or "").name if good.state is not None else ""
    return [each for index, each in enumerate(facts.checkpoints) if index > after or each.name == best]


def shown_name(checkpoint: Checkpoint) -> str:
    return checkpoint.name or str(checkpoint.path)


def fallback(facts: CheckpointsFacts) -> str:
    """What to resume from instead, in words."""
    good = facts.latest_verified
    if good is not None:
        return f"resume from {good.name}, the newest that verifies"
    if facts.single:
        return "resume from another checkpoint"
    if len(facts.checkpoints) == 1:
        return "it is the only checkpoint here, so the run has to start anew"
    return f"none of the {len(facts.checkpoints):,} checkpoints here verifies, so the run has to start anew"


def _fix(facts: CheckpointsFacts, good: Checkpoint | None, broken: Checkpoint) -> str:
    if good is not None:
        return f'trainer.train(resume_from_checkpoint="{good.path}")'
    if facts.single:
        return "trainguard checkpoint list on the folder above shows which one verifies"
    return f"trainguard checkpoint quarantine {facts.path} sets {broken.name} aside, without deleting it"
