"""What a shell command or Docker command does: what it starts, installs, writes and sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainguard.facts.launches import Launch, Launcher
from trainguard.facts.requirements import Requirement
from trainguard.libraries.launchers import NOT_TRAINING_WORDS, TRAINING_SUBCOMMANDS, TRAINING_WORDS

_TRAINED = frozenset({"trained", "trainable", "finetuned", "pretrained", "trains"})
_SHELL_OPERATORS = frozenset({"&&", "||", ";", "|"})

__all__ = ["CommandFacts", "Launch", "Launcher", "read_command", "starts_training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFacts:
    """What a command does, as far as it can be read. `files` are the files it writes, name to text.

    `env` are the variables that it sets. `unknown_installs` are installations whose content cannot be told:
    `-r requirements.txt`, `-e .`, a URL without a name. `downloads` are the URLs it fetches, `clones` the
    repositories. `complete` is False where the text was too long to be read whole.
    """

    text: str
    launches: tuple[Launch, ...] = ()
    installs: tuple[Requirement, ...] = ()
    unknown_installs: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    downloads: tuple[str, ...] = ()
    clones: tuple[str, ...] = ()
    uploads: bool = False
    logs_in: bool = False
    complete: bool = True

    @property
    def inline_sources(self) -> tuple[str, ...]:
        """The Python programs that the command carries and starts, in the order in which they start."""
        return tuple(launch.inline_source for launch in self.launches if launch.inline_source is not None)


def read_command(command: object, env: Mapping[str, str] | None = None) -> CommandFacts | None:
    """The facts of a command given as shell text or as a list of arguments; None for any other value.

    `env` are the variables of the job, which the command's text may name. Never raises; nothing is executed.
    """
    # Most jobs have no command: what reads one is imported when there is one to read.
    import shlex

    from trainguard.facts.command_run import Run
    from trainguard.facts.shell import MAX_CHARACTERS

    run = Run(env or {})
    if isinstance(command, str):
        text = str.__str__(command)
        run.text(text)
    elif isinstance(command, list | tuple) and all(isinstance(word, str) for word in command):
        words = [str.__str__(word)[:MAX_CHARACTERS] for word in command]
        text = " ".join(words)
        if _SHELL_OPERATORS.intersection(words) or (len(words) == 1 and " " in words[0]):
            # Shell text that was cut into words, or put into one: Docker would not split it, its author meant it so.
            run.text(" ".join(w if w in _SHELL_OPERATORS or len(words) == 1 else shlex.quote(w) for w in words))
        else:
            run.words(words)
    else:
        return None
    return CommandFacts(
        text=text,
        launches=tuple(run.launches),
        installs=tuple(run.installs),
        unknown_installs=tuple(run.unknown_installs),
        env=dict(run.assigned),
        files=dict(run.files),
        downloads=tuple(run.downloads),
        clones=tuple(run.clones),
        uploads=run.uploads,
        logs_in=run.logs_in,
        complete=run.complete and len(text) <= MAX_CHARACTERS,
    )


def starts_training(command: CommandFacts) -> bool:
    """Whether the command clearly starts a training: by its launcher, its subcommand or its script's name."""
    return any(_trains(launch) for launch in command.launches)


def _trains(launch: Launch) -> bool:
    if {"--help", "-h"} & set(launch.argv):
        return False
    if launch.launcher in TRAINING_SUBCOMMANDS:
        return launch.subcommand in TRAINING_SUBCOMMANDS[launch.launcher]
    if launch.launcher not in ("accelerate", "torchrun", "deepspeed", "python", "other"):
        return False
    name = launch.module or launch.script_path
    judged = None if name is None else _judge_name(name)
    if launch.launcher in ("accelerate", "torchrun", "deepspeed"):
        # A distributed launcher is there to train, unless the program's name says otherwise.
        return name is not None and judged is not False
    if launch.inline_source is not None:
        return bool(re.search(r"Trainer\w*\(|\.train\(|\.backward\(|\.fit\(", launch.inline_source))
    return judged is True


def _judge_name(name: str) -> bool | None:
    """Whether a script or module of this name trains: True, False, or None where the name does not say."""
    stem = re.split(r"[/\\?#]", name.rstrip("/").partition("?")[0])[-1]
    stem = re.sub(r"\.(?:py|sh|ipynb)$", "", stem)
    words = [word for word in re.split(r"[_\-. ]+|(?<=[a-z])(?=[A-Z])", stem) if word]
    words = [word.lower() for word in words]
    if not words or words[0] in NOT_TRAINING_WORDS:
        return False if words else None
    joined = "_".join(words)
    begins_with_training = words[0].startswith(("train", "finetun", "pretrain")) and words[0] not in _TRAINED
    if begins_with_training or "fine_tun" in joined:
        return True
    if NOT_TRAINING_WORDS.intersection(words):
        return False
    if TRAINING_WORDS.intersection(words) or joined.startswith(("run_clm", "run_mlm", "run_plm", "run_glue")):
        return True
    return None
