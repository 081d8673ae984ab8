"""`trainguard status`: one screen about a daemon, its queue and the run in progress."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.cli.panels import PATH
from trainguard.cli.queue_choices import Words
from trainguard.cli.queue_place import database_option, opened
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN


@click.command("status", short_help="One screen about the daemon, its queue and the run in progress.")
@click.argument("config", type=PATH, required=False, default=Path())
@database_option
@click.option("--watch", "-w", is_flag=True, help="Draw it again and again, until Ctrl-C.")
@click.option(
    "--every", type=click.FloatRange(min=0.2), default=2.0, show_default=True, metavar="SECONDS", help="With --watch."
)
@click.option("--format", "output_format", type=Words(("text", "json")), default="text", help="Text, or JSON.")
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour text.")
def command(
    *, config: Path, database_url: str | None, watch: bool, every: float, output_format: str, color: Color
) -> int:
    """Show whether the daemon lives, what it does now, what waits, what was survived, and what waits for a person.

    CONFIG is the daemon's configuration, the one in the current folder if not given. Nothing is changed, and the daemon
    is not asked: it is read from the queue and from what the run writes, so it works when the daemon hangs or is dead.

    \b
    Examples:
      trainguard status
      trainguard status trainguard.toml --watch
      trainguard status --format json
    """
    from trainguard.cli.status_text import look_once, status_json, status_text, watch_screen

    if watch and output_format == "json":
        raise UsageError("--watch draws a screen; leave it out for --format json, or call it again and again")
    shown = shlex.quote(str(config)) if config != Path() else ""
    if watch:
        with opened(config, database_url) as place:
            watch_screen(place, every_seconds=every, color=color, config=shown)
        return EXIT_CLEAN
    seen = look_once(config, database_url)
    if output_format == "json":
        write(status_json(seen))
    else:
        write(status_text(seen, color=use_color(color, sys.stdout), width=text_width(sys.stdout), config=shown))
    return EXIT_CLEAN
