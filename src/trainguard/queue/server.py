"""A queue on a PostgreSQL server: how it is opened, how long anybody waits for it, and what its errors mean.

What passes by itself (a restart, a server that is away, a lock, too many connections) is waited for; what a person has
to mend is said in one line with what to do. No message has the password in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from trainguard.errors import UsageError
from trainguard.queue.engine import Database, QueueDiskError, QueueError, QueueRefusedError

ADDRESS = "postgresql://user@host/database"
# How long the answer to one statement is waited for. The server ends a statement that waits for a lock after 10 s, and
# any after 60 (below); but one that hangs, or a machine that is gone, ends nothing. Less than what a lease of 30 s
# leaves between two renewals, so that the loop comes round before it has to let go of its run.
ANSWER_SECONDS = 12.0
_CONNECT_SECONDS = 5

# SQLSTATE, appendix A of PostgreSQL's documentation. What passes: serialization failure, deadlock, lock not available,
# the server goes down or comes up, a statement or a session that was ended; classes 08 (connection) and 53 (too many
# connections, out of memory).
_WAIT = frozenset({"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05", "57014", "25P03"})
_WAIT_CLASSES = ("08", "53")
_DISK_FULL, _READ_ONLY, _NO_RIGHTS = "53100", "25006", "42501"
# The server itself is in trouble: class 58 (errors of its system), XX (internal, damaged data).
_TROUBLE_CLASSES = ("58", "XX")
# No such table, column or function, or of another type: tables of another program, or dropped ones.
_OTHER_TABLES = frozenset({"42P01", "42703", "42804", "42883", "42809"})
# Classes of what a person has to mend: who may come in, no such database, no such schema, a database that was dropped.
_REFUSED_CLASSES = ("28", "3D", "3F")
_DROPPED = "57P04"
# A connection that is refused comes without a SQLSTATE (psycopg 3.3: libpq keeps it to itself), so its words have to
# do. In another language they are waited for as an outage is, and shown in the end.
_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    '" does not exist',
    "permission denied",
    "invalid connection option",
    "does not support SSL",
    "certificate verify failed",
    "root certificate file",
    "invalid port number",
    "invalid sslmode value",
    "invalid integer value",
    "is not currently accepting connections",
)


def open_postgres(url: str, *, busy_seconds: float) -> Database:
    """A database on a PostgreSQL server; nothing is asked of it yet. Raises UsageError for an address that is none, or
    without its driver."""
    parsed = _parsed(url)
    # Every wait of the network ends (libpq-connect): a server that is gone must not hold up the daemon.
    limits = {
        "connect_timeout": f"{_CONNECT_SECONDS}",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": f"{ANSWER_SECONDS * 1000:.0f}",
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
            # Values of statements hold names and paths of the user.
            hide_parameters=True,
        )
    except ImportError as error:
        raise UsageError(
            f"PostgreSQL needs a driver that is not installed ({error}); run: pip install 'trainguard[daemon]'"
        ) from error

    @event.listens_for(engine, "do_connect")
    def _connect(_: object, __: object, arguments: list[Any], named: dict[str, Any]) -> Any:
        return _patient().connect(*arguments, **named)

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

    place = shown(parsed)
    judge = _Postgres(engine=engine, place=place, password=str(parsed.password or parsed.query.get("password") or ""))
    return Database(engine, place=place, path=None, judge=judge, busy_seconds=busy_seconds)


def shown(address: URL) -> str:
    """An address for messages: without a password, wherever it stands in it."""
    known = {key: address.query[key] for key in ("host", "port") if key in address.query}
    plain = address.set(drivername="postgresql", query=known)
    return plain.render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    # Without the cause: what cannot be read is quoted there, and may be a part of the password.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UsageError(f"the database's address is not one; write {ADDRESS}") from None
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise UsageError(f"the database's address has port {parsed.port}; ports go to 65535, PostgreSQL's own is 5432")
    if parsed.drivername.partition("+")[0] not in ("postgresql", "postgres"):
        raise UsageError(
            f"a queue cannot be kept in {parsed.drivername!r}; write {ADDRESS}, or leave the address out for SQLite"
        )
    if "@" in (parsed.host or "") or "@" in (parsed.database or ""):
        raise UsageError(
            "the database's address has more than one '@' in it; write those of the user and the password as %40, "
            f"/ as %2F, : as %3A, # as %23: {ADDRESS}"
        )
    return parsed


@cache
def _patient() -> Any:
    """The driver's connection, whose waits end. A class of a module that is loaded only where a server is used."""
    import psycopg

    class Patient(psycopg.Connection[Any]):
        """A connection that is closed when an answer does not come in time: in the middle of a statement, nothing else
        could be asked on it."""

        def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
            def late() -> Exception:
                self.close()
                return psycopg.OperationalError(f"no answer in {ANSWER_SECONDS:.0f} s")

            return super().wait(_limited(gen, late), *arguments, **named)

    return Patient


def _limited(gen: Generator[Any, Any, Any], late: Callable[[], Exception]) -> Generator[Any, Any, Any]:
    """As `gen`, which yields what it waits for and is sent what has happened, nothing (0) several times a second
    (psycopg 3.3, waiting.py); raises `late()` where that goes on for too long."""
    until = time.monotonic() + ANSWER_SECONDS
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                until = time.monotonic() + ANSWER_SECONDS
            elif time.monotonic() > until:
                raise late()
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Postgres:
    """What errors of the driver and of the server mean."""

    engine: Engine
    place: str
    password: str

    def problem(self, origin: BaseException, *, lost: bool) -> BaseException | None:
        state = str(getattr(origin, "sqlstate", None) or "")
        if not state and (refused := self._not_let_in(origin)) is not None:
            return refused
        if state == _DISK_FULL:
            return QueueDiskError(f"{self.place} has no space left; free some on the database's server")
        if state == _READ_ONLY:
            # The primary is elsewhere now, as a rule: the next connection looks for it.
            self.engine.dispose()
            return QueueDiskError(
                f"{self.place} is read-only (a standby, or default_transaction_read_only is on); name the primary, or "
                "all servers: postgresql://user@/database?host=one,two&target_session_attrs=read-write"
            )
        if state == _DROPPED:
            return self._refused(origin)
        if lost or state in _WAIT or state[:2] in _WAIT_CLASSES:
            return None
        if not state and type(origin).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
            return None
        return self._of_a_statement(origin, state)

    def late(self, origin: BaseException, seconds: float) -> str:
        state = str(getattr(origin, "sqlstate", None) or "")
        words = self._words(origin)
        if state in ("55P03", "40001", "40P01"):
            return (
                f"{self.place} was locked for {seconds:.0f} s ({words}); end the transaction that holds it "
                "(SELECT pid, query FROM pg_stat_activity), then try again"
            )
        if state.startswith("53") or "too many c" in words or "connection slots are reserved" in words:
            return (
                f"{self.place} had no connection free for {seconds:.0f} s ({words}); raise max_connections of the "
                "server, or end what holds them, then try again"
            )
        return (
            f"{self.place} did not answer for {seconds:.0f} s ({words}); see whether the server runs and whether "
            "--database-url (queue.database_url) names it, then try again"
        )

    def _not_let_in(self, origin: BaseException) -> QueueError | None:
        """Where several servers are named, only if each of them refuses: one that is down comes back."""
        lines = [line for line in str(origin).splitlines() if line.strip().startswith("- ")] or [str(origin)]
        refused = all(any(words in line for words in _REFUSALS) for line in lines)
        return self._refused(origin) if refused else None

    def _of_a_statement(self, origin: BaseException, state: str) -> BaseException:
        if state == _NO_RIGHTS:
            return QueueRefusedError(
                f"{self.place} does not allow this user what a queue needs ({self._words(origin)}); give it a database "
                "of its own: createdb -O USER DATABASE"
            )
        if state in _OTHER_TABLES:
            return QueueRefusedError(
                f"{self.place} has not the tables of this trainguard ({self._words(origin)}): they were dropped, or "
                "are another program's; name a database of its own"
            )
        if state[:2] in _REFUSED_CLASSES:
            return self._refused(origin)
        if state[:2] in _TROUBLE_CLASSES:
            return QueueDiskError(f"{self.place} is in trouble ({self._words(origin)}); look into the server's log")
        return origin

    def _refused(self, origin: BaseException) -> QueueError:
        return QueueRefusedError(
            f"{self.place} refuses the connection ({self._words(origin)}); check user, password and database in "
            "--database-url or queue.database_url (or in ~/.pgpass)"
        )

    def _words(self, origin: BaseException) -> str:
        """The line of an error that says something: of several hosts that were tried, the last one's."""
        lines = [line.strip().removeprefix("- ") for line in str(origin).strip().splitlines() if line.strip()]
        first = lines[0] if lines else type(origin).__name__
        if first.startswith("Multiple connection attempts") and len(lines) > 1:
            first = lines[-1]
        return first.replace(self.password, "***") if len(self.password) > 3 else first
