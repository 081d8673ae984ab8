"""What a person does to files of the queue: hold, release, retry, cancel, move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainguard.cli.output import write
from trainguard.cli.queue_choices import PRIORITIES, Words
from trainguard.cli.queue_place import Place, file_meant, opened, placed
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_USAGE

if TYPE_CHECKING:
    from trainguard.queue.records import Priority, QueuedFile

_files = click.argument("files", metavar="FILE...", nargs=-1, required=True)


@click.command("hold", short_help="Keep files back until they are released.")
@_files
@placed
@click.option("--because", metavar="TEXT", default="held by a person", help="What to remember as the reason.")
def hold_command(*, files: tuple[str, ...], config: Path, database_url: str | None, because: str) -> int:
    """Keep files back. One in training is stopped with a checkpoint, and goes on from there when it is released.

    Exits with 2 where one could not be held; the others are.

    \b
    Examples:
      trainguard queue hold 12
      trainguard queue hold 12 13 --because "the labels are wrong"
    """

    def hold(place: Place, file: QueuedFile) -> None:
        found = place.queue.hold(file.id, because)
        _keep_word(place, found)
        _said(found, "held", "the daemon stops it with a checkpoint and holds it then", before=file)

    return _each(config, database_url, files, hold)


@click.command("release", short_help="Let held files go on.")
@_files
@placed
def release_command(*, files: tuple[str, ...], config: Path, database_url: str | None) -> int:
    """Let held files go on, at their old place in the order.

    Exits with 2 where one is not held; the others are released.

    \b
    Examples:
      trainguard queue release 12
      trainguard queue release 12 13 14
    """

    def release(place: Place, file: QueuedFile) -> None:
        found = place.queue.release(file.id)
        _keep_word(place, found)
        _said(found, found.state)

    return _each(config, database_url, files, release)


@click.command("cancel", short_help="Give files up; retry brings them back.")
@_files
@placed
@click.option("--because", metavar="TEXT", default="cancelled by a person", help="What to remember as the reason.")
def cancel_command(*, files: tuple[str, ...], config: Path, database_url: str | None, because: str) -> int:
    """Give files up: each is set aside as failed, and kept. `trainguard queue retry` brings it back.

    Exits with 2 where one could not be cancelled; the others are.

    \b
    Examples:
      trainguard queue cancel 12 --because "superseded by 14"
      trainguard queue cancel 12 13
    """

    def cancel(place: Place, file: QueuedFile) -> None:
        found = place.queue.cancel(file.id, because)
        if found.state == "failed":
            _show_aside(place.settings.home, found)
        _said(found, "failed", "the daemon stops it and sets it aside then", before=file)

    return _each(config, database_url, files, cancel)


@click.command("retry", short_help="Take up again what failed or was quarantined.")
@click.argument("files", metavar="[FILE]...", nargs=-1)
@placed
@click.option("--all-failed", is_flag=True, help="Every file that failed or was quarantined.")
def retry_command(*, files: tuple[str, ...], config: Path, database_url: str | None, all_failed: bool) -> int:
    """Take up again files that failed or were quarantined: each is checked and trained with a new budget of attempts.

    Where there is nothing to retry it says so, and exits with 0.

    \b
    Examples:
      trainguard queue retry 12
      trainguard queue retry --all-failed
    """
    if bool(files) == all_failed:
        raise UsageError("name a FILE, such as `trainguard queue retry 12`, or --all-failed; not both")
    from trainguard.daemon.retrying import retry
    from trainguard.report.run_text import safe

    with opened(config, database_url) as place:
        done = retry(place.queue, place.settings.home, _meant(place, files) if files else None)
    for each in done.files:
        _said(each, "accepted")
    for finding in done.findings:
        write(f"{finding.severity} {finding.code} {finding.name}: {safe(finding.message)}\n")
    for problem in done.problems:
        click.echo(f"warn: {safe(problem)}", err=True)
    return EXIT_CLEAN


@click.command("move", short_help="Change a file's place or priority.")
@click.argument("file", metavar="FILE")
@placed
@click.option("--first", is_flag=True, help="Before all others.")
@click.option("--before", metavar="FILE", help="Before this one.")
@click.option("--priority", type=Words(PRIORITIES), help="With this priority from now on.")
def move_command(
    *,
    file: str,
    config: Path,
    database_url: str | None,
    first: bool,
    before: str | None,
    priority: Priority | None,
) -> int:
    """Change the place of a file that waits: first of all, before another one, or by its priority.

    \b
    Examples:
      trainguard queue move 12 --first
      trainguard queue move 12 --before 9
      trainguard queue move 12 --priority low
    """
    if sum((first, before is not None, priority is not None)) != 1:
        raise UsageError("say where to, by one of --first, --before FILE and --priority high|normal|low")
    with opened(config, database_url) as place:
        number = file_meant(place.queue, file).id
        if priority is not None:
            found = place.queue.set_priority(number, priority)
        elif before is not None:
            found = place.queue.move(number, before=file_meant(place.queue, before).id)
        else:
            found = place.queue.move(number, first=True)
        where = _place_of(place, found)
    return _said(found, found.state, more=f", priority {found.priority}{where}")


CHANGES = (hold_command, release_command, retry_command, cancel_command, move_command)


def _each(
    config: Path, database_url: str | None, files: Sequence[str], change: Callable[[Place, QueuedFile], None]
) -> int:
    """Changes one file after the other, once it is known that all of them are there; 2 where one refused.

    Raises UsageError where only one was named, and it refused.
    """
    code = EXIT_CLEAN
    with opened(config, database_url) as place:
        for file in _meant(place, files):
            try:
                change(place, file)
            except UsageError as error:
                if len(files) == 1:
                    raise
                from trainguard.report.run_text import safe

                click.echo(f"error: {safe(error)}", err=True)
                code = EXIT_USAGE
    return code


def _meant(place: Place, files: Sequence[str]) -> list[QueuedFile]:
    """The files that are meant, each once. Raises UsageError, before anything is changed."""
    found = [file_meant(place.queue, each) for each in files]
    return list({each.id: each for each in found}.values())


def _place_of(place: Place, file: QueuedFile) -> str:
    """Where it stands among those that wait."""
    if file.state == "held":
        return "; it stays held until `trainguard queue release`"
    numbers = [each.id for each in place.queue.list(states=("accepted", "waiting"))]
    return f"; number {numbers.index(file.id) + 1:,} of {len(numbers):,} that wait" if file.id in numbers else ""


def _keep_word(place: Place, file: QueuedFile) -> None:
    from trainguard.queue.sidecars import keep_word

    keep_word(place.settings.home, file)


def _show_aside(home: Path, file: QueuedFile) -> None:
    from trainguard.queue.custody import Custody

    try:
        Custody(home).settle(file, "failed")
    except OSError as error:
        click.echo(f"warn: it could not be shown in failed/: {error.strerror or error}", err=True)


def _said(
    file: QueuedFile, state: str, otherwise: str = "", *, more: str = "", before: QueuedFile | None = None
) -> int:
    """One line about what came of it; where a daemon has to act first, what it will do."""
    from trainguard.report.run_text import safe

    words = f"is {file.state}" if file.state == state else f"is {file.state}; {otherwise or 'nothing was changed'}"
    if before is not None and before.state == state == file.state:
        words = f"was {state} before; nothing was changed"
    write(f"file {file.id} {safe(file.name)} {words}{more}\n")
    return EXIT_CLEAN
