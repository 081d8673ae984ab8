"""Options under headings, for a verb that has many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

OTHERS = "Options"
PATH = click.Path(path_type=Path)


class Option(click.Option):
    """An option that is listed under the heading `panel`."""

    def __init__(self, *args: Any, panel: str = OTHERS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.panel = panel


class Command(click.Command):
    """A command whose help lists its options by panel, in the order in which the panels first appear."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for panel, records in options_by_panel(self, ctx).items():
            with formatter.section(panel):
                formatter.write_dl(records)


def options_by_panel(command: click.Command, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
    """For each heading the options, as they are written, and their help."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is not None:
            panels.setdefault(getattr(parameter, "panel", OTHERS), []).append(record)
    return panels


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """`click.option` with a `panel`."""
    return click.option(*names, cls=Option, **attributes)
