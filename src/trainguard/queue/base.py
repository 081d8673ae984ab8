"""What all parts of a queue share: the database, its lineage, its owner, and how something is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from trainguard.errors import UsageError
from trainguard.queue.engine import Database
from trainguard.queue.order import advance, order_now
from trainguard.queue.records import LEASED, TRANSITIONS, QueuedFile, State
from trainguard.queue.rows import SQLITE_LINEAGE, file_of, key_of, mended, plain_text, rows_of, short, to_json
from trainguard.queue.schema import EVENTS, FILES, LINEAGES


def lineage_key(database: Database, lineage: str) -> str:
    """What the rows of a lineage have in common. An SQLite file has one lineage, whatever its folder is called by now:
    a folder that was moved keeps its queue."""
    return key_of(SQLITE_LINEAGE) if database.sqlite else key_of("lineage", lineage)


class RefusedError(UsageError):
    """What was asked for does not fit the state that the file is in, or there is no such file. Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A transaction that has the lineage for itself. `now` is the database's clock, `order` that of the order."""

    connection: Connection
    now: float
    order: float
    fence: int
    paused: str | None


class Base:
    """The database of a queue, seen by one owner for one lineage."""

    def __init__(
        self,
        database: Database,
        *,
        lineage: str,
        owner: str,
        max_wait_hours: float,
        lease_seconds: float,
        key: str | None = None,
    ) -> None:
        self.database = database
        self.lineage = plain_text(lineage)
        self.owner = plain_text(owner)
        self.max_wait_hours = max_wait_hours
        self.lease_seconds = lease_seconds
        self._key = key if key is not None else lineage_key(database, lineage)
        # Leases that this object took, (file, fence): what else bears the owner's name was its predecessor's.
        self._held: set[tuple[int, int]] = set()
        # Leases that it gave up without the database, which still has them as its own.
        self._given_up: set[tuple[int, int]] = set()

    @property
    def key(self) -> str:
        """What the rows of the lineage have in common: `lineage` is what people call it, and may be another path."""
        return self._key

    def _turn(self, connection: Connection) -> Turn:
        row = connection.execute(select(LINEAGES).where(LINEAGES.c.key == self._key).with_for_update()).mappings().one()
        now = self.database.now(connection)
        order = order_now(row["order_time"], row["order_wall"], now)
        advance(connection, self._key, order, now)
        return Turn(connection=connection, now=now, order=order, fence=row["fence"], paused=row["paused"])

    def _row(self, connection: Connection, number: int) -> Mapping[str, Any]:
        """The row of a file of this lineage. Raises RefusedError where there is none."""
        if not 0 < number < 2**63:
            raise RefusedError(f"there is no file {number} in the queue; see: trainguard queue list")
        rows = rows_of(connection, select(FILES).where(FILES.c.id == number, FILES.c.lineage_key == self._key))
        if not rows:
            raise RefusedError(f"there is no file {number} in the queue; see: trainguard queue list")
        return rows[0]

    def _file(self, turn: Turn, number: int) -> QueuedFile:
        row = self._row(turn.connection, number)
        try:
            return file_of(row)
        except ValueError:
            self._put_aside(turn, row)
            return file_of(self._row(turn.connection, number))

    def _put_aside(self, turn: Turn, row: Mapping[str, Any]) -> None:
        """Holds a row that cannot be read, so that it blocks nobody; what stood in it is kept in its history."""
        changes = mended(row)
        why = f"the queue's record of it was damaged ({', '.join(sorted(changes)) or 'unreadable'})"
        values = {
            **changes,
            "state": "held",
            "held_from": "accepted",
            "state_since": turn.now,
            "cause": f"{why}; check it, then run: trainguard queue release {row['id']}",
            "owner": None,
            "lease_until": None,
        }
        turn.connection.execute(update(FILES).where(FILES.c.id == row["id"]).values(**values))
        was = {name: str(row[name])[:1000] for name in changes}
        self._note(turn, "transition", file_id=row["id"], to_state="held", cause=why, data={"damaged": was})

    def _note(
        self,
        turn: Turn,
        kind: str,
        *,
        file_id: int | None = None,
        from_state: State | None = None,
        to_state: State | None = None,
        cause: str | None = None,
        attempt: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        turn.connection.execute(
            insert(EVENTS).values(
                lineage_key=self._key,
                time=turn.now,
                kind=plain_text(kind)[:40],
                file_id=file_id,
                from_state=from_state,
                to_state=to_state,
                cause=short(cause),
                attempt=attempt,
                owner=self.owner,
                data=to_json(data or {}),
            )
        )

    def _pass_on(
        self, turn: Turn, file: QueuedFile, state: State, *, cause: str | None, values: Mapping[str, Any] | None = None
    ) -> QueuedFile:
        """A transition and its event. Raises RefusedError for one that is none of TRANSITIONS."""
        if state not in TRANSITIONS[file.state]:
            raise RefusedError(f"file {file.id} ({file.name}) is {file.state} and cannot become {state}")
        changes: dict[str, Any] = {"state": state, "state_since": turn.now, "cause": short(cause), **(values or {})}
        if state not in LEASED:
            changes |= {"owner": None, "lease_until": None}
            self._held.discard((file.id, file.fence))
        turn.connection.execute(update(FILES).where(FILES.c.id == file.id).values(**changes))
        self._note(
            turn,
            "transition",
            file_id=file.id,
            from_state=file.state,
            to_state=state,
            cause=cause,
            attempt=changes.get("attempts", file.attempts) or None,
        )
        return self._file(turn, file.id)

    def _next_fence(self, turn: Turn) -> int:
        """A number higher than all handed out in this lineage."""
        return int(
            turn.connection.execute(
                update(LINEAGES)
                .where(LINEAGES.c.key == self._key)
                .values(fence=LINEAGES.c.fence + 1)
                .returning(LINEAGES.c.fence)
            ).scalar_one()
        )
