"""The database of a queue: how it is opened, what its errors mean, and transactions that wait for their turn.

SQLite: one file beside the run, in a rollback journal unless the linked library has the repair of the WAL reset
(https://sqlite.org/wal.html#walresetbug, 3.51.3), `synchronous=EXTRA` (https://sqlite.org/pragma.html#pragma_synchronous:
with DELETE journals also the folder is synced after the journal is gone, so that no commit is undone by a power cut).
PostgreSQL: the same statements, the server's clock.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from trainguard.errors import TrainguardError, UsageError
from trainguard.facts.machine.mounts import is_network, mount_of, read_mounts

T = TypeVar("T")

# How long one statement waits for a lock before the transaction is given up and begun again, seconds.
_STATEMENT_SECONDS = 5.0
_WAL_REPAIRED = (3, 51, 3)

# Result codes of SQLite, the low byte (https://sqlite.org/rescode.html).
_SQLITE_WAIT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA})
# "the database file has been moved since it was opened": somebody deleted or replaced it (rescode.html).
_SQLITE_MOVED = 1032
# SQLSTATE of PostgreSQL (appendix A): serialization failure, deadlock, lock not available, the server goes down or
# comes up, classes 08 (connection) and 53 (too many connections, out of memory).
_POSTGRES_WAIT = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57014", "25P03"})
_POSTGRES_DISK_FULL = "53100"


class QueueError(TrainguardError):
    """The queue's database cannot do what was asked."""


class QueueBusyError(QueueError):
    """Others kept the database locked, or its server did not answer, for longer than anybody waits. Nothing was
    written; the same call may be made again."""


class QueueDiskError(QueueError):
    """The database cannot be written or read: the disk is full, broken or read-only. Nothing was written."""


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


class Database:
    """An open database, and the transactions on it. `place` is for messages and never has a password in it."""

    def __init__(self, engine: Engine, *, place: str, path: Path | None, busy_seconds: float) -> None:
        self.engine = engine
        self.place = place
        self.path = path
        self.busy_seconds = busy_seconds
        self.sqlite = path is not None

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
                    return work(tries)(connection)
            except Exception as error:
                # A connection that is being set up gives the driver's own exceptions, any other SQLAlchemy's.
                origin = error.orig if isinstance(error, DBAPIError) else error
                if not isinstance(origin, sqlite3.Error) and not _is_psycopg(origin):
                    raise
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
                problem = self._problem(origin, lost=lost)
                if problem is not None:
                    raise problem from error
                waited = time.monotonic() - start
                if waited >= self.busy_seconds:
                    raise QueueBusyError(
                        f"{self.place} was locked or did not answer for {waited:.0f} s ({_line(origin)}); end the "
                        "program that keeps it open, then try again"
                    ) from error
                # Full jitter, so that several waiting processes do not knock at the same instant (Brooker, "Exponential
                # Backoff and Jitter", AWS 2015).
                time.sleep(random.uniform(0.0, min(0.05 * 2.0 ** min(tries, 6), 2.0)))
                tries += 1

    @contextmanager
    def _transaction(self, reading: bool) -> Iterator[Connection]:
        with self.engine.connect() as plain:
            connection = plain.execution_options(reading=reading)
            with connection.begin():
                yield connection

    def _problem(self, origin: BaseException | None, *, lost: bool) -> BaseException | None:
        """What to raise, None where waiting may help. `lost`: the connection is gone."""
        if isinstance(origin, sqlite3.Error):
            return self._sqlite_problem(origin)
        state = getattr(origin, "sqlstate", None) or ""
        if state == _POSTGRES_DISK_FULL:
            return QueueDiskError(f"{self.place} has no space left; free some on the database's server")
        if lost or state in _POSTGRES_WAIT or state[:2] in ("08", "53"):
            return None
        if not state and type(origin).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
            return None
        return origin

    def _sqlite_problem(self, origin: sqlite3.Error) -> BaseException | None:
        assert self.path is not None
        code = getattr(origin, "sqlite_errorcode", None)
        low = None if code is None else code & 0xFF
        text = str(origin)
        if low in _SQLITE_WAIT:
            return None
        if low in _SQLITE_CORRUPT or code == _SQLITE_MOVED or "no such table" in text or "no such column" in text:
            return QueueCorruptError(self.path, text)
        if low in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return QueueDiskError(f"{self.place} cannot be written ({text}); free space on its disk")
        if low in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return QueueDiskError(f"{self.place} cannot be opened for writing ({text}); check its owner and its mount")
        return QueueError(f"{self.place}: {text}") if low is None else origin


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

    return Database(engine, place=str(path), path=path, busy_seconds=busy_seconds)


def open_postgres(url: str, *, busy_seconds: float) -> Database:
    """A database on a PostgreSQL server. Raises UsageError for an address that is none, or without its driver."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UsageError("the database's address is not one; write postgresql://user@host/database") from error
    if parsed.drivername.partition("+")[0] not in ("postgresql", "postgres"):
        raise UsageError(
            f"a queue cannot be kept in {parsed.drivername!r}; write postgresql://user@host/database, or leave the "
            "address out for SQLite"
        )
    place = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
    # Every wait of the network ends (libpq-connect): a server that is gone must not hold up the daemon.
    limits = {
        "connect_timeout": "10",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
        "application_name": "trainguard",
        "client_encoding": "utf8",
    }
    query = {**limits, **{key: value for key, value in parsed.query.items() if key in limits}}
    try:
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg", query={**parsed.query, **query}),
            pool_size=4,
            max_overflow=8,
            pool_pre_ping=True,
            use_native_hstore=False,  # a question less with every connection
            # Statements prepared on the server do not survive a pooler between (psycopg: prepared statements).
            connect_args={"prepare_threshold": None},
        )
    except ImportError as error:
        raise UsageError(
            f"PostgreSQL needs a driver that is not installed ({error}); run: pip install 'trainguard[daemon]'"
        ) from error

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        try:
            with connection.cursor() as cursor:
                # A machine that vanishes in the middle of a transaction must not keep its locks.
                cursor.execute(
                    "SET synchronous_commit = on; SET idle_in_transaction_session_timeout = '30s'; "
                    "SET lock_timeout = '10s'; SET statement_timeout = '60s'"
                )
            connection.commit()
        except BaseException:
            connection.close()
            raise

    return Database(engine, place=place, path=None, busy_seconds=busy_seconds)


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


def _line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
