"""Command-line parsers of a script: what an option is, given the job's arguments or its default.

Knows argparse, `HfArgumentParser` and `TrlParser` (transformers/hf_argparser.py, trl/scripts/utils.py), and
the dataclass subclasses that make their own (`simple_parsing`, `tyro.cli(Config)`).
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from trainguard.facts.command_line import ArgparseOptions, CommandLine
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
)

if TYPE_CHECKING:
    from trainguard.facts.calls import Call
    from trainguard.facts.resolver import Resolver

_DATACLASS_METHODS = {"parse_args_into_dataclasses", "parse_args_and_config", "parse_dict"}
_FILE_METHODS = {"parse_yaml_file", "parse_json_file"}


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
        attribute = self._resolver.attributes.attribute
        return Table({name: attribute(parsed, name) for name in names}, complete=False)

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
        default = self._option_default(parsed, name) if parsed.dataclass is None else self._field_default(parsed, name)
        if line is None:
            return choice([default, UNKNOWN])
        given = self._given(line, name, parsed)
        if given is not ABSENT:
            return given
        if line.reads_config:
            return choice([default, UNKNOWN])
        return default

    def _given(self, line: CommandLine, name: str, parsed: ParsedArguments) -> Value:
        declared = self._declarations(parsed, name)
        return self._options.given(declared, line) if declared else line.value(name)

    # -- argparse ----------------------------------------------------------------

    @cached_property
    def _options(self) -> ArgparseOptions:
        return ArgparseOptions()

    @cached_property
    def _declared(self) -> dict[str, list[Call]]:
        """The `add_argument` calls by the name of the attribute that they set."""
        table: dict[str, list[Call]] = defaultdict(list)
        for call in self._resolver.calls_by_written_name.get("add_argument", []):
            name = self._options.destination(call)
            if name and call.live:
                table[name].append(call)
        return table

    def _declarations(self, parsed: ParsedArguments, name: str) -> list[Call]:
        """The calls that declare an option of the parser that made `parsed`."""
        if parsed.dataclass is not None:
            return []
        return [call for call in self._declared.get(name, []) if not _is_of_another(call, parsed.call)]

    def _option_default(self, parsed: ParsedArguments, name: str) -> Value:
        declared = self._declarations(parsed, name)
        default = choice([self._options.default(call) for call in declared])
        for setter in self._resolver.calls_by_written_name.get("set_defaults", []):
            value = setter.argument(name)
            if value is not ABSENT and setter.live and not _is_of_another(setter, parsed.call):
                default = value if setter.block.outermost.kind == "body" else choice([default, value])
        return default

    # -- dataclasses -------------------------------------------------------------

    def _field_default(self, parsed: ParsedArguments, name: str) -> Value:
        owner = parsed.dataclass
        if isinstance(owner, Class):
            value = self._resolver.attributes.attribute(owner, name)
            local = name in owner.scope.bindings or isinstance(value, Constant | Items | Table)
            if local:
                return value
        return self._library_default()

    def _library_default(self) -> Value:
        """A field of a library's dataclass: not given, if the command line is known to be complete."""
        arguments = self._resolver.arguments
        return ABSENT if arguments else UNKNOWN


def _is_of_another(call: Call, parse: Call) -> bool:
    """Whether a call certainly is on another argparse parser than the one that parses."""
    mine, others = parse.receiver_calls, call.receiver_calls
    if not mine or not others or any(maker in mine for maker in others):
        return False
    return all(m.name == "ArgumentParser" and m.argument("parents") is ABSENT for m in (*mine, *others))
