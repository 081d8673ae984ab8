"""What goes between a daemon and everybody else through the database: pauses, wishes, who is there, fits."""

from __future__ import annotations

import os
import socket
from typing import Any

from sqlalchemy import Connection, insert, select, update

from trainguard.queue.base import Base
from trainguard.queue.records import Event, Worker
from trainguard.queue.rows import event_of, key_of, plain_text, rows_of, short, worker_of
from trainguard.queue.schema import EVENTS, FITS, LINEAGES, WORKERS

# A daemon announces itself every 20 s (daemon/loop.py); one that has not done so three times is gone.
_ALIVE_SECONDS = 60.0


class Control(Base):
    """Small tables that the command line and a daemon share."""

    _heard = 0

    @property
    def paused(self) -> str | None:
        """Why nothing is taken for training, None where it is."""
        why = self.database.read(
            lambda connection: connection.execute(
                select(LINEAGES.c.paused).where(LINEAGES.c.key == self._key)
            ).scalar_one_or_none()
        )
        return None if why is None else str(why)

    def pause(self, why: str) -> None:
        """Takes no file for training until `resume`, also after a restart. The one in training goes on."""
        self._set_paused(why, "paused")

    def resume(self) -> None:
        self._set_paused(None, "resumed")

    def event(
        self,
        kind: str,
        *,
        file_id: int | None = None,
        cause: str | None = None,
        attempt: int | None = None,
        **data: Any,
    ) -> None:
        """Writes down that something happened."""

        def work(connection: Connection) -> None:
            self._note(self._turn(connection), kind, file_id=file_id, cause=cause, attempt=attempt, data=data)

        self.database.write(work)

    def wish(self, name: str, **data: Any) -> None:
        """Asks the daemon that runs now for something: "drain", "stop". One that starts later does not hear of it."""
        self.event("wish", file_id=data.get("file_id"), **{**data, "wish": name})

    def wishes(self) -> list[Event]:
        """The wishes since this object was opened, each once."""

        def work(connection: Connection) -> list[Event]:
            rows = rows_of(
                connection,
                select(EVENTS)
                .where(EVENTS.c.id > self._heard, EVENTS.c.lineage_key == self._key, EVENTS.c.kind == "wish")
                .order_by(EVENTS.c.id),
            )
            return [event_of(row) for row in rows]

        events = self.database.read(work)
        if events:
            self._heard = events[-1].id
        return events

    def announce(self, doing: str = "idle") -> None:
        """Says that this owner's daemon lives, and what it does."""
        keys = {"owner_key": key_of(self.owner), "lineage_key": self._key}

        def work(connection: Connection) -> None:
            now = self.database.now(connection)
            mine = (WORKERS.c.owner_key == keys["owner_key"]) & (WORKERS.c.lineage_key == self._key)
            what = {"seen": now, "doing": short(doing), "pid": os.getpid(), "host": plain_text(socket.gethostname())}
            pid = connection.execute(select(WORKERS.c.pid).where(mine)).scalar_one_or_none()
            if pid is None:
                connection.execute(
                    insert(WORKERS).values(**keys, owner=self.owner, lineage=self.lineage, started=now, **what)
                )
            else:
                started = {} if pid == what["pid"] else {"started": now}
                connection.execute(update(WORKERS).where(mine).values(**what, **started))

        self.database.write(work)

    def workers(self) -> list[Worker]:
        """The daemons that have announced themselves for this lineage, the one seen last first."""

        def work(connection: Connection) -> list[Worker]:
            rows = rows_of(
                connection, select(WORKERS).where(WORKERS.c.lineage_key == self._key).order_by(WORKERS.c.seen.desc())
            )
            return [worker_of(row) for row in rows]

        return self.database.read(work)

    def others(self) -> list[Worker]:
        """The other daemons that serve this lineage now, as far as one can tell."""
        workers = self.workers()
        now = self.database.read(self.database.now) if workers else 0.0
        return [
            each
            for each in workers
            if each.owner != self.owner and each.doing != "stopped" and abs(now - each.seen) < _ALIVE_SECONDS
        ]

    def remember_fit(self, key: str, batch_size: int, gradient_accumulation: int) -> None:
        """Remembers which micro-batch fitted for `key` (model, method, length and GPU)."""

        def work(connection: Connection) -> None:
            values: dict[str, Any] = {
                "batch_size": batch_size,
                "gradient_accumulation": gradient_accumulation,
                "time": self._turn(connection).now,
            }
            mine = FITS.c.key == key_of(key)
            changed = connection.execute(update(FITS).where(mine).values(**values).returning(FITS.c.key))
            if changed.scalar_one_or_none() is None:
                connection.execute(insert(FITS).values(key=key_of(key), named=plain_text(key), **values))

        self.database.write(work)

    def fit(self, key: str) -> tuple[int, int] | None:
        """Micro-batch and gradient accumulation that fitted last, None where nothing is known."""

        def work(connection: Connection) -> tuple[int, int] | None:
            row = connection.execute(
                select(FITS.c.batch_size, FITS.c.gradient_accumulation).where(FITS.c.key == key_of(key))
            ).one_or_none()
            return None if row is None else (int(row[0]), int(row[1]))

        return self.database.read(work)

    def _set_paused(self, why: str | None, kind: str) -> None:
        def work(connection: Connection) -> None:
            turn = self._turn(connection)
            if turn.paused == short(why):
                return
            connection.execute(
                update(LINEAGES)
                .where(LINEAGES.c.key == self._key)
                .values(paused=short(why), paused_at=None if why is None else turn.now)
            )
            self._note(turn, kind, cause=why if why is not None else turn.paused)

        self.database.write(work)
