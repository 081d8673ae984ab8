"""What a command line is that somebody else has written: its script, where it saves, how it can go on after a restart.

Read and never run: the words of the command, and the script's text.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from trainguard.errors import UnreadableInputError, UsageError
from trainguard.facts.command import read_command
from trainguard.facts.script import ScriptFacts, read_script
from trainguard.facts.source import read_source
from trainguard.facts.values import constant, is_none, options, text

Resume: TypeAlias = Literal["argument", "itself", "no"]

CHECKPOINT = "{checkpoint}"
# Functions that give a script the checkpoint to go on from: transformers 5.23, trainer_utils.py, and our own.
_FINDERS = frozenset({"get_last_checkpoint", "latest_verified_checkpoint"})
# As transformers 5.23 names them (training_args.py); HfArgumentParser takes both spellings.
_OUTPUT = ("--output_dir", "--output-dir")
_MICRO_BATCH = ("--per_device_train_batch_size", "--per-device-train-batch-size")
_ACCUMULATION = ("--gradient_accumulation_steps", "--gradient-accumulation-steps")


@dataclass(frozen=True, slots=True)
class _Word:
    """A number among the words: at which place, and the text before it in the same word (`--option=`)."""

    index: int
    before: str
    value: str


@dataclass(frozen=True)
class ForeignCommand:
    """A command under supervision. `output_dir` is None where nobody says where the run saves.

    `told_by` says who does. `resume` says how a restart goes on: by an argument that is added, because the script looks
    for its newest checkpoint itself, or not at all.
    """

    words: tuple[str, ...]
    working_directory: Path
    script: Path | None = None
    output_dir: Path | None = None
    told_by: str = ""
    resume: Resume = "no"
    resume_words: tuple[str, ...] = ()

    @cached_property
    def micro_batch(self) -> int | None:
        """Examples in one forward pass, where the command line names them."""
        return _number(self._found(_MICRO_BATCH))

    @cached_property
    def accumulation(self) -> int | None:
        return _number(self._found(_ACCUMULATION))

    @property
    def can_change_batch(self) -> bool:
        return self.micro_batch is not None and self.accumulation is not None

    def again(self, checkpoint: Path | None, changes: Mapping[str, int]) -> list[str]:
        """The words of another attempt: from `checkpoint` on, with another micro-batch and accumulation."""
        words = list(self.words)
        for field, names in (("batch_size", _MICRO_BATCH), ("gradient_accumulation", _ACCUMULATION)):
            found = self._found(names)
            if field in changes and found is not None:
                words[found.index] = f"{found.before}{changes[field]}"
        if checkpoint is not None and self.resume == "argument":
            words += [word.replace(CHECKPOINT, str(checkpoint)) for word in self.resume_words]
        return words

    def _found(self, names: Sequence[str]) -> _Word | None:
        return _option(self.words, names)

    def unguarded(self) -> list[str]:
        """What cannot be guarded of this command, a sentence each, with what to pass so that it can."""
        said = []
        if self.output_dir is None:
            said.append(
                "where it saves is not known, so its checkpoints are not verified and a full disk is not told: pass "
                "--output-dir DIR"
            )
        if self.resume == "no":
            said.append(
                "how it resumes is not known, so it is started again only while no checkpoint was saved: pass "
                f'--resume-arg "--resume_from_checkpoint {CHECKPOINT}", or what the script calls it'
            )
        if not self.can_change_batch:
            said.append(
                "its micro-batch and accumulation are not both on the command line, so it is not started with smaller "
                "ones when a GPU runs out of memory"
            )
        said.append(
            "checkpoints are verified by their structure alone, and data are never skipped: add "
            "callbacks=[trainguard.GuardCallback()] to its Trainer for manifests and for checks of every step"
        )
        return said


def understand(
    words: Sequence[str],
    *,
    working_directory: Path,
    output_dir: Path | None = None,
    resume_arg: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> ForeignCommand:
    """What `words` will run. `resume_arg` is text with `{checkpoint}` in it, or the script's own switch.

    Raises UsageError for no words, and for a resume argument that no shell could split.
    """
    if not words:
        raise UsageError("there is no command to run: trainguard run -- python train.py")
    try:
        resume_words = tuple(shlex.split(resume_arg)) if resume_arg is not None else ()
    except ValueError as error:
        raise UsageError(f"--resume-arg {resume_arg!r}: {error}") from None
    if resume_arg is not None and not resume_words:
        raise UsageError(f'--resume-arg is empty; an example: --resume-arg "--resume_from_checkpoint {CHECKPOINT}"')
    script, facts = _script(words, working_directory, environment or {})
    told_by, place = "--output-dir", output_dir
    if place is None and (found := _option(words, _OUTPUT)) is not None:
        told_by, place = "its command line", Path(found.value)
    if place is None and facts is not None and (saved := _saves(facts)) is not None:
        told_by, place = f"{script.name if script is not None else 'its script'}", Path(saved)
    resume: Resume = "argument" if resume_words else "itself" if facts is not None and _resumes(facts) else "no"
    return ForeignCommand(
        words=tuple(words),
        working_directory=working_directory,
        script=script,
        output_dir=working_directory / place if place is not None else None,
        told_by=told_by if place is not None else "",
        resume=resume,
        resume_words=resume_words,
    )


def _script(
    words: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> tuple[Path | None, ScriptFacts | None]:
    command = read_command(list(words), dict(environment))
    launches = [each for each in command.launches if each.script_path is not None] if command is not None else []
    if len(launches) != 1:
        return None, None
    path = folder / str(launches[0].script_path)
    if path.suffix != ".py":
        return None, None
    try:
        return path, read_script(read_source(path).text, path=str(path), arguments=launches[0].script_args)
    except UnreadableInputError:
        return path, None


def _saves(facts: ScriptFacts) -> str | None:
    """The one output folder that the script's configurations name; None where they differ or it is made up."""
    named = {text(each.value) for each in facts.training.option("output_dir")}
    return named.pop() if len(named) == 1 else None


def _resumes(facts: ScriptFacts) -> bool:
    """Whether the script's own training goes on from its newest checkpoint, as far as its text says."""
    if facts.mentions & _FINDERS:
        return True
    values = [start.argument("resume_from_checkpoint") for start in facts.training.starts]
    return any(not is_none(each) and constant(each) is True for value in values for each in options(value))


def _option(words: Sequence[str], names: Sequence[str]) -> _Word | None:
    """The last value that the words give an option, as argparse takes it."""
    found = None
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names and equals:
            found = _Word(index, f"{name}=", value)
        elif word in names and index + 1 < len(words):
            found = _Word(index + 1, "", words[index + 1])
    return found


def _number(word: _Word | None) -> int | None:
    if word is None or not word.value.isascii() or not word.value.isdigit():
        return None
    return int(word.value) or None
