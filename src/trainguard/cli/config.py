"""`trainguard config`: the fields of a configuration, and what one comes to with the environment and flags."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from trainguard.cli.output import text_width, write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_FINDINGS

_PATH = click.Path(path_type=Path)


@click.group("config", short_help="The configuration of a run: its schema, its effective values.")
def command() -> None:
    """The configuration of a guarded run: what it may say, and what one says in effect.

    `trainguard check CONFIG` checks one, `trainguard init` writes one.

    \b
    Examples:
      trainguard config schema --output trainguard.schema.json
      trainguard config show trainguard.toml
      trainguard config show trainguard.toml --set learning_rate=1e-5
    """


@command.command("schema", short_help="Print the JSON Schema for editors.")
@click.option("--output", type=_PATH, metavar="FILE", help="Write to a file, not to stdout.")
def schema_command(output: Path | None) -> int:
    """Print the JSON Schema of a configuration, by which editors complete, explain and check JSON, YAML and TOML.

    \b
    Examples:
      trainguard config schema
      trainguard config schema --output trainguard.schema.json
    """
    from trainguard.facts.config.json_schema import json_schema
    from trainguard.report.json_ import to_json

    write(to_json(json_schema()), output)
    return EXIT_CLEAN


@command.command("show", short_help="Print the effective values and where each came from.")
@click.argument("config", type=_PATH)
@click.option("--set", "assignments", metavar="FIELD=VALUE", multiple=True, help="Another value for a field.")
@click.option("--given", is_flag=True, help="Only the fields that are given somewhere.")
@click.option("--format", "output_format", type=click.Choice(("text", "json")), default="text", help="Text, or JSON.")
def show_command(config: Path, assignments: tuple[str, ...], given: bool, output_format: str) -> int:
    """Print every field of CONFIG with its effective value and where that came from.

    A flag goes before the environment (TRAINGUARD_LEARNING_RATE, TRAINGUARD_LORA_R), that before the file, that before
    the default. Addresses and passwords are not printed. Exits with 1 where the configuration has problems.

    \b
    Examples:
      trainguard config show trainguard.toml
      trainguard config show config.json --given
      trainguard config show run.yaml --set lora.r=8 --format json
    """
    from trainguard.cli.config_text import shown_json, shown_text
    from trainguard.facts.config.reading import read_config
    from trainguard.report.json_ import to_json

    facts = read_config(config, environment=os.environ, flags=parsed_assignments(assignments))
    unopened = facts.of_kind("missing", "unreadable")
    if unopened:
        from trainguard.report.visible import visible

        problem = unopened[0]
        hint = f"; did you mean {problem.suggestion}?" if problem.suggestion else ""
        what = f"got {problem.got}, expected {problem.expected}, because {problem.because}{hint}"
        raise UsageError(visible(f"{config}: {what}"))
    if output_format == "json":
        write(to_json(shown_json(facts, only_given=given)))
    else:
        write(shown_text(facts, only_given=given, width=text_width(sys.stdout)))
    return EXIT_FINDINGS if facts.problems else EXIT_CLEAN


def parsed_assignments(assignments: tuple[str, ...]) -> dict[str, str]:
    """`--set learning_rate=1e-5` as a mapping. Raises UsageError for one without an equals sign."""
    values: dict[str, str] = {}
    for each in assignments:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {each}: write it as FIELD=VALUE, such as --set learning_rate=1e-5")
        values[name.strip()] = value.strip()
    return values
