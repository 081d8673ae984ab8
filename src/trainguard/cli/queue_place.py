"""Where the queue of a configuration is, and which file a person means: for `queue`, `status`, `log` and `report`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainguard.cli.panels import PATH, option
from trainguard.errors import UsageError

if TYPE_CHECKING:
    from trainguard.daemon.settings import Settings
    from trainguard.queue.records import QueuedFile
    from trainguard.queue.store import Queue

_MOST_NAMES = 5000
_LONGEST_NAME = 4096  # a path has no more bytes (limits.h, PATH_MAX); LIKE of SQLite ends at 50,000
_MOST_FOUND = 20  # what Queue.find gives at the most
# What a person waits for at the most where others keep the database locked.
_PATIENCE_SECONDS = 20.0
_WHO = "run this as the user whom the daemon runs as, or ask that user for the right to read it"

config_option = option(
    "--config",
    "-c",
    type=PATH,
    default=Path(),
    metavar="FILE",
    help="The configuration of the daemon; the one in the current folder if not given.",
)
database_option = option(
    "--database-url",
    metavar="URL",
    help="The PostgreSQL server of the queue, where the configuration does not name it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An open queue and what is known of its daemon."""

    settings: Settings
    queue: Queue


def placed(command: Callable[..., Any]) -> Any:
    """The options that say which queue is meant."""
    return config_option(database_option(command))


def settings_of(config: Path, database_url: str | None = None, *, make: bool = False) -> Settings:
    """What a configuration says of its queue. Raises UsageError where there is none of it, but for `make`."""
    from trainguard.daemon.settings import read_daemon_settings
    from trainguard.queue.records import DATABASE
    from trainguard.queue.sidecars import FILES

    settings = read_daemon_settings(config, database_url=database_url)
    there = settings.database_url is None and _is_there(settings.home / DATABASE)
    if not there:  # what is there is not away
        _refuse_away(settings)
    if settings.database_url is None and not make and not there:
        shown = shown_config(settings.config)
        if _has_files(settings.home / FILES):
            raise UsageError(_damaged(settings.home / DATABASE, "it is gone, and files are in custody", shown))
        raise UsageError(
            f"there is no queue in {settings.home} yet; it is made by `trainguard daemon start {shown}` "
            f"or `trainguard queue add FILE --config {shown}`"
        )
    return settings


def has_queue(settings: Settings) -> bool:
    """Whether there is a queue to be asked; one on a server is asked itself. Raises UsageError as `opened` does."""
    from trainguard.queue.records import DATABASE

    if settings.database_url is not None or _is_there(settings.home / DATABASE):
        return True
    _refuse_away(settings)
    return False


def _refuse_away(settings: Settings) -> None:
    """Raises UsageError where the output folder lies on a share that is away."""
    from trainguard.daemon.placing import away_before_start  # loads what a look has no need of

    if (why := away_before_start(settings)) is not None:
        raise UsageError(why)


def _is_there(path: Path) -> bool:
    """Raises UsageError where that cannot be told, which is another thing than that it is not there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; {_WHO}") from None
    return True


def _has_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _damaged(path: Path, why: str, shown: str) -> str:
    return (
        f"{path} cannot be read as a queue ({why}); `trainguard daemon start {shown}` keeps what there is of it "
        "beside, and builds it anew from the folders"
    )


@contextmanager
def opened(config: Path, database_url: str | None = None, *, make: bool = False) -> Iterator[Place]:
    """The queue of a configuration, beside a daemon or without one; with `make` it is made where there is none.

    Raises UsageError where there is no configuration or no queue, and where its database cannot be opened.
    """
    settings = settings_of(config, database_url, make=make)
    from trainguard.queue.engine import QueueCorruptError, QueueError
    from trainguard.queue.store import open_queue

    try:
        queue = open_queue(
            settings.home,
            lineage=settings.lineage,
            owner=f"person:{os.getuid()}",
            database_url=settings.database_url,
            max_wait_hours=settings.run.queue.max_wait_hours,
            busy_seconds=_PATIENCE_SECONDS,
        )
    except QueueCorruptError as error:
        raise UsageError(_damaged(error.path, error.why, shown_config(settings.config))) from None
    except QueueError as error:
        raise UsageError(str(error)) from None
    try:
        if make and settings.database_url is not None:
            _refuse_another_place(settings, queue)
        yield Place(settings=settings, queue=queue)
    except QueueError as error:
        raise UsageError(str(error)) from None
    finally:
        queue.close()


def _refuse_another_place(settings: Settings, queue: Queue) -> None:
    """Files go into custody in the lineage's own folder, or nowhere: its mount may be away on this machine."""
    from trainguard.daemon.placing import not_as_told

    if (why := not_as_told(settings, queue)) is not None:
        raise UsageError(why)
    settings.home.mkdir(parents=True, exist_ok=True)


def shown_config(config: Path) -> str:
    """The configuration as it goes into a command: from this folder where it lies below it."""
    import shlex

    folder = Path.cwd()
    return shlex.quote(str(config.relative_to(folder) if config.is_relative_to(folder) else config))


def file_meant(queue: Queue, text: str) -> QueuedFile:
    """The one file that is meant by its number, its name or a part of it.

    Raises UsageError for none, with the nearest name, and for several, with their numbers.
    """
    if len(text) > _LONGEST_NAME:
        raise UsageError(f"no file has a name of {len(text):,} characters; give its number, its name or a part of it")
    found = queue.find(text)
    if len(found) == 1:
        return found[0]
    from trainguard.report.run_text import safe

    if found:
        numbers = ", ".join(f"{each.id} ({each.state}) {safe(each.name)}" for each in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        many = f"{len(found)}" if len(found) < _MOST_FOUND else f"{_MOST_FOUND} or more"
        raise UsageError(f"{safe(text)!r} names {many} files: {numbers}{more}; give the number")
    files = queue.list(limit=_MOST_NAMES, newest_first=True)
    names = list(dict.fromkeys(each.name for each in files))
    if not names:
        raise UsageError(f"there is no file {safe(text)!r}: the queue is empty; `trainguard queue add FILE` adds one")
    if text.isascii() and text.isdigit():
        raise UsageError(f"there is no file {text}: the newest is {files[0].id}; `trainguard queue list` shows them")
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    hint = f"did you mean {safe(close[0])!r}?" if close else "`trainguard queue list` shows them"
    raise UsageError(f"there is no file {safe(text)!r}; {hint}")
