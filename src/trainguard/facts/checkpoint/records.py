"""What is read of checkpoints: what each of them holds, what is wrong with it, and whether a run may resume from it.

Sizes are in bytes, times in seconds since 1970 (UTC), steps are optimizer steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from trainguard.facts.checkpoint.manifest import Manifest

ProblemKind: TypeAlias = Literal[
    "empty-folder",
    "trainer-state-missing",
    "trainer-state-corrupt",
    "partial-save",
    "other-model",
    "outdated-format",
    "impossible-step",
    "already-complete",
]
# From these a run can be resumed all the same.
HARMLESS: frozenset[ProblemKind] = frozenset({"outdated-format", "already-complete"})

# Who wrote the folder, as far as its files tell. Only that of a Trainer can be judged without a manifest.
Layout: TypeAlias = Literal["trainer", "deepspeed", "fsdp", "accelerate", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointProblem:
    """One thing that is wrong. `words` say it of the checkpoint ("optimizer.pt is missing"), `cost` what follows.

    `file` is the name inside the checkpoint, "" where it is about the folder.
    """

    kind: ProblemKind
    words: str
    file: str = ""
    cost: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """What trainer_state.json says. A field that it lacks, or that holds no such value, is None."""

    global_step: int | None
    max_steps: int | None = None
    epoch: float | None = None
    last_logged_step: int | None = None
    best_model_checkpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint folder.

    `step` is that of the folder's name, or of its trainer state where the name has none. `saved` is when its newest
    file was written. `verified` says that a Trainer resumes from it correctly as far as can be told; `why_not` says
    why it cannot be vouched for, "" where it is verified. A checkpoint may be unverified without anything being
    wrong with it (saved without the optimizer, or in a layout that is not known here): then `problems` is empty.
    `by` says what vouches: its manifest, or the structure of its files. `deep` says that all bytes were read.
    """

    path: Path
    name: str
    step: int | None
    state: TrainerState | None = None
    size: int = 0
    files: int = 0
    saved: float | None = None
    layout: Layout = "trainer"
    problems: tuple[CheckpointProblem, ...] = ()
    verified: bool = False
    why_not: str = ""
    manifest: Manifest | None = None
    by: Literal["manifest", "structure"] = "structure"
    deep: bool = False

    @property
    def broken(self) -> bool:
        """Whether something is wrong with it that forbids to resume from it."""
        return any(problem.kind not in HARMLESS for problem in self.problems)

    def problems_of(self, kind: ProblemKind) -> tuple[CheckpointProblem, ...]:
        return tuple(problem for problem in self.problems if problem.kind == kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointsFacts:
    """The checkpoints of an output folder in the order of their steps, or one checkpoint (`single`).

    `path` is as it was given. `unreadable` says why the folder could not be listed. `leftovers` are names of folders
    that an interrupted save left beside the checkpoints. `base` is the folder of the model that is trained, where it
    was given.
    """

    path: str
    checkpoints: tuple[Checkpoint, ...] = ()
    single: bool = False
    unreadable: str | None = None
    leftovers: tuple[str, ...] = ()
    base: str | None = None
    deep: bool = False

    @property
    def newest(self) -> Checkpoint | None:
        """The one that a Trainer takes when it is told to resume: the highest number, whole or not."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def latest_verified(self) -> Checkpoint | None:
        """The newest one that verifies."""
        return next((each for each in reversed(self.checkpoints) if each.verified), None)
