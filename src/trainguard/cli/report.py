"""`trainguard report`: the page of a lineage."""

from __future__ import annotations

import time
from pathlib import Path

import click

from trainguard.cli.output import write
from trainguard.cli.panels import PATH
from trainguard.cli.queue_place import database_option, opened
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN


@click.command("report", short_help="Write the page of a lineage: files, steps, losses, faults survived.")
@click.argument("config", type=PATH, required=False, default=Path())
@click.option(
    "--output", "-o", type=PATH, metavar="FILE", default=Path("report.html"), show_default=True, help="The page."
)
@database_option
def command(*, config: Path, output: Path, database_url: str | None) -> int:
    """Write one HTML page about all files of a daemon: what each was trained to, the losses over all steps, every fault
    with what was done about it and how long it took, the steps that were made again, the windows of data left out.

    CONFIG is the daemon's configuration, the one in the current folder if not given. The page loads nothing from
    anywhere, and runs no script.

    \b
    Examples:
      trainguard report -o report.html
      trainguard report trainguard.toml -o /var/www/lineage.html
    """
    from trainguard import __version__
    from trainguard.daemon.stories import lineage_view
    from trainguard.report.lineage_page import render_lineage_page

    if output.is_dir() or not output.absolute().parent.is_dir():
        what = "is a folder" if output.is_dir() else "its folder is not there"
        raise UsageError(f"--output {output}: {what}; name a file such as report.html")
    with opened(config, database_url) as place:
        view = lineage_view(place.queue, place.settings.output_dir, time.time())
    write(render_lineage_page(view, version=__version__), output)
    click.echo(f"the page is in {output}")
    return EXIT_CLEAN
