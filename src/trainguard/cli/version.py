"""`trainguard version`."""

from __future__ import annotations

import platform

import click

from trainguard import __version__


@click.command("version", short_help="Show the version.")
def command() -> int:
    """Show the versions of trainguard and of the Python it runs on."""
    click.echo(f"trainguard {__version__} (Python {platform.python_version()})")
    return 0
