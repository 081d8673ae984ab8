"""Which script a command line runs, and what its text says: where it saves, and what it takes to go on after a restart.

Read and never run: not a line of it is executed or imported, and its libraries are looked up as files alone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainguard.errors import UnreadableInputError
from trainguard.facts.command import read_command
from trainguard.facts.command_line import ArgparseOptions
from trainguard.facts.documents import LOADERS
from trainguard.facts.launches import Launch
from trainguard.facts.script import ScriptFacts, read_script
from trainguard.facts.source import read_source
from trainguard.facts.values import Instance, Value, constant, is_none, options, text

# Functions that give a script the checkpoint to go on from: transformers 5.23, trainer_utils.py, and our own.
_FINDERS = frozenset({"get_last_checkpoint", "latest_verified_checkpoint"})
# The field of TrainingArguments, which both of the libraries' parsers make an option (transformers 5.23, trl 1.16).
_FIELD = "resume_from_checkpoint"
_RESUMES = re.compile(r"resume|checkpoint|ckpt|restart", re.IGNORECASE)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# Passes its own words on: `python train.py "$@"`.
_PASSES_WORDS = re.compile(r"\$(?:@|\*|\{[@*]\})")
# Stands for a checkpoint where it is tried out, on the text, whether an option leads to the Trainer.
_PROBE = "trainguard/checkpoint-0"
_MOST_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The training script of a command, as far as it can be told.

    `takes_words` says that what is added to the command's end reaches the script as its own arguments; a shell's text
    in between may keep them. `options` are those of a configuration file that the script's parser reads.
    """

    path: Path
    facts: ScriptFacts
    arguments: tuple[str, ...] = ()
    takes_words: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str | None:
        """The one output folder that the script's configurations name; None where they differ or it is made up."""
        if isinstance(named := self.options.get("output_dir"), str):
            return named
        found = {text(each.value) for each in self.facts.training.option("output_dir")}
        return found.pop() if len(found) == 1 else None

    @property
    def resumes_itself(self) -> bool:
        """Whether its training goes on from its newest checkpoint without being told to."""
        return any(_is_newest(value) for value in _resumed(self.facts))

    @property
    def resume_option(self) -> str | None:
        """The option that takes the checkpoint to go on from, found out by reading the text as if it were given."""
        if not self.takes_words or _reads_whole_file(self.facts, self.arguments):
            return None
        return next((each for each in self._candidates() if self._leads_to_trainer(each, _PROBE)), None)

    @property
    def resume_switch(self) -> str | None:
        """The option without a value that makes it go on from its newest checkpoint."""
        if not self.takes_words or _reads_whole_file(self.facts, self.arguments):
            return None
        return next((each for each in self._candidates() if self._leads_to_trainer(each, None)), None)

    def mentions(self, word: str) -> bool:
        return word in self.facts.mentions

    def _candidates(self) -> Iterator[str]:
        reader = ArgparseOptions()
        declared = False
        for call in self.facts.calls_named("add_argument"):
            declared = declared or reader.destination(call) == _FIELD
            # The long one, where there is one: it is what people know it by.
            for flag in sorted(reader.flags(call), key=len, reverse=True):
                if flag.startswith("-") and _RESUMES.search(flag):
                    yield flag
                    break
        if not declared and self.mentions(_FIELD):
            yield f"--{_FIELD}"

    def _leads_to_trainer(self, option: str, value: str | None) -> bool:
        words = [*self.arguments, option, *([value] if value is not None else [])]
        values = _resumed(read_script(self.facts.text, path=self.facts.path, arguments=words))
        if value is not None:
            return any(text(each) == value for each in values)
        return any(_is_newest(each) for each in values)


def find_script(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Script | None:
    """The Python script that a command runs, or that the shell script it runs does; None where it is not just one."""
    command = read_command(list(words), dict(environment))
    launch = _only(command.launches if command is not None else ())
    if launch is None:
        return None
    takes_words = _ends_with_arguments(words, launch)
    if launch.script_path is not None and launch.script_path.endswith(".sh"):
        shell = _text_of(folder / launch.script_path)
        inner = read_command(shell, dict(environment)) if shell is not None else None
        launch = _only(inner.launches if inner is not None else ())
        if shell is None or launch is None:
            return None
        takes_words = _PASSES_WORDS.search(shell) is not None
    path = _file(launch, folder, environment)
    if path is None or path.suffix != ".py":
        return None
    arguments = launch.script_args[1:] if launch.launcher == "trl" else launch.script_args
    if launch.launcher == "trl" and launch.script_args[:1] != (launch.subcommand,):
        arguments = launch.script_args
    content = _text_of(path)
    if content is None:
        return None
    facts = read_script(content, path=str(path), arguments=arguments)
    return Script(
        path=path,
        facts=facts,
        arguments=tuple(arguments),
        takes_words=takes_words,
        options=_configured(facts, arguments, folder),
    )


def _only(launches: Sequence[Launch]) -> Launch | None:
    """The one launch that may train."""
    found = [each for each in launches if each.script_path or each.module or each.launcher == "trl"]
    return found[0] if len(found) == 1 else None


def _ends_with_arguments(words: Sequence[str], launch: Launch) -> bool:
    """Whether the script's own arguments are the command's last words, so that another one would be the script's."""
    arguments = launch.script_args
    before = launch.subcommand if launch.launcher == "trl" else launch.script_path or launch.module
    if launch.launcher == "trl" and arguments[:1] == (before,):
        arguments = arguments[1:]
    rest = len(words) - len(arguments)
    return rest > 0 and tuple(words[rest:]) == tuple(arguments) and words[rest - 1] == before


def _file(launch: Launch, folder: Path, environment: Mapping[str, str]) -> Path | None:
    if launch.script_path is not None:
        return folder / launch.script_path
    # trl 1.16, cli/commands/training.py: `trl sft` runs the file sft.py of trl.scripts.
    module = f"trl.scripts.{launch.subcommand}" if launch.launcher == "trl" else launch.module or ""
    if not _MODULE.fullmatch(module):
        return None
    inside = module.replace(".", "/")
    for root in _roots(launch.argv[0] if launch.argv else "python", folder, environment):
        for path in (root / f"{inside}.py", root / inside / "__main__.py"):
            if path.is_file():
                return path
    return None


def _roots(program: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Where the Python of `program` finds its modules: the folder that it runs in, then its site-packages."""
    yield folder
    for each in environment.get("PYTHONPATH", "").split(":"):
        if each:
            yield folder / each
    found = shutil.which(program, path=environment.get("PATH"))
    for prefix in ([Path(found).parent.parent] if found is not None else []) + [folder / ".venv"]:
        yield from sorted(prefix.glob("lib/python3*/site-packages"))


def _text_of(path: Path) -> str | None:
    try:
        return read_source(path).text
    except (UnreadableInputError, OSError, ValueError):
        return None


def _resumed(facts: ScriptFacts) -> list[Value]:
    """What the script's trainings are given to go on from, each possibility by itself."""
    return [each for start in facts.training.starts for each in options(start.argument(_FIELD, 0))]


def _is_newest(value: Value) -> bool:
    if isinstance(value, Instance):
        return bool(value.call.names & _FINDERS)
    return not is_none(value) and constant(value) is True


def _reads_whole_file(facts: ScriptFacts, arguments: Sequence[str]) -> bool:
    """Whether its one argument is a file with all of its options: such scripts take no second one (transformers'
    examples ask for `len(sys.argv) == 2`)."""
    alone = len(arguments) == 1 and not arguments[0].startswith("-")
    return alone and bool(facts.mentions & {"parse_json_file", "parse_yaml_file"})


def _configured(facts: ScriptFacts, arguments: Sequence[str], folder: Path) -> Mapping[str, Any]:
    """The options in the configuration file that the script's parser reads; {} where there is none."""
    named: str | None = None
    if _reads_whole_file(facts, arguments):
        named = arguments[0]
    elif "TrlParser" in facts.mentions:  # trl 1.16, scripts/utils.py, parse_args_and_config: --config
        for index, word in enumerate(arguments):
            if word.startswith("--config="):
                named = word.partition("=")[2]
            elif word == "--config" and index + 1 < len(arguments):
                named = arguments[index + 1]
    if named is None or not named.endswith((".yaml", ".yml", ".json")):
        return {}
    try:
        path = folder / named
        if path.stat().st_size > _MOST_CONFIG_BYTES:
            return {}
        found = LOADERS["yaml.safe_load"](path.read_text(encoding="utf-8"))
    except Exception:  # a broken configuration is for the script to meet, not for its reader
        return {}
    return found if isinstance(found, dict) else {}
