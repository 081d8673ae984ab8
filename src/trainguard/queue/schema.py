"""The tables of a queue, the same on SQLite and PostgreSQL, and the number that says which form they have."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
)

from trainguard.errors import UsageError
from trainguard.queue.records import SCHEMA_VERSION, STATES

# Any number, the same in every release: the advisory lock under which one daemon of several makes the tables.
_MAKING_TABLES = 7_219_030_551

_Id = BigInteger().with_variant(Integer(), "sqlite")
METADATA = MetaData()

META = Table(
    "trainguard_meta",
    METADATA,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

# One row a chain of checkpoints. Whoever writes anything about its files locks this row first (PostgreSQL), so that the
# order of what happens is one. `fence` is the highest number handed out.
LINEAGES = Table(
    "trainguard_lineages",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("lineage", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    # The queue's own clock: `order_time` at the machine's time `order_wall` (see order.py).
    Column("order_time", Double, nullable=False),
    Column("order_wall", Double, nullable=False),
    Column("paused", Text),
    Column("paused_at", Double),
)

FILES = Table(
    "trainguard_files",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("lineage_key", String(64), nullable=False),
    Column("lineage", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    # SHA-256 of the origin as it was given: the text column may hold escapes, and an index of PostgreSQL takes no more
    # than a third of a page.
    Column("origin_key", String(64), nullable=False),
    Column("path_hint", Text),
    Column("priority", String(10), nullable=False),
    Column("state", String(12), nullable=False),
    Column("state_since", Double, nullable=False),
    Column("accepted_at", Double, nullable=False),
    Column("ordered_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("place", Integer, nullable=False, server_default="0"),
    Column("moved", Integer, nullable=False, server_default="0"),
    Column("held_from", String(12)),
    Column("cause", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Double),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Double),
    Column("step_before", BigInteger),
    Column("step", BigInteger),
    Column("planned_steps", BigInteger),
    Column("checkpoint", Text),
    Column("same_as", BigInteger),
    Column("memory", Text, nullable=False, server_default="{}"),
    # What a person asked for while a daemon worked on the file: "held" or "failed", done when the daemon lets go.
    Column("wanted", String(12)),
    Column("wanted_cause", Text),
    UniqueConstraint("lineage_key", "origin_key", name="trainguard_files_origin"),
    CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in STATES) + ")", name="trainguard_files_state"),
    sqlite_autoincrement=True,  # the number of a file is never given to another one
)
Index("trainguard_files_order", FILES.c.lineage_key, FILES.c.state, FILES.c.due_at)
Index("trainguard_files_content", FILES.c.lineage_key, FILES.c.sha256)
# The database itself refuses a second file in training in one lineage. As text: `Index(postgresql_where=...)` would
# load the whole dialect of PostgreSQL where SQLite is used.
_INDEX = "trainguard_files_one_in_training"
_ONE_IN_TRAINING = (
    f"CREATE UNIQUE INDEX IF NOT EXISTS {_INDEX} ON trainguard_files (lineage_key) "
    "WHERE state IN ('training', 'verifying')"
)

EVENTS = Table(
    "trainguard_events",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("lineage_key", String(64), nullable=False),
    Column("time", Double, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("file_id", BigInteger),
    Column("from_state", String(12)),
    Column("to_state", String(12)),
    Column("cause", Text),
    Column("attempt", Integer),
    Column("owner", Text),
    Column("data", Text, nullable=False, server_default="{}"),
    sqlite_autoincrement=True,
)
Index("trainguard_events_of_file", EVENTS.c.file_id, EVENTS.c.id)

WORKERS = Table(
    "trainguard_workers",
    METADATA,
    Column("owner_key", String(64), primary_key=True),
    Column("lineage_key", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("lineage", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", Double, nullable=False),
    Column("seen", Double, nullable=False),
    Column("doing", Text, nullable=False),
)

FITS = Table(
    "trainguard_fits",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("named", Text, nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("gradient_accumulation", Integer, nullable=False),
    Column("time", Double, nullable=False),
)

OUTBOX = Table(
    "trainguard_outbox",
    METADATA,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("lineage_key", String(64), nullable=False),
    Column("alert_key", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("time", Double, nullable=False),
    Column("severity", String(10), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("file_id", BigInteger),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_try", Double, nullable=False),
    Column("delivered", Text, nullable=False, server_default="{}"),
    Column("closed", Integer, nullable=False, server_default="0"),
    UniqueConstraint("lineage_key", "alert_key", name="trainguard_outbox_once"),
    sqlite_autoincrement=True,
)
Index("trainguard_outbox_open", OUTBOX.c.lineage_key, OUTBOX.c.closed, OUTBOX.c.next_try)

# Who sends an alert now, until when by the server's clock (outgoing.py). A table of its own, so that the form of the
# others stays what it was.
CLAIMS = Table(
    "trainguard_claims",
    METADATA,
    Column("outbox_id", _Id, primary_key=True, autoincrement=False),
    Column("claimant", String(32), nullable=False),
    Column("owner", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
)


def has_tables(connection: Connection) -> bool:
    """Whether the tables are there; none of them is made."""
    return bool(inspect(connection).has_table(META.name))


def make_tables(connection: Connection, *, place: str) -> None:
    """Makes what is missing. Raises UsageError for tables of another release or program, or a database that cannot hold
    names."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        # SQL_ASCII takes any bytes as they are (PostgreSQL: character set support), and the client sends UTF-8.
        if encoding not in ("UTF8", "SQL_ASCII"):
            raise UsageError(
                f"{place} is kept as {encoding}, which cannot hold every file name; make it anew with createdb -E UTF8 "
                "-T template0"
            )
        # CREATE TABLE IF NOT EXISTS of two sessions at once fails in one of them (pg_type_typname_nsp_index).
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING_TABLES})")
    METADATA.create_all(connection)
    if connection.dialect.name == "postgresql":
        _check_columns(connection, place)
    connection.exec_driver_sql(_ONE_IN_TRAINING)
    if not _check_version(connection, place):
        connection.execute(insert(META).values(key="schema", value=str(SCHEMA_VERSION)))


def is_ready(connection: Connection, *, place: str) -> bool:
    """Whether there is nothing left to make; PostgreSQL only. Raises UsageError as `make_tables` does."""
    there = _check_columns(connection, place)
    # In the transaction of its tables, but a person may drop an index that seems to be of no use.
    index = connection.exec_driver_sql(f"SELECT to_regclass('{_INDEX}')").scalar_one()
    return there == set(METADATA.tables) and index is not None and _check_version(connection, place)


def _check_columns(connection: Connection, place: str) -> set[str]:
    """Which of the tables are there. Raises UsageError where one of them is not of this program."""
    found = inspect(connection).get_multi_columns(filter_names=list(METADATA.tables))
    for (_, table), columns in found.items():
        missing = set(METADATA.tables[table].columns.keys()) - {column["name"] for column in columns}
        if missing:
            raise UsageError(
                f"{place} has a table {table} that is not this trainguard's (it has no column "
                f"{', '.join(sorted(missing))}); name a database of its own: createdb DATABASE"
            )
    return {table for _, table in found}


def _check_version(connection: Connection, place: str) -> bool:
    """Whether the form of the tables is written down. Raises UsageError for another release's."""
    version = connection.execute(select(META.c.value).where(META.c.key == "schema")).scalar_one_or_none()
    if version is None or version == str(SCHEMA_VERSION):
        return version is not None
    if not str(version).isdigit() or int(version) > SCHEMA_VERSION:
        raise UsageError(
            f"{place} was written by a newer trainguard (tables of form {version}, this one knows {SCHEMA_VERSION}); "
            "upgrade: pip install -U 'trainguard[daemon]'"
        )
    raise UsageError(
        f"{place} was written by an older trainguard (tables of form {version}, this one knows {SCHEMA_VERSION}); let "
        "that release finish its files, then name an empty database"
    )
