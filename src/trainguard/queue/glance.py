"""Reads an SQLite queue for a screen, without SQLAlchemy, whose import is two thirds of what `trainguard status` takes.

The same questions that `Queue` answers, for a person who looks once: nothing is written, no table is made, no lock is
taken but SQLite's own for the time of a query. Whatever is unusual (a database of another form, damaged, locked, or
with a journal that a crash left) is refused here, so that `open_queue` says what it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from trainguard.errors import TrainguardError
from trainguard.queue.records import DATABASE, SCHEMA_VERSION, STATES, Event, QueuedFile, State, Worker
from trainguard.queue.rows import SQLITE_LINEAGE, event_of, key_of, shown, worker_of

_BUSY_SECONDS = 2.0
Files: TypeAlias = list[QueuedFile]
Events: TypeAlias = list[Event]


class GlanceError(TrainguardError):
    """It cannot be read this way; `open_queue` can, or says why not."""


class Glance:
    """The part of a queue that an overview reads. Every method raises GlanceError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._key = key_of(SQLITE_LINEAGE)

    @property
    def paused(self) -> str | None:
        rows = self._rows("SELECT paused FROM trainguard_lineages WHERE key = ?", (self._key,))
        return None if not rows or rows[0]["paused"] is None else str(rows[0]["paused"])

    def list(
        self, states: Collection[State] | None = None, limit: int | None = None, newest_first: bool = False
    ) -> Files:
        condition, values = _within("state", states)
        order = "id DESC" if newest_first else "due_at, place, id"
        rows = self._rows(
            f"SELECT * FROM trainguard_files WHERE lineage_key = ?{condition} ORDER BY {order} LIMIT ?",
            (self._key, *values, _limit(limit)),
        )
        return [shown(row) for row in rows]

    def events(
        self,
        file_id: int | None = None,
        after: int = 0,
        limit: int | None = None,
        *,
        kinds: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> Events:
        condition, values = _within("kind", kinds)
        if file_id is not None:
            condition, values = f"{condition} AND file_id = ?", (*values, file_id)
        order = "id DESC" if newest_first else "id"
        rows = self._rows(
            f"SELECT * FROM trainguard_events WHERE lineage_key = ? AND id > ?{condition} ORDER BY {order} LIMIT ?",
            (self._key, after, *values, _limit(limit)),
        )
        return [event_of(row) for row in rows]

    def counts(self) -> dict[State, int]:
        rows = self._rows(
            "SELECT state, count(*) AS files FROM trainguard_files WHERE lineage_key = ? GROUP BY state", (self._key,)
        )
        found = {row["state"]: int(row["files"]) for row in rows}
        return {state: found.get(state, 0) for state in STATES}

    def stuck_alerts(self) -> tuple[int, float | None]:
        rows = self._rows(
            "SELECT count(*) AS alerts, min(time) AS oldest FROM trainguard_outbox "
            "WHERE lineage_key = ? AND closed = 0 AND tries > 0",
            (self._key,),
        )
        return int(rows[0]["alerts"]), float(rows[0]["oldest"]) if rows[0]["oldest"] is not None else None

    def workers(self) -> Sequence[Worker]:
        rows = self._rows("SELECT * FROM trainguard_workers WHERE lineage_key = ? ORDER BY seen DESC", (self._key,))
        return [worker_of(row) for row in rows]

    def _rows(self, query: str, values: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        try:
            with closing(self._connection.execute(query, values)) as cursor:
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise GlanceError(str(error)) from error


@contextmanager
def glance(home: Path) -> Iterator[Glance]:
    """The queue in `home`, to be read. Raises GlanceError where it is not one of this release's form."""
    # A file that is not there is not made, and one that is there not changed (https://sqlite.org/uri.html).
    address = f"file:{quote(str(home / DATABASE), errors='surrogateescape')}?mode=ro"
    try:
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise GlanceError(str(error)) from error
    try:
        # Never an exception because of bytes in a damaged column.
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        found = Glance(connection)
        form = found._rows("SELECT value FROM trainguard_meta WHERE key = 'schema'", ())
        if [row["value"] for row in form] != [str(SCHEMA_VERSION)]:
            raise GlanceError("tables of another form")
        try:
            yield found
        except (KeyError, TypeError, ValueError) as error:  # a column that is missing, or of another kind
            raise GlanceError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _within(column: str, values: Collection[str] | None) -> tuple[str, tuple[Any, ...]]:
    if values is None:
        return "", ()
    return f" AND {column} IN ({', '.join('?' * len(values))})", tuple(values)


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit  # SQLite: a negative limit is none
