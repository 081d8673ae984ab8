"""Which folder belongs to a lineage, as its database knows it: for several machines that share a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select

from trainguard.queue.engine import QueueBusyError
from trainguard.queue.schema import LINEAGES, META

if TYPE_CHECKING:
    from trainguard.queue.store import Queue

# Any number, the same in every release: the advisory lock under which a folder is told.
_TELLING = 7_219_030_552
_PREFIX = "place:"


def told_place(queue: Queue) -> str | None:
    """The number of the lineage's folder; None where none is known."""
    return queue.database.read(lambda connection: _told(connection, _key(queue)))


def tell_place(queue: Queue, number: str) -> str:
    """Writes the number down where none is known; the one that stands there then. PostgreSQL only.

    Raises QueueBusyError where the folder has become another lineage's meanwhile: to be opened anew, as that one.
    """

    def work(connection: Connection) -> str:
        # One after the other: two daemons that begin at once must not both be the first.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TELLING})")
        connection.execute(select(LINEAGES.c.key).where(LINEAGES.c.key == queue.key).with_for_update())
        told = _told(connection, _key(queue))
        if told is None:
            if lineage_at(connection, number) is not None:
                raise QueueBusyError(f"another daemon has just begun in the folder of {queue.lineage}, by another path")
            connection.execute(insert(META).values(key=_key(queue), value=number))
        return told or number

    return queue.database.write(work)


def lineage_at(connection: Connection, number: str, *, preferred: str | None = None) -> str | None:
    """The key of the lineage whose folder bears this number, whatever its path is here: one folder may be mounted at
    several places, or reached by a link. None where none is known."""
    told = select(META.c.key).where(META.c.value == number, META.c.key.startswith(_PREFIX))
    starts = connection.execute(told.order_by(META.c.key)).scalars().all()
    keys = [
        str(key)
        for start in starts
        for key in connection.execute(
            select(LINEAGES.c.key).where(LINEAGES.c.key.startswith(start.removeprefix(_PREFIX)))
        ).scalars()
    ]
    return preferred if preferred in keys else keys[0] if keys else None


def _told(connection: Connection, key: str) -> str | None:
    found = connection.execute(select(META.c.value).where(META.c.key == key)).scalar_one_or_none()
    return None if found is None else str(found)


def _key(queue: Queue) -> str:
    """The column takes 40 characters; 32 hexadecimal digits tell any two lineages apart."""
    return f"{_PREFIX}{queue.key[:32]}"
