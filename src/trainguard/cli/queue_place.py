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
_MOST_FOUND = 20  # what Queue.find gives at the most
# What a person waits for at the most where others keep the database locked.
_PATIENCE_SECONDS = 20.0

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
    if settings.database_url is None and not make and not (settings.home / DATABASE).exists():
        shown = shown_config(settings.config)
        if _has_files(settings.home / FILES):
            raise UsageError(_damaged(settings.home / DATABASE, "it is gone, and files are in custody", shown))
        raise UsageError(
            f"there is no queue in {settings.home} yet; it is made by `trainguard daemon start {shown}` "
            f"or `trainguard queue add FILE --config {shown}`"
        )
    return settings


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
        yield Place(settings=settings, queue=queue)
    except QueueError as error:
        raise UsageError(str(error)) from None
    finally:
        queue.close()


def shown_config(config: Path) -> str:
    """The configuration as it goes into a command: from this folder where it lies below it."""
    import shlex

    folder = Path.cwd()
    return shlex.quote(str(config.relative_to(folder) if config.is_relative_to(folder) else config))


def file_meant(queue: Queue, text: str) -> QueuedFile:
    """The one file that is meant by its number, its name or a part of it.

    Raises UsageError for none, with the nearest name, and for several, with their numbers.
    """
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
