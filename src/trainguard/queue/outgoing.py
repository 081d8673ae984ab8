"""Alerts on their way: each is in the database once, and one sender at a time tries to deliver it.

With PostgreSQL several daemons send from one outbox, which may share no folder. Whoever sends an alert claims it first,
until a time by the server's clock, in the way of a lease (leases.py). A sender that dies loses its claim by that clock,
and another one sends: none is lost. Nobody sends what another has claimed: none is doubled, as long as a sender ends
before its claim does. With SQLite there is one sender, because of the lock that it holds for life, and no clock is
asked: whatever was claimed by another one is a dead one's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from trainguard.queue.base import Base
from trainguard.queue.records import OutboxEntry
from trainguard.queue.rows import entry_of, from_json, key_of, plain_text, rows_of, short, to_json
from trainguard.queue.schema import CLAIMS, OUTBOX


class Outgoing(Base):
    """The outbox of a lineage."""

    # Another one for each open queue: what a dead process has claimed is not its successor's.
    _claimant: str | None = None

    def clock(self) -> float:
        """Unix seconds of the database: what the times of the outbox are compared with."""
        return self.database.read(self.database.now)

    def alert(
        self, key: str, severity: str, title: str, body: str, file_id: int | None = None, after_seconds: float = 0.0
    ) -> bool:
        """Puts an alert into the outbox, to be delivered after `after_seconds`. False where this key was there before,
        delivered or not: then nothing changes."""

        def work(connection: Connection) -> bool:
            turn = self._turn(connection)
            alert_key = key_of(key)
            mine = (OUTBOX.c.lineage_key == self._key) & (OUTBOX.c.alert_key == alert_key)
            if connection.execute(select(OUTBOX.c.id).where(mine)).scalar_one_or_none() is not None:
                return False
            connection.execute(
                insert(OUTBOX).values(
                    lineage_key=self._key,
                    alert_key=alert_key,
                    key=short(key),
                    time=turn.now,
                    severity=plain_text(severity)[:10],
                    title=short(title),
                    body=plain_text(body),
                    file_id=file_id,
                    next_try=turn.now + after_seconds,
                )
            )
            return True

        return self.database.write(work)

    def outbox(self, now: float | None = None) -> list[OutboxEntry]:
        """The alerts that are due at `now` (unix seconds; the database's clock if not given), not closed and not on
        their way from another sender, oldest first."""

        def work(connection: Connection) -> list[OutboxEntry]:
            clock = self.database.now(connection)
            at = clock if now is None else now
            # An entry from the future: the clock was put back since, so its pause says nothing.
            due = or_(OUTBOX.c.next_try <= at, OUTBOX.c.time > at)
            conditions = [OUTBOX.c.lineage_key == self._key, OUTBOX.c.closed == 0, due]
            if not self.database.sqlite:
                claimed = select(CLAIMS.c.outbox_id).where(CLAIMS.c.outbox_id == OUTBOX.c.id, self._others(clock))
                conditions.append(~claimed.exists())
            rows = rows_of(connection, select(OUTBOX).where(*conditions).order_by(OUTBOX.c.id))
            return [entry_of(row) for row in rows]

        return self.database.read(work)

    def stuck_alerts(self) -> tuple[int, float | None]:
        """How many alerts were tried and are not delivered yet, and of when the oldest is (unix seconds)."""

        def work(connection: Connection) -> tuple[int, float | None]:
            stuck = (OUTBOX.c.lineage_key == self._key, OUTBOX.c.closed == 0, OUTBOX.c.tries > 0)
            count, oldest = connection.execute(select(func.count(), func.min(OUTBOX.c.time)).where(*stuck)).one()
            return int(count), float(oldest) if oldest is not None else None

        return self.database.read(work)

    def claim_alert(self, entry: OutboxEntry, seconds: float) -> OutboxEntry | None:
        """The alert as it is now, for this object alone to send for so many seconds.

        None where another one has closed it or tried it since `entry` was read, or is at it now.
        """

        def look(connection: Connection) -> OutboxEntry | None:
            mine = (OUTBOX.c.id == entry.id) & (OUTBOX.c.lineage_key == self._key)
            rows = rows_of(connection, select(OUTBOX).where(mine, OUTBOX.c.closed == 0, OUTBOX.c.tries == entry.tries))
            return entry_of(rows[0]) if rows else None

        def work(connection: Connection) -> OutboxEntry | None:
            now = self._turn(connection).now
            claim = CLAIMS.c.outbox_id == entry.id
            if connection.execute(select(CLAIMS.c.outbox_id).where(claim, self._others(now))).first() is not None:
                return None
            if (found := look(connection)) is None:
                return None
            if self._claimant is None:
                self._claimant = uuid.uuid4().hex
            connection.execute(delete(CLAIMS).where(claim))
            values = {"claimant": self._claimant, "owner": self.owner, "since": now, "until": now + seconds}
            connection.execute(insert(CLAIMS).values(outbox_id=entry.id, **values))
            return found

        return self.database.read(look) if self.database.sqlite else self.database.write(work)

    def delivered(self, number: int, channel: str) -> None:
        """Writes down that `channel` took the alert."""

        def work(connection: Connection) -> None:
            turn = self._turn(connection)
            row = connection.execute(select(OUTBOX.c.delivered).where(OUTBOX.c.id == number)).one_or_none()
            if row is not None:
                channels = {**_object(row[0]), channel: turn.now}
                connection.execute(update(OUTBOX).where(OUTBOX.c.id == number).values(delivered=to_json(channels)))

        self.database.write(work)

    def undelivered(self, number: int, next_try: float) -> None:
        """Counts a try that some channel did not take; the entry is due again at `next_try`, by `clock`."""
        self._change_entry(number, {"tries": OUTBOX.c.tries + 1, "next_try": next_try})

    def close_alert(self, number: int) -> None:
        """The alert leaves the outbox: all channels have it, or it is given up. Its row is kept."""
        self._change_entry(number, {"closed": 1})

    def _change_entry(self, number: int, values: Mapping[str, Any]) -> None:
        def work(connection: Connection) -> None:
            self._turn(connection)
            connection.execute(
                update(OUTBOX).where(OUTBOX.c.id == number, OUTBOX.c.lineage_key == self._key).values(**values)
            )
            if not self.database.sqlite:
                connection.execute(
                    delete(CLAIMS).where(CLAIMS.c.outbox_id == number, CLAIMS.c.claimant == self._claimant)
                )

        self.database.write(work)

    def _others(self, now: float) -> ColumnElement[bool]:
        """Claims of other senders that hold at `now`. One from the future: the server's clock was put back since."""
        return (CLAIMS.c.claimant != (self._claimant or "")) & (CLAIMS.c.until > now) & (CLAIMS.c.since <= now)


def _object(text: str) -> dict[str, Any]:
    try:
        return from_json(text)
    except ValueError:
        return {}
