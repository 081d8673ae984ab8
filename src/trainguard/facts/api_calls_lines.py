"""Options of library classes that come by a command line or a configuration file: `trl sft --max_seq_length 2048`.

Read from transformers 5.23.0 (hf_argparser.py: every field of a dataclass is `--name`, with `-` or `_`, `--no_name` for
a flag; argparse takes what a name begins with), trl 0.12.2 to 1.16.0 (cli.py, scripts/utils.py: keys of the file given
with `--config` stand for options; what `trl` does not know goes to `accelerate launch`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.facts.api_calls_binding import Binder, Target
from trainguard.facts.calls import Call
from trainguard.facts.documents import LOADERS, loaded
from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Class,
    Constant,
    Items,
    Symbol,
    Table,
    Value,
    is_none,
    options,
    text,
    truth,
)
from trainguard.findings import Location
from trainguard.libraries.api.query import Found
from trainguard.libraries.api.records import Class as LibraryClass
from trainguard.libraries.api.signatures import Signatures

if TYPE_CHECKING:
    from trainguard.facts.job import JobFacts
    from trainguard.facts.launches import Launch
    from trainguard.facts.script import ScriptFacts

_PARSERS = {"HfArgumentParser", "TrlParser"}
_PARSES = {"parse_args_into_dataclasses", "parse_args_and_config"}
_FILE_PARSES = {"parse_dict", "parse_yaml_file", "parse_json_file"}
# accelerate 1.15.0, commands/config/config_args.py: unknown keys raise ValueError, but those that it converts.
_ACCELERATE_CONFIG = "accelerate.commands.config.config_args.ClusterConfig"
_CONVERTED = {"fp16", "dynamo_backend"}
_MAX_CONFIG_BYTES = 65_536
# Options of `accelerate launch` that training arguments have, or had, too (accelerate 1.15.0, commands/launch.py).
_OF_LAUNCHER = (
    "fsdp_",
    "tpu",
    "deepspeed_",
    "megatron_",
    "dynamo_",
    "fp8_",
    "use_cpu",
    "mixed_precision",
    "bf16",
    "fp16",
)
# Where a release of trl keeps the classes of the options of its commands, beside those that its script imports.
_TRL_OPTIONS = ("ScriptArguments", "ModelConfig", "DatasetMixtureConfig")
_TRL_CONFIGS: Mapping[str, str] = {
    "sft": "SFTConfig", "dpo": "DPOConfig", "kto": "KTOConfig", "grpo": "GRPOConfig", "rloo": "RLOOConfig",
    "reward": "RewardConfig",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LineOption:
    """One option: `name` with underscores, as it was `written`, with its value as a word or as a file has it.

    `is_key`: it is a key of a file or dict, which has to be written out.
    """

    name: str
    written: str
    value: Value
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class OptionLine:
    """The options that one command gives to the dataclasses `targets`.

    `own` are fields of classes of the script. `is_strict` False: what the dataclasses do not take goes to a launcher.
    """

    command: str
    options: tuple[LineOption, ...]
    targets: tuple[Target, ...]
    own: frozenset[str] = frozenset()
    where: Location | None = None
    is_strict: bool = True
    call: Call | None = None

    def target(self, name: str) -> Target | None:
        """The dataclass that takes an option."""
        return next((t for t in self.targets if t.signature.parameter(name) is not None), None)

    def takes(self, option: LineOption) -> bool:
        """Whether an option means one that is declared: by its name, as `--no_name`, or cut short."""
        name = option.name
        known = {*self.own, *(p.name for target in self.targets for p in target.signature.parameters)}
        if option.is_key or name in known:
            return name in known
        return name.removeprefix("no_") in known or any(each.startswith(name) for each in known)

    def is_of_launcher(self, name: str) -> bool:
        return not self.is_strict and name.startswith(_OF_LAUNCHER)


def option_lines(signatures: Signatures, script: ScriptFacts | None, job: JobFacts | None) -> Iterator[OptionLine]:
    """The command lines and files that give options to known dataclasses."""
    if script is not None and any(name in script.mentions for name in _PARSERS):
        yield from _script_lines(signatures, script)
    commands = list(script.commands) if script is not None and "trl" in script.text else []
    if job is not None and job.command is not None:
        commands.append(job.command)
    for command in commands:
        for launch in command.launches:
            if launch.launcher == "trl" and launch.subcommand in _TRL_CONFIGS:
                yield from _trl_line(signatures, launch, command.files)
            elif launch.launcher == "accelerate":
                yield from _accelerate_file(signatures, launch, command.files)


# -- parsers of a script -----------------------------------------------------------


def _script_lines(signatures: Signatures, script: ScriptFacts) -> Iterator[OptionLine]:
    resolver = script.resolver
    if resolver.calls_by_written_name.get("add_argument"):
        return
    binder = Binder(resolver, signatures)
    files = _neighbours(script.path)
    for name in (*_PARSES, *_FILE_PARSES):
        for call in resolver.calls_by_written_name.get(name, []):
            maker = _parser(call)
            read = _classes(binder, maker) if maker is not None and call.live else None
            if maker is None or read is None:
                continue
            given: tuple[LineOption, ...] | None = None
            if name in _FILE_PARSES:
                given = _document(call, files)
            elif (words := _words(call, script.arguments)) is not None:
                reads_file = name == "parse_args_and_config" and maker.argument("ignore_extra_args") is ABSENT
                given = _read(words, files if reads_file else {} if maker.name == "TrlParser" else None)
            if given:
                yield OptionLine(maker.name, given, *read, call.location, call=call)


def _document(call: Call, files: Mapping[str, str]) -> tuple[LineOption, ...] | None:
    """The entries of a dict or file that a parser reads and refuses unknown keys of; None if that cannot be told."""
    if call.argument("allow_extra_keys", 1) is not ABSENT:
        return None
    value = call.positional(0)
    if call.name != "parse_dict":
        name = text(value)
        document = files.get(name) if name is not None else None
        value = loaded(Constant(document), LOADERS["yaml.safe_load"]) if document is not None else ABSENT
    if not isinstance(value, Table):
        return None
    certain = {k: v for k, v in value.entries.items() if ABSENT not in options(v)}
    if not value.complete:
        certain = {k: v for k, v in certain.items() if UNKNOWN not in options(v)}
    return tuple(LineOption(key, key, entry, is_key=True) for key, entry in certain.items())


def _parser(call: Call) -> Call | None:
    makers = call.receiver_calls
    return makers[0] if len(makers) == 1 and makers[0].names & _PARSERS else None


def _words(call: Call, arguments: Sequence[str] | None) -> Sequence[str] | None:
    """The words that a call reads, its own or those of the script; None if it does not refuse what it does not know."""
    if call.may_have_more or call.positional_count > 1:
        return None
    refuses = call.argument("fail_with_unknown_args")
    if truth(call.argument("return_remaining_strings")) is not False or (
        refuses is not ABSENT and truth(refuses) is not True
    ):
        return None
    own = call.argument("args", 0)
    if isinstance(own, Items) and own.complete:
        words = [text(item) for item in own.items]
        # A word that is not known may be a value as well as an option.
        return [word if word is not None else "" for word in words]
    return arguments if own is ABSENT or is_none(own) else None


def _classes(binder: Binder, maker: Call) -> tuple[tuple[Target, ...], frozenset[str]] | None:
    """The dataclasses of a parser and the fields of those of the script; None if one of them is not known."""
    types = maker.argument("dataclass_types", 0)
    classes = types.items if isinstance(types, Items) and types.complete else options(types)
    targets: list[Target] = []
    own: set[str] = set()
    for value in classes:
        if isinstance(value, Symbol):
            found = binder.of_path(value.path)
            if found is None or found.signature.is_open:
                return None
            targets.append(found)
        elif isinstance(value, Class):
            fields = binder.fields(value)
            if fields is None:
                return None
            own |= fields[0]
            targets += fields[1]
        else:
            return None
    return tuple(targets), frozenset(own)


# -- trl's own commands ------------------------------------------------------------


def _trl_line(signatures: Signatures, launch: Launch, files: Mapping[str, str]) -> Iterator[OptionLine]:
    interfaces = signatures.interfaces
    version = interfaces.version("trl")
    subcommand = launch.subcommand or ""
    config = signatures.of(f"trl.{_TRL_CONFIGS[subcommand]}")
    if version is None or config is None or config.is_open:
        return
    paths = [f"trl.{_TRL_CONFIGS[subcommand]}", *(f"trl.{name}" for name in _TRL_OPTIONS)]
    for module in (f"trl.scripts.{subcommand}", f"trl.commands.scripts.{subcommand}", "trl.commands.cli_utils"):
        names = interfaces.index.names("trl", version, module)
        paths += [f"{module}.{name}" for name in names if name.endswith(("Arguments", "Config"))]
    targets: dict[str, Target] = {}
    for path in paths:
        found = interfaces.find(path)
        signature = signatures.of(path) if isinstance(found, Found) else None
        if isinstance(found, Found) and isinstance(found.definition, LibraryClass) and signature is not None:
            targets.setdefault(found.path, Target(path, signature))
    start = launch.script_args.index(subcommand) + 1 if subcommand in launch.script_args else 0
    given = _read(launch.script_args[start:], files)
    yield OptionLine(f"trl {subcommand}", given, tuple(targets.values()), is_strict=False)


def _accelerate_file(signatures: Signatures, launch: Launch, files: Mapping[str, str]) -> Iterator[OptionLine]:
    """The keys of a configuration of `accelerate launch` that the command itself has written."""
    argv = launch.argv
    place = argv.index("--config_file") + 1 if "--config_file" in argv else len(argv)
    document = files.get(argv[place]) if place < len(argv) else None
    signature = signatures.of(_ACCELERATE_CONFIG)
    if document is None or signature is None or signature.is_open:
        return
    table = loaded(Constant(document), LOADERS["yaml.safe_load"])
    if not isinstance(table, Table) or text(table.entries.get("compute_environment", ABSENT)) == "AMAZON_SAGEMAKER":
        return
    given = tuple(
        LineOption(key, f"{key} (of {argv[place]})", value, is_key=True)
        for key, value in table.entries.items()
        if key not in _CONVERTED
    )
    yield OptionLine("accelerate launch", given, (Target(_ACCELERATE_CONFIG, signature),))


# -- words and files -----------------------------------------------------------------


def _read(words: Sequence[str], files: Mapping[str, str] | None) -> tuple[LineOption, ...]:
    """The options of a command line, with those of the file that `--config` names, if it can be read."""
    found: dict[str, LineOption] = {}
    current = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            written, equals, given = word.partition("=")
            current = written.lstrip("-").replace("-", "_")
            found[current] = LineOption(current, written, Constant(given) if equals else ABSENT)
            if equals:
                current = ""
        elif word.startswith("-") and len(word) > 1 and not word[1:2].isdigit():
            current = ""
        elif current and found[current].value is ABSENT:
            found[current] = LineOption(current, found[current].written, Constant(word))
        elif current:
            found[current] = LineOption(current, found[current].written, Items((), complete=False))
    if files is None:
        return tuple(found.values())
    config = found.pop("config", None)
    name = text(config.value) if config is not None else None
    document = files.get(name) if name is not None else None
    if document is not None:
        table = loaded(Constant(document), LOADERS["yaml.safe_load"])
        for key, value in table.entries.items() if isinstance(table, Table) else ():
            if key != "env":
                found.setdefault(key, LineOption(key, f"{key} (of {name})", value, is_key=True))
    return tuple(found.values())


class _Neighbours(Mapping[str, str]):
    """The files beside a script, by their names as the script would be given them; read when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> str:
        path = self._folder / name
        try:
            if path.is_file() and path.stat().st_size <= _MAX_CONFIG_BYTES:
                return path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            pass
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _neighbours(path: str | None) -> Mapping[str, str]:
    return _Neighbours(Path(path).parent) if path is not None else {}
