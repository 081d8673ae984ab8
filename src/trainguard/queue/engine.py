"""The database of a queue: transactions that wait for their turn, and SQLite: how it is opened, what its errors mean.

SQLite: one file beside the run, in a rollback journal unless the linked library has the repair of the WAL reset
(https://sqlite.org/wal.html#walresetbug, 3.51.3), `synchronous=EXTRA` (https://sqlite.org/pragma.html#pragma_synchronous:
with DELETE journals also the folder is synced after the journal is gone, so that no commit is undone by a power cut).
PostgreSQL (server.py): the same statements, the server's clock.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from trainguard.errors import TrainguardError, UsageError
from trainguard.facts.machine.mounts import is_network, mount_of, read_mounts

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How long one statement waits for a lock before the transaction is given up and begun again, seconds.
_STATEMENT_SECONDS = 5.0
_WAL_REPAIRED = (3, 51, 3)

# Result codes of SQLite, the low byte (https://sqlite.org/rescode.html).
_SQLITE_WAIT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA})
# "the database file has been moved since it was opened": somebody deleted or replaced it (rescode.html).
_SQLITE_MOVED = 1032


class QueueError(TrainguardError):
    """The queue's database cannot do what was asked. `again`: the same has been raised before, and the database has not
    answered since; who writes a log has said so."""

    again = False


class QueueBusyError(QueueError):
    """Others kept the database locked, or its server did not answer, for longer than anybody waits. Nothing was
    written; the same call may be made again."""


class QueueDiskError(QueueError):
    """The database cannot be written or read: the disk is full, broken or read-only. Nothing was written."""


class QueueRefusedError(QueueError):
    """The server does not take this user, has no such database, or has other tables there. Nothing was written."""


class QueueCorruptError(QueueError):
    """The database is damaged or gone although there are files in custody. It is left as it is: `recover_queue` keeps
    it beside and builds the queue anew from the folders."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} cannot be read as a queue ({why}); start the daemon, which keeps the file beside and rebuilds the "
            f"queue from the folders of {path.parent}"
        )
        self.path = path
        self.why = why


def wall_clock() -> float:
    """Unix seconds of this machine. One place, so that tests can put the clock back."""
    return time.time()


class Judge(Protocol):
    """What an exception of a driver means for a transaction: what to raise, None where waiting may help. `lost`: the
    connection is gone. And what to say where that took too long."""

    def problem(self, origin: BaseException, *, lost: bool) -> BaseException | None: ...
    def late(self, origin: BaseException, seconds: float) -> str: ...


class Database:
    """An open database, and the transactions on it. `place` is for messages and never has a password in it."""

    def __init__(self, engine: Engine, *, place: str, path: Path | None, judge: Judge, busy_seconds: float) -> None:
        self.engine = engine
        self.place = place
        self.path = path
        self.busy_seconds = busy_seconds
        self.sqlite = path is not None
        self._judge = judge
        # Since when (monotonic) reading (True) and writing (False) has failed.
        self._failing: dict[bool, float] = {}

    def now(self, connection: Connection) -> float:
        """Unix seconds: of the server, so that machines agree on when a lease ends; of this machine with SQLite."""
        if self.sqlite:
            return wall_clock()
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._run(lambda _: work, reading=True)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in one transaction that nobody else writes beside, again from its start if it has to wait."""
        return self._run(lambda _: work, reading=False)

    def write_again(self, work: Callable[[int], Callable[[Connection], T]]) -> T:
        """As `write`; `work` is told how often it was begun before, because a lost connection leaves open whether the
        commit before it arrived."""
        return self._run(work, reading=False)

    def close(self) -> None:
        self.engine.dispose()

    def _run(self, work: Callable[[int], Callable[[Connection], T]], *, reading: bool) -> T:
        start = time.monotonic()
        tries = 0
        while True:
            try:
                with self._transaction(reading) as connection:
                    result = work(tries)(connection)
            except Exception as error:
                # A connection that is being set up gives the driver's own exceptions, any other SQLAlchemy's.
                origin = error.orig if isinstance(error, DBAPIError) else error
                if not isinstance(origin, sqlite3.Error) and not _is_psycopg(origin):
                    raise
                assert origin is not None
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
                problem = self._judge.problem(origin, lost=lost)
                waited = time.monotonic() - start
                if problem is None and waited >= self.busy_seconds:
                    problem = QueueBusyError(self._judge.late(origin, waited))
                if isinstance(problem, QueueError):
                    problem.again = reading in self._failing
                    self._failing.setdefault(reading, start)
                    # Neither the statement nor its values, of which the chain of exceptions is full, are for a log.
                    raise problem from None
                if problem is not None:
                    raise problem from error
                # Full jitter, so that several waiting processes do not knock at the same instant (Brooker, "Exponential
                # Backoff and Jitter", AWS 2015).
                time.sleep(random.uniform(0.0, min(0.05 * 2.0 ** min(tries, 6), 2.0)))
                tries += 1
            else:
                self._answers(reading)
                return result

    def _answers(self, reading: bool) -> None:
        """After a transaction that went well. A write says that reading goes too, and not the other way round."""
        failing = self._failing
        if not failing or (reading and False in failing):
            return
        # Replaced and not emptied: another thread, whose transaction went well too, may be between these lines.
        self._failing = {}
        silent = time.monotonic() - min(list(failing.values()))
        logger.warning("%s answers again, after %.0f s", self.place, silent)

    @contextmanager
    def _transaction(self, reading: bool) -> Iterator[Connection]:
        with self.engine.connect() as plain:
            connection = plain.execution_options(reading=reading)
            with connection.begin():
                yield connection


@dataclass(frozen=True, slots=True)
class _Sqlite:
    """What errors of SQLite mean."""

    path: Path

    def problem(self, origin: BaseException, *, lost: bool) -> BaseException | None:
        del lost  # there is no connection that could be
        code = getattr(origin, "sqlite_errorcode", None)
        low = None if code is None else code & 0xFF
        text = str(origin)
        if low in _SQLITE_WAIT:
            return None
        if low in _SQLITE_CORRUPT or code == _SQLITE_MOVED or "no such table" in text or "no such column" in text:
            return QueueCorruptError(self.path, text)
        if low in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return QueueDiskError(f"{self.path} cannot be written ({text}); free space on its disk")
        if low in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return QueueDiskError(f"{self.path} cannot be opened for writing ({text}); check its owner and its mount")
        return QueueError(f"{self.path}: {text}") if low is None else origin

    def late(self, origin: BaseException, seconds: float) -> str:
        return (
            f"{self.path} was locked for {seconds:.0f} s ({origin}); end the program that keeps it open, then try again"
        )


def open_sqlite(path: Path, *, busy_seconds: float) -> Database:
    """The database file, made where there is none. Raises UsageError on a network file system: its locks are not those
    that SQLite needs (https://sqlite.org/faq.html#q5)."""
    refuse_network(path.parent)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": min(_STATEMENT_SECONDS, busy_seconds), "check_same_thread": False},
        pool_size=4,
        max_overflow=8,
    )
    journal = "wal" if sqlite3.sqlite_version_info >= _WAL_REPAIRED else "delete"

    # SQLite's first transaction must know that it will write: one that begins to read and then writes can find itself
    # locked out at once, whatever the timeout (https://sqlite.org/lang_transaction.html).
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        # Never an exception because of bytes in a damaged column.
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        try:
            for pragma in (f"journal_mode={journal}", "synchronous=EXTRA", "foreign_keys=ON", "cache_size=-4000"):
                connection.execute(f"PRAGMA {pragma}").close()
        except BaseException:
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return Database(engine, place=str(path), path=path, judge=_Sqlite(path), busy_seconds=busy_seconds)


def refuse_network(folder: Path) -> None:
    """Raises UsageError where `folder` lies on another machine's disk."""
    mounts = read_mounts()
    mount = None if mounts is None else mount_of(os.path.realpath(folder), mounts)
    if mount is not None and is_network(mount.filesystem):
        raise UsageError(
            f"{folder} is on a network file system ({mount.filesystem} from {mount.source}), whose locks do not keep "
            "an SQLite file whole; put output_dir on a local disk, or use --database-url postgresql://user@host/database"
        )


def _is_psycopg(error: BaseException | None) -> bool:
    return error is not None and type(error).__module__.partition(".")[0] == "psycopg"
