"""`trainguard queue`: which files wait, what became of the others, and what a person does about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.cli.panels import PATH
from trainguard.cli.queue_change import CHANGES
from trainguard.cli.queue_choices import PRIORITIES, STATES, Words
from trainguard.cli.queue_place import file_meant, opened, placed
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_USAGE

if TYPE_CHECKING:
    from trainguard.queue.records import Priority, QueuedFile, State
    from trainguard.queue.store import Queue

_FORMATS = ("text", "json", "csv")
_LISTED = 50
_TABLE_CELLS = 100  # below, the reasons in the table's last column would be narrower than their words
_STATE_HELP = f"Only files in this state; repeatable. One of {', '.join(STATES)}."
_format = click.option("--format", "output_format", type=Words(("text", "json")), default="text", help="Text, or JSON.")


@click.group("queue", short_help="The daemon's files: list, add, hold, release, retry, cancel, move.")
def command() -> None:
    """The files of a daemon: those that wait, those in work, and what became of the others.

    Works beside a running daemon and without one. FILE is a file's number, its name, or a part of its name.

    \b
    Examples:
      trainguard queue list
      trainguard queue add more.jsonl --priority high
      trainguard queue retry 12
    """


@command.command("list", short_help="List files by state.")
@placed
@click.option("--state", "states", type=Words(STATES, "STATE"), multiple=True, help=_STATE_HELP)
@click.option("--all", "everything", is_flag=True, help="Those that are done, too, and not the newest alone.")
@click.option("--limit", type=click.IntRange(min=1), default=_LISTED, show_default=True, help="At most so many.")
@click.option("--format", "output_format", type=Words(_FORMATS), default="text", help="Text, JSON or CSV.")
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour text.")
def list_command(
    *,
    config: Path,
    database_url: str | None,
    states: tuple[State, ...],
    everything: bool,
    limit: int,
    output_format: str,
    color: Color,
) -> int:
    """List the files in the order in which they are trained, then those for a person to look at.

    Without --state or --all those that are done are counted, not listed.

    \b
    Examples:
      trainguard queue list
      trainguard queue list --state failed --state quarantined
      trainguard queue list --all --limit 1000 --format csv
    """
    from trainguard.cli.queue_text import counts_line, files_csv, files_json

    with opened(config, database_url) as place:
        counts, paused = place.queue.counts(), place.queue.paused
        wanted = states or (STATES if everything else tuple(each for each in STATES if each != "done"))
        files = _in_order(place.queue, wanted, limit)
    if output_format == "json":
        write(files_json(files, counts, paused))
    elif output_format == "csv":
        write(files_csv(files))
    else:
        _print_files(files, color=color)
        line = counts_line(counts, paused)
        left = sum(counts[state] for state in wanted) - len(files)
        write(line + (f"; {left:,} more with --limit {left + len(files)}" if left > 0 else "") + "\n")
    return EXIT_CLEAN


@command.command("show", short_help="All about one file.")
@click.argument("file", metavar="FILE")
@placed
@_format
def show_command(*, file: str, config: Path, database_url: str | None, output_format: str) -> int:
    """Show all about one file: state, steps, checkpoint, where it came from. `trainguard log FILE` has its history.

    \b
    Examples:
      trainguard queue show 12
      trainguard queue show more.jsonl --format json
    """
    from trainguard.cli.queue_text import file_text, file_values, json_text

    with opened(config, database_url) as place:
        found = file_meant(place.queue, file)
    write(json_text(file_values(found)) + "\n" if output_format == "json" else file_text(found, time.time()))
    return EXIT_CLEAN


@command.command("add", short_help="Add files to the queue; the originals stay.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=PATH)
@placed
@click.option("--priority", type=Words(PRIORITIES), default="normal", show_default=True, help="Their priority.")
def add_command(*, files: tuple[Path, ...], config: Path, database_url: str | None, priority: Priority) -> int:
    """Copy files into the custody of the queue. They are checked and trained by the daemon, in the order of priority.

    Exits with 2 where a file could not be taken; the others are in the queue then.

    \b
    Examples:
      trainguard queue add monday.jsonl tuesday.jsonl
      trainguard queue add urgent.jsonl --priority high
    """
    from trainguard.queue.accepting import accept_path
    from trainguard.queue.custody import Custody
    from trainguard.report.run_text import safe

    missing = [each for each in files if not each.is_file()]
    if missing:
        what = "is a folder, and one file is wanted" if missing[0].is_dir() else "is not there"
        raise UsageError(f"{safe(missing[0])} {what}; nothing was added")
    failed = False
    with opened(config, database_url, make=True) as place:
        custody = Custody(place.settings.home)
        for path in files:
            try:
                accepted = accept_path(path, priority, custody, place.queue, copy=True)
            except UsageError as error:
                click.echo(f"error: {safe(error)}", err=True)
                failed = True
                continue
            for file in accepted.files:
                write(
                    f"{file.id}\t{file.state}\t{safe(file.name)}"
                    + (f"\t{safe(file.cause)}" if file.cause else "")
                    + "\n"
                )
            for finding in accepted.findings:
                click.echo(f"{finding.severity} {finding.code}: {safe(finding.message)}", err=True)
    return EXIT_USAGE if failed else EXIT_CLEAN


@command.command("export", short_help="All files with their history, as JSON Lines.")
@placed
@click.option("--state", "states", type=Words(STATES, "STATE"), multiple=True, help=_STATE_HELP)
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write to a file, not to stdout.")
def export_command(*, config: Path, database_url: str | None, states: tuple[State, ...], output: Path | None) -> int:
    """Write every file with its whole history, a JSON object a line, the oldest file first.

    \b
    Examples:
      trainguard queue export -o queue.jsonl
      trainguard queue export --state failed
    """
    from trainguard.cli.queue_text import event_values, file_values, json_text
    from trainguard.daemon.reporting import all_events

    with opened(config, database_url) as place:
        files = sorted(place.queue.list(states=states or None), key=lambda each: each.id)
        history: dict[int, list[object]] = {each.id: [] for each in files}
        for event in all_events(place.queue):
            if event.file_id in history:
                history[event.file_id].append(event_values(event))
    lines = [json_text({**file_values(each), "history": history[each.id]}) + "\n" for each in files]
    write("".join(lines), output)
    return EXIT_CLEAN


def _in_order(queue: Queue, states: Sequence[State], limit: int) -> list[QueuedFile]:
    """In work first, then those that wait in their order, then those for a person, then the newest that are done."""
    groups: tuple[tuple[tuple[State, ...], bool], ...] = (
        (("training", "verifying", "checking"), False),
        (("waiting", "accepted"), False),
        (("held", "quarantined", "failed"), True),
        (("done",), True),
    )
    files: list[QueuedFile] = []
    for group, newest_first in groups:
        wanted = tuple(state for state in group if state in states)
        if wanted and len(files) < limit:
            files += queue.list(states=wanted, limit=limit - len(files), newest_first=newest_first)
    return files


def _print_files(files: Sequence[QueuedFile], *, color: Color) -> None:
    from trainguard.cli.queue_text import files_blocks, files_lines, files_table
    from trainguard.report.text import Style

    now = time.time()
    width = text_width(sys.stdout)
    if width is None:
        write(files_lines(files, now))
    elif width < _TABLE_CELLS:
        write(files_blocks(files, now, width, Style(use_color(color, sys.stdout))))
    elif files:
        from rich.console import Console

        console = Console(no_color=not use_color(color, sys.stdout), highlight=False, width=width)
        console.print(files_table(files, now))
        console.print()


for each in CHANGES:
    command.add_command(each)
