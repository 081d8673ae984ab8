"""Command-line parsers of a script: what an option is, given the job's arguments or its default.

Knows argparse, `HfArgumentParser` and `TrlParser` (transformers/hf_argparser.py, trl/scripts/utils.py), and
the dataclass subclasses that make their own (`simple_parsing`, `tyro.cli(Config)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from trainguard.facts.values import (
    ABSENT,
    UNKNOWN,
    Class,
    Constant,
    Items,
    ParsedArguments,
    Table,
    Value,
    choice,
    options,
    text,
    truth,
)

if TYPE_CHECKING:
    from trainguard.facts.calls import Call
    from trainguard.facts.resolver import Resolver

_DATACLASS_METHODS = {"parse_args_into_dataclasses", "parse_args_and_config", "parse_dict"}
_FILE_METHODS = {"parse_yaml_file", "parse_json_file"}
_TRUE = {"true", "yes", "1", "t", "y", "on"}
_FALSE = {"false", "no", "0", "f", "n", "off"}


class CommandLine:
    """Options as they were given: `--name value`, `--name=value`, `--flag`, several values."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.given: dict[str, list[str]] = {}
        self.reads_config = False
        current: list[str] | None = None
        for argument in arguments:
            if argument.startswith("-") and not _is_number(argument):
                name, equals, value = argument.partition("=")
                key = name.lstrip("-").replace("-", "_")
                current = self.given.setdefault(key, [])
                current.clear()
                if equals:
                    current.append(value)
                self.reads_config |= key in ("config", "config_file", "config_path")
            elif current is not None:
                current.append(argument)
            else:
                self.reads_config |= argument.endswith((".json", ".yaml", ".yml", ".toml"))

    def value(self, name: str) -> Value:
        """The value of an option as Python would read it; ABSENT if it was not given."""
        if name in self.given:
            words = self.given[name]
            if not words:
                return Constant(True)
            return _word(words[0]) if len(words) == 1 else Items(tuple(_word(word) for word in words))
        if name.startswith("no_") or f"no_{name}" in self.given:
            return Constant(False) if f"no_{name}" in self.given else ABSENT
        return ABSENT


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _word(word: str) -> Value:
    if word.lower() in _TRUE - {"1", "t", "y"}:
        return Constant(True)
    if word.lower() in _FALSE - {"0", "f", "n"}:
        return Constant(False)
    if word == "None":
        return Constant(None)
    for convert in (int, float):
        try:
            return Constant(convert(word))
        except ValueError:
            continue
    return Constant(word)


class Parsers:
    """The parsers of one script, and the command line that the job gives it."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    @cached_property
    def _job_line(self) -> CommandLine | None:
        arguments = self._resolver.arguments
        return CommandLine(arguments) if arguments is not None else None

    def _line(self, call: Call) -> CommandLine | None:
        """The command line that a parse call reads: its own list of strings, else the job's."""
        own = call.argument("args", 0)
        if isinstance(own, Items) and own.complete and call.name != "parse_dict":
            words = [text(item) for item in own.items]
            return CommandLine([word for word in words if word is not None]) if None not in words else None
        return self._job_line if own is ABSENT or (isinstance(own, Constant) and own.value is None) else None

    def parsed(self, call: Call) -> Value | None:
        """What `parser.parse_…()` returns; None if the receiver is no parser that is known."""
        maker = next(iter(call.receiver_calls), None)
        kind = maker.names if maker is not None else frozenset()
        if call.name in ("parse_args", "parse_known_args") and not kind & {"HfArgumentParser", "TrlParser"}:
            parsed = ParsedArguments(call)
            return parsed if call.name == "parse_args" else Items((parsed, UNKNOWN))
        if call.name in _DATACLASS_METHODS | _FILE_METHODS and maker is not None:
            types = maker.argument("dataclass_types", 0)
            classes = types.items if isinstance(types, Items) else tuple(options(types))
            return Items(tuple(ParsedArguments(call, dataclass) for dataclass in classes), complete=False)
        return None

    def table(self, parsed: ParsedArguments) -> Value:
        """`vars(args)`: every option that is declared."""
        names = list(self._declared) if parsed.dataclass is None else []
        return Table({name: self.value(parsed, name) for name in names}, complete=False)

    # -- one option ------------------------------------------------------------

    def value(self, parsed: ParsedArguments, name: str) -> Value:
        """The value of an option: given on the command line, else its default, else cannot tell.

        Where nobody has said what the command line is, a default is one of two possibilities.
        """
        call = parsed.call
        if call.name in _FILE_METHODS:
            return UNKNOWN
        if call.name == "parse_dict":
            table = call.positional(0)
            if isinstance(table, Table) and name in table.entries:
                return table.entries[name]
            return self._field_default(parsed, name) if isinstance(table, Table) and table.complete else UNKNOWN
        line = self._line(call)
        default = self._option_default(name) if parsed.dataclass is None else self._field_default(parsed, name)
        if line is None:
            return choice([default, UNKNOWN])
        given = self._given(line, name, parsed)
        if given is not ABSENT:
            return given
        if line.reads_config:
            return choice([default, UNKNOWN])
        return default

    def _given(self, line: CommandLine, name: str, parsed: ParsedArguments) -> Value:
        for alias in self._aliases(name) if parsed.dataclass is None else (name,):
            value = line.value(alias)
            if value is ABSENT:
                continue
            declared = self._declared.get(name)
            if declared is not None and text(declared.argument("action")) == "store_false":
                return Constant(False)
            return value
        return ABSENT

    # -- argparse ----------------------------------------------------------------

    @cached_property
    def _declared(self) -> dict[str, Call]:
        """The `add_argument` calls by the name of the attribute that they set."""
        table: dict[str, Call] = {}
        for call in self._resolver.calls_by_written_name.get("add_argument", []):
            name = self._destination(call)
            if name:
                table.setdefault(name, call)
        return table

    def _flags(self, call: Call) -> list[str]:
        return [flag for i in range(call.positional_count) if (flag := text(call.positional(i))) is not None]

    def _destination(self, call: Call) -> str | None:
        given = text(call.argument("dest"))
        flags = self._flags(call)
        long = [flag for flag in flags if flag.startswith("--")]
        chosen = given or (long or flags or [None])[0]
        return chosen.lstrip("-").replace("-", "_") if chosen else None

    def _aliases(self, name: str) -> list[str]:
        declared = self._declared.get(name)
        if declared is None:
            return [name]
        return [flag.lstrip("-").replace("-", "_") for flag in self._flags(declared)]

    def _option_default(self, name: str) -> Value:
        call = self._declared.get(name)
        if call is None or not call.live:
            return UNKNOWN
        for setter in self._resolver.calls_by_written_name.get("set_defaults", []):
            if (value := setter.argument(name)) is not ABSENT:
                return value
        flags = self._flags(call)
        if truth(call.argument("required")) is True or not any(flag.startswith("-") for flag in flags):
            return UNKNOWN
        default = call.argument("default")
        if default is not ABSENT:
            return default
        action = text(call.argument("action"))
        if action == "store_true":
            return Constant(False)
        return Constant(True) if action == "store_false" else Constant(None)

    # -- dataclasses -------------------------------------------------------------

    def _field_default(self, parsed: ParsedArguments, name: str) -> Value:
        owner = parsed.dataclass
        if isinstance(owner, Class):
            value = self._resolver.attributes.attribute(owner, name)
            local = name in owner.scope.bindings or isinstance(value, Constant | Items | Table)
            if local:
                return value
            return self._library_default(owner)
        return self._library_default(owner)

    def _library_default(self, owner: Value | None) -> Value:
        """A field of a library's dataclass: not given, if the command line is known to be complete."""
        arguments = self._resolver.arguments
        return ABSENT if arguments else UNKNOWN
