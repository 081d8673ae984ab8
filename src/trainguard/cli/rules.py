"""`trainguard rules`: what there is to be asked."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_INTERNAL, SEVERITIES, Severity
from trainguard.report.visible import visible

if TYPE_CHECKING:
    from trainguard.report.rule_page import RuleInfo
    from trainguard.rules.base import Rule


@click.command("rules", short_help="List the rules.")
@click.argument("words", metavar="[TEXT]...", nargs=-1)
@click.option("--area", metavar="AREA", help="Only this area: api, job, python, security.")
@click.option("--severity", type=click.Choice(SEVERITIES), help="Only this severity.")
@click.option(
    "--format", "output_format", type=click.Choice(("text", "json")), default="text", help="A table, or JSON."
)
def command(words: tuple[str, ...], area: str | None, severity: Severity | None, output_format: str) -> int:
    """List the rules: code, severity, name and what each one finds.

    Only rules whose page has all the words of TEXT are listed.

    \b
    Examples:
      trainguard rules
      trainguard rules timeout
      trainguard rules --area job --severity error
      trainguard rules --format json
    """
    from trainguard.report.rule_page import rule_info
    from trainguard.rules.registry import discover

    registry = discover()
    areas = sorted({rule.area for rule in registry.rules})
    if area is not None and area not in areas:
        raise UsageError(f"--area {area!r} does not exist; it may be {', '.join(areas)}")
    chosen = [
        rule_info(rule)
        for rule in registry.rules
        if area in (None, rule.area) and severity in (None, rule.severity) and _says(rule, words)
    ]
    write(_as_json(chosen) if output_format == "json" else _as_table(chosen))
    for error in registry.errors:
        print(visible(f"error: {error.origin} is broken: {error.message}"), file=sys.stderr)
    return EXIT_INTERNAL if registry.errors else EXIT_CLEAN


def _says(rule: Rule, words: Sequence[str]) -> bool:
    text = f"{rule.code} {rule.name} {rule.severity} {rule.area} {type(rule).__doc__}".lower()
    return all(word.lower() in text for word in words)


def _as_json(rules: Sequence[RuleInfo]) -> str:
    from trainguard.report.json_ import FORMAT_VERSION, to_json

    keys = ("code", "name", "severity", "area", "summary")
    return to_json({"version": FORMAT_VERSION, "rules": [{key: getattr(rule, key) for key in keys} for rule in rules]})


def _as_table(rules: Sequence[RuleInfo]) -> str:
    if not rules:
        return "No rule matches.\n"
    width = min(shutil.get_terminal_size().columns, 120) if sys.stdout.isatty() else None
    names = max(len(rule.name) for rule in rules)
    lines = []
    for rule in rules:
        head = f"{rule.code:<9}{rule.severity:<7}{rule.name:<{names}}  "
        if width is None:
            lines.append(head + rule.summary)
        elif width - len(head) < 30:  # too narrow for columns: the summary goes below
            lines += [
                head.rstrip(),
                *textwrap.wrap(rule.summary, width - 4, initial_indent="  ", subsequent_indent="  "),
            ]
        else:
            lines += textwrap.wrap(rule.summary, width, initial_indent=head, subsequent_indent=" " * len(head)) or [
                head
            ]
    return "\n".join(line.rstrip() for line in lines) + "\n"
