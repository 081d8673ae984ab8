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

from trainguard.daemon.foreign_script import Script, find_script
from trainguard.errors import UsageError

Resume: TypeAlias = Literal["argument", "itself", "variable", "no"]

CHECKPOINT = "{checkpoint}"
# Set for a restarted command, whatever its words are: a shell script or a loop of one's own can go on from it.
RESUME_VARIABLE = "TRAINGUARD_CHECKPOINT"
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

    `told_by` says who does. `resume` says how a restart goes on: by words that are added, because the script looks for
    its newest checkpoint itself, because it reads a variable, or not at all. `is_asked_to_resume` says that the words
    are the user's own, not found in the script.
    """

    words: tuple[str, ...]
    working_directory: Path
    script: Path | None = None
    output_dir: Path | None = None
    told_by: str = ""
    resume: Resume = "no"
    resume_words: tuple[str, ...] = ()
    is_asked_to_resume: bool = False
    configured: tuple[int | None, int | None] = (None, None)

    @cached_property
    def micro_batch(self) -> int | None:
        """Examples in one forward pass, where the command line or its configuration file names them."""
        found = self._found(_MICRO_BATCH)
        return _number(found.value) if found is not None else self.configured[0]

    @cached_property
    def accumulation(self) -> int | None:
        found = self._found(_ACCUMULATION)
        return _number(found.value) if found is not None else self.configured[1]

    @property
    def can_change_batch(self) -> bool:
        return self.micro_batch is not None and self.accumulation is not None

    @property
    def picks_newest(self) -> bool:
        """Whether the script takes its newest checkpoint by number, whole or not."""
        return self.resume == "itself" or (
            self.resume == "argument" and not any(CHECKPOINT in each for each in self.resume_words)
        )

    def again(self, checkpoint: Path | None, changes: Mapping[str, int]) -> list[str]:
        """The words of another attempt: from `checkpoint` on, with another micro-batch and accumulation."""
        words = list(self.words)
        for field, names in (("batch_size", _MICRO_BATCH), ("gradient_accumulation", _ACCUMULATION)):
            if field not in changes:
                continue
            if (found := self._found(names)) is not None:
                words[found.index] = f"{found.before}{changes[field]}"
            else:  # an option goes before the configuration file
                words += [names[0], str(changes[field])]
        if checkpoint is not None and self.resume == "argument":
            words += [word.replace(CHECKPOINT, str(checkpoint)) for word in self.resume_words]
        return words

    def _found(self, names: Sequence[str]) -> _Word | None:
        return _option(self.words, names)

    def unguarded(self) -> list[str]:
        """What cannot be guarded of this command, and why; with what to pass so that it can."""
        said = []
        if self.output_dir is None:
            said.append("its checkpoints: where it saves is not known; pass --output-dir DIR")
        if self.resume == "no":
            said.append(
                "what it has saved, by a restart: how it resumes is not known; pass --resume-arg "
                f'"--resume_from_checkpoint {CHECKPOINT}"'
            )
        if not self.can_change_batch:
            said.append("GPU memory: its micro-batch and gradient accumulation are not both on its command line")
        said.append(
            "the data of a NaN, and hangs by phase: give its Trainer callbacks=[trainguard.GuardCallback()], unless it "
            "has one"
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

    Raises UsageError for no words, and for a resume argument that no shell could split or that would not arrive.
    """
    if not words:
        raise UsageError("there is no command to run: trainguard run -- python train.py")
    asked = _split(resume_arg)
    if asked and _is_shell_text(words):
        raise UsageError(
            f"--resume-arg would be an argument of {words[0]} -c, not of what it runs; leave it out, and write "
            f"${{{RESUME_VARIABLE}:+--resume_from_checkpoint ${RESUME_VARIABLE}}} behind the script in the shell's text"
        )
    script = find_script(words, working_directory, environment or {})
    told_by, place = "--output-dir", output_dir
    if place is None and (found := _option(words, _OUTPUT)) is not None:
        told_by, place = "its command line", Path(found.value)
    if place is None and script is not None and (inside := _option(script.arguments, _OUTPUT)) is not None:
        told_by, place = "its command line", Path(inside.value)
    if place is None and script is not None and (saved := script.folder) is not None:
        told_by, place = script.path.name, Path(saved)
    resume, resume_words = _resume(words, script, working_directory) if not asked else ("argument", asked)
    return ForeignCommand(
        words=tuple(words),
        working_directory=working_directory,
        script=script.path if script is not None else None,
        output_dir=working_directory / place if place is not None else None,
        told_by=told_by if place is not None else "",
        resume=resume,
        resume_words=resume_words,
        is_asked_to_resume=bool(asked),
        configured=_configured(script),
    )


def _split(resume_arg: str | None) -> tuple[str, ...]:
    if resume_arg is None:
        return ()
    try:
        words = tuple(shlex.split(resume_arg))
    except ValueError as error:
        raise UsageError(f"--resume-arg {resume_arg!r}: {error}") from None
    if not words:
        raise UsageError(f'--resume-arg is empty; an example: --resume-arg "--resume_from_checkpoint {CHECKPOINT}"')
    return words


def _is_shell_text(words: Sequence[str]) -> bool:
    """`bash -c "…"`: words behind it are parameters of the text."""
    shell = Path(words[0]).name in ("sh", "bash", "dash", "zsh")
    return shell and any(word.startswith("-") and not word.startswith("--") and "c" in word for word in words[1:2])


def _resume(words: Sequence[str], script: Script | None, folder: Path) -> tuple[Resume, tuple[str, ...]]:
    if any(RESUME_VARIABLE in each for each in words) or any(RESUME_VARIABLE in each for each in _texts(words, folder)):
        return "variable", ()
    if script is None:
        return "no", ()
    if script.mentions(RESUME_VARIABLE):
        return "variable", ()
    if (option := script.resume_option) is not None:
        return "argument", (option, CHECKPOINT)
    if script.resumes_itself:
        return "itself", ()
    switch = script.resume_switch
    return ("argument", (switch,)) if switch is not None else ("no", ())


def _texts(words: Sequence[str], folder: Path) -> list[str]:
    """The shell scripts among the first words of a command."""
    found = []
    for word in words[:2]:
        if word.endswith(".sh"):
            try:
                with (folder / word).open(encoding="utf-8", errors="replace") as file:
                    found.append(file.read(1 << 20))
            except (OSError, ValueError):
                continue
    return found


def _configured(script: Script | None) -> tuple[int | None, int | None]:
    """Micro-batch and accumulation of the configuration file, where an option would go before it."""
    if script is None or script.resume_option is None:
        return None, None
    batch, accumulation = (script.options.get(name[0].removeprefix("--")) for name in (_MICRO_BATCH, _ACCUMULATION))
    return _count(batch), _count(accumulation)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


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


def _number(value: str) -> int | None:
    return (int(value) or None) if value.isascii() and value.isdigit() else None
