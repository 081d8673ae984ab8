"""`trainguard report`: the page of a lineage."""

from __future__ import annotations

import time
from pathlib import Path

import click

from trainguard.cli.output import write
from trainguard.cli.panels import PATH
from trainguard.cli.queue_choices import Words
from trainguard.cli.queue_place import database_option, opened
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN
from trainguard.report.visible import visible

_PAGE = Path("report.html")


@click.command("report", short_help="Write the page of a lineage: files, steps, losses, faults survived.")
@click.argument("config", type=PATH, required=False, default=Path())
@click.option(
    "--output", "-o", type=PATH, metavar="FILE", help=f"Where to; {_PAGE} for a page, stdout for JSON by default."
)
@click.option(
    "--format",
    "output_format",
    type=Words(("html", "json")),
    default="html",
    show_default=True,
    help="A page for people, or the same for programs.",
)
@database_option
def command(*, config: Path, output: Path | None, output_format: str, database_url: str | None) -> int:
    """Write one HTML page about all files of a daemon: what each was trained to, the losses over all steps, every fault
    with what was done about it and how long it took, the steps that were made again, the windows of data left out.

    CONFIG is the daemon's configuration, the one in the current folder if not given. The page loads nothing from
    anywhere, and runs no script.

    \b
    Examples:
      trainguard report
      trainguard report trainguard.toml -o /var/www/lineage.html
      trainguard report --format json
    """
    from trainguard.daemon.stories import lineage_view

    target = output or (_PAGE if output_format == "html" else None)
    if target is not None and (target.is_dir() or not target.absolute().parent.is_dir()):
        what = "is a folder" if target.is_dir() else "its folder is not there"
        raise UsageError(f"--output {target}: {what}; name a file such as report.html")
    with opened(config, database_url) as place:
        view = lineage_view(place.queue, place.settings.output_dir, time.time())
    if output_format == "json":
        from trainguard.report.lineage_json import render_lineage_json

        text, what = render_lineage_json(view), "the report"
    else:
        from trainguard import __version__
        from trainguard.report.lineage_page import render_lineage_page

        text, what = render_lineage_page(view, version=__version__), "the page"
    write(text, target)
    if target is not None:
        write(f"{what} is in {visible(str(target))}\n")
    return EXIT_CLEAN
