"""`trainguard log`: the history of one file of the queue."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import COLORS, Color, use_color, write
from trainguard.cli.queue_choices import Words
from trainguard.cli.queue_place import file_meant, opened, placed
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN

if TYPE_CHECKING:
    from trainguard.cli.log_text import History

_WAIT_SECONDS = 1.0


@click.command("log", short_help="The history of one file: attempts, faults, decisions, its last output.")
@click.argument("file", metavar="FILE")
@placed
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens next, until it ends or Ctrl-C.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="This attempt only, with its output.")
@click.option(
    "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="So many last lines of output."
)
@click.option("--format", "output_format", type=Words(("text", "json")), default="text", help="Text, or JSON Lines.")
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour text.")
def command(
    *,
    file: str,
    config: Path,
    database_url: str | None,
    follow: bool,
    attempt: int | None,
    lines: int,
    output_format: str,
    color: Color,
) -> int:
    """Show what happened to a file: when it was accepted, each attempt with its fault and what was decided, its output.

    FILE is a file's number, its name, or a part of its name.

    \b
    Examples:
      trainguard log 12
      trainguard log monday.jsonl --attempt 2 --lines 100
      trainguard log 12 --follow
      trainguard log 12 --format json
    """
    from trainguard.cli.log_text import History

    with opened(config, database_url) as place:
        found = file_meant(place.queue, file)
        history = History(
            place.queue,
            found,
            place.settings.home,
            attempt=attempt,
            lines=lines,
            json=output_format == "json",
            color=use_color(color, sys.stdout),
        )
        if attempt is not None and not history.has_attempt(attempt):
            known = f"attempts 1 to {found.attempts}" if found.attempts else "no attempt yet"
            raise UsageError(f"--attempt {attempt}: file {found.id} has {known}")
        write(history.so_far())
        if follow:
            _follow(history)
    return EXIT_CLEAN


def _follow(history: History) -> None:
    from trainguard.cli.queue_text import say

    try:
        while not history.ended:
            time.sleep(_WAIT_SECONDS)
            if (more := history.more()) and not say(more):
                return
    except KeyboardInterrupt:
        return
