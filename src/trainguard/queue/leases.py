"""Who works on a file: taking, renewing, passing on, and taking up what a dead daemon left.

A lease is never judged by clocks alone. Every taking gets a number (the fence) that is higher than all before it in
the lineage, and every write of a worker names its own: where the row has another one, the write is refused. So a daemon
that slept through the end of its lease can do no harm (Kleppmann, "How to do distributed locking", 2016).

With SQLite there is one daemon a queue, because of the kernel lock that it holds for life: whatever another process
left is a dead one's, and no clock is asked. With PostgreSQL the server's clock says when a lease has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from trainguard.queue.base import Base, Turn
from trainguard.queue.codes import queue_finding
from trainguard.queue.order import overtaken
from trainguard.queue.records import ENDED, LEASED, Happened, Lease, LostLeaseError, QueuedFile, State
from trainguard.queue.rows import file_of, rows_of, short, to_json
from trainguard.queue.schema import FILES, LINEAGES

# Columns that a worker may write beside a transition.
_FIELDS = frozenset(
    {"attempts", "not_before", "step_before", "step", "planned_steps", "checkpoint", "memory", "same_as"}
)
_IN_TRAINING: tuple[State, ...] = ("training", "verifying")


class Leases(Base):
    """The daemon's side of a queue."""

    def take(
        self, states: tuple[State, ...] = ("waiting",), to: State = "training", *, only: int | None = None
    ) -> Lease | None:
        """The file that is next, now in state `to` and leased to this owner; None where nothing is to be done.

        Takes nothing for training while the queue is paused or another file of the lineage is in training. A file whose
        pause (`not_before`) has not ended is passed over, as is a row that cannot be read (it is held). `attempts`
        counts the takings for training. `only` is the number of the one file that may be taken. Raises QueueBusyError.
        """

        # An idle daemon asks for ever, and must neither write nor sync for that.
        if not self.database.read(lambda connection: self._may_take(connection, states, to, only)):
            return None

        def work(tries: int) -> Callable[[Connection], Lease | None]:
            return lambda connection: self._take(self._turn(connection), states, to, only, again=tries > 0)

        lease = self.database.write_again(work)
        if lease is not None:
            self._held.add((lease.file.id, lease.fence))
        return lease

    def renew(self, lease: Lease) -> Lease:
        """The same lease with a later end. Raises LostLeaseError where another daemon has the file by now."""

        def work(connection: Connection) -> Lease:
            now = self.database.now(connection)
            until = now + self.lease_seconds
            done = connection.execute(
                update(FILES).where(self._mine(lease)).values(lease_until=until).returning(FILES.c.id)
            ).scalar_one_or_none()
            if done is None:
                raise self._lost(lease)
            row = self._row(connection, lease.file.id)
            return Lease(file=file_of(row), owner=lease.owner, fence=lease.fence, until=until)

        return self.database.write(work)

    def move_to(
        self, lease: Lease, state: State, *, cause: str | None, event: Happened | None = None, **fields: Any
    ) -> QueuedFile:
        """Passes the file on. `fields` are columns (step, checkpoint, memory, attempts, planned_steps, step_before,
        not_before in unix seconds), or `delay_seconds`: a pause from now by the database's clock. `event` is written
        before the transition, in the same transaction: what led to it stands in the history once, or not at all.

        The lease ends where `state` is none in which a daemon works. What a person asked for meanwhile (to hold or to
        cancel) is done then, unless the file has ended. Raises LostLeaseError, RefusedError, QueueBusyError.
        """

        def work(tries: int) -> Callable[[Connection], QueuedFile]:
            return lambda connection: self._move(
                self._turn(connection), lease, state, cause, fields, event, again=tries > 0
            )

        return self.database.write_again(work)

    def update(self, lease: Lease, **fields: Any) -> QueuedFile:
        """Writes columns of a leased file without a transition. Raises LostLeaseError."""

        def work(connection: Connection) -> QueuedFile:
            turn = self._turn(connection)
            changed = turn.connection.execute(
                update(FILES).where(self._mine(lease)).values(**self._columns(turn, fields)).returning(FILES.c.id)
            ).scalar_one_or_none()
            if changed is None:
                raise self._lost(lease)
            return self._file(turn, lease.file.id)

        return self.database.write(work)

    def let_go(self, lease: Lease) -> None:
        """Forgets a lease that was given up without a word to the database, which did not answer: `adopt` takes the
        file up, here or elsewhere. Nothing of its worker may run any more."""
        self._held.discard((lease.file.id, lease.fence))
        self._given_up.add((lease.file.id, lease.fence))

    def adopt(self) -> list[Lease]:
        """Takes up the files whose worker is dead, each with a new fence, in the state that they were left in.

        With SQLite: all that this object did not take itself, so only who holds the daemon's lock may call it. With
        PostgreSQL: those whose lease has ended, and those of this owner's predecessor. An owner must therefore be the
        name of one machine and folder, under one daemon's lock.
        """

        mine = (FILES.c.lineage_key == self._key) & FILES.c.state.in_(tuple(LEASED))
        leased = self.database.read(lambda connection: rows_of(connection, select(FILES).where(mine)))
        if all((row["id"], row["fence"]) in self._held and row["owner"] == self.owner for row in leased):
            return []

        def work(connection: Connection) -> list[Lease]:
            turn = self._turn(connection)
            return [self._adopted(turn, row) for row in self._orphans(turn)]

        leases = self.database.write(work)
        self._held.update((lease.file.id, lease.fence) for lease in leases)
        return leases

    def _may_take(self, connection: Connection, states: tuple[State, ...], to: State, only: int | None) -> bool:
        asked = self._asked(states, self.database.now(connection), only)
        due = select(FILES.c.id).where(*asked)
        if connection.execute(due.limit(1)).first() is None:
            return False
        if to not in _IN_TRAINING:
            return True
        return connection.execute(select(LINEAGES.c.paused).where(LINEAGES.c.key == self._key)).scalar() is None

    def _rested(self, now: float) -> ColumnElement[bool]:
        # A pause that began later than now: the clock was put back, and the pause may be over since long.
        return or_(FILES.c.not_before.is_(None), FILES.c.not_before <= now, FILES.c.state_since > now)

    def _asked(self, states: tuple[State, ...], now: float, only: int | None) -> list[ColumnElement[bool]]:
        asked = [FILES.c.lineage_key == self._key, FILES.c.state.in_(states), self._rested(now)]
        return asked if only is None else [*asked, FILES.c.id == only]

    def _take(self, turn: Turn, states: tuple[State, ...], to: State, only: int | None, *, again: bool) -> Lease | None:
        if again and (taken := self._taken_unseen(turn, to)) is not None:
            return taken
        if to in _IN_TRAINING and (turn.paused is not None or self._training(turn)):
            return None
        while (row := self._next(turn, states, only)) is not None:
            try:
                file = file_of(row)
            except ValueError:
                self._put_aside(turn, row)
                continue
            other = overtaken(turn.connection, row, self.max_wait_hours) if to == "training" and only is None else None
            if other is not None:
                self._say_aged(turn, file, other)
            return self._lease(turn, file, to)
        return None

    def _training(self, turn: Turn) -> bool:
        """Whether a file of the lineage is in training. A damaged row there is held, and is none."""
        rows = rows_of(
            turn.connection, select(FILES).where(FILES.c.lineage_key == self._key, FILES.c.state.in_(_IN_TRAINING))
        )
        sound = 0
        for row in rows:
            try:
                file_of(row)
                sound += 1
            except ValueError:
                self._put_aside(turn, row)
        return sound > 0

    def _next(self, turn: Turn, states: tuple[State, ...], only: int | None) -> Mapping[str, Any] | None:
        rows = rows_of(
            turn.connection,
            select(FILES)
            .where(*self._asked(states, turn.now, only))
            .order_by(FILES.c.due_at, FILES.c.place, FILES.c.id)
            .limit(1),
        )
        return rows[0] if rows else None

    def _lease(self, turn: Turn, file: QueuedFile, to: State) -> Lease:
        fence = self._next_fence(turn)
        until = turn.now + self.lease_seconds
        values: dict[str, Any] = {"owner": self.owner, "fence": fence, "lease_until": until, "not_before": None}
        if to == "training":
            values["attempts"] = file.attempts + 1
        taken = self._pass_on(turn, file, to, cause=None, values=values)
        return Lease(file=taken, owner=self.owner, fence=fence, until=until)

    def _taken_unseen(self, turn: Turn, to: State) -> Lease | None:
        """A file that this owner took in a transaction whose end it did not hear of."""
        rows = rows_of(
            turn.connection,
            select(FILES).where(FILES.c.lineage_key == self._key, FILES.c.state == to, FILES.c.owner == self.owner),
        )
        for row in rows:
            known = (row["id"], row["fence"]) in self._held | self._given_up
            if not known and row["state_since"] >= turn.now - 2 * self.lease_seconds:
                until = turn.now + self.lease_seconds
                turn.connection.execute(update(FILES).where(FILES.c.id == row["id"]).values(lease_until=until))
                return Lease(file=self._file(turn, row["id"]), owner=self.owner, fence=row["fence"], until=until)
        return None

    def _say_aged(self, turn: Turn, file: QueuedFile, other: int) -> None:
        hours = max(0.0, turn.now - file.accepted_at) / 3600.0
        waited = f"{hours:.1f} h" if hours >= 1.0 else f"{hours * 3600.0:.0f} s"
        finding = queue_finding(
            "QUEUE009",
            f"{file.name} ({file.priority} priority) has waited {waited} and goes before file {other} of higher "
            f"priority; queue.max_wait_hours = {self.max_wait_hours:g} bounds the wait",
            evidence={"file": file.id, "waited_hours": round(hours, 3), "before": other},
        )
        self._note(turn, "finding", file_id=file.id, data={"finding": finding.to_dict()})

    def _move(
        self,
        turn: Turn,
        lease: Lease,
        state: State,
        cause: str | None,
        fields: Mapping[str, Any],
        event: Happened | None,
        *,
        again: bool,
    ) -> QueuedFile:
        row = self._row(turn.connection, lease.file.id)
        if row["fence"] != lease.fence or row["owner"] != lease.owner:
            # The lost answer of a commit: nobody else has this fence, and the row is where it was sent to.
            if again and row["fence"] == lease.fence and row["state"] == state:
                return file_of(row)
            raise self._lost(lease)
        file = self._file(turn, lease.file.id)
        if again and file.state == state:
            return file
        if event is not None:
            self._note(turn, event.kind, file_id=file.id, cause=event.cause, attempt=event.attempt, data=event.data)
        moved = self._pass_on(turn, file, state, cause=cause, values=self._columns(turn, fields))
        if state not in LEASED:
            self._held.discard((lease.file.id, lease.fence))
            return self._as_wanted(turn, moved, row)
        return moved

    def _as_wanted(self, turn: Turn, file: QueuedFile, row: Mapping[str, Any]) -> QueuedFile:
        wanted: State | None = row["wanted"]
        if wanted is None:
            return file
        turn.connection.execute(update(FILES).where(FILES.c.id == file.id).values(wanted=None, wanted_cause=None))
        if file.state in ENDED or file.state == wanted:
            return file
        held = {"held_from": file.state} if wanted == "held" else {}
        return self._pass_on(turn, file, wanted, cause=row["wanted_cause"], values=held)

    def _orphans(self, turn: Turn) -> list[Mapping[str, Any]]:
        condition = [FILES.c.lineage_key == self._key, FILES.c.state.in_(tuple(LEASED))]
        if not self.database.sqlite:
            ended = func.coalesce(FILES.c.lease_until, 0.0) < turn.now
            condition.append(or_(ended, FILES.c.owner == self.owner, FILES.c.owner.is_(None)))
        rows = rows_of(turn.connection, select(FILES).where(*condition).order_by(FILES.c.id))
        sound: list[Mapping[str, Any]] = []
        for row in rows:
            if (row["id"], row["fence"]) in self._held and row["owner"] == self.owner:
                continue
            try:
                file_of(row)
            except ValueError:
                self._put_aside(turn, row)
            else:
                sound.append(row)
        return sound

    def _adopted(self, turn: Turn, row: Mapping[str, Any]) -> Lease:
        fence = self._next_fence(turn)
        until = turn.now + self.lease_seconds
        turn.connection.execute(
            update(FILES).where(FILES.c.id == row["id"]).values(owner=self.owner, fence=fence, lease_until=until)
        )
        file = self._file(turn, row["id"])
        self._note(
            turn,
            "adopted",
            file_id=file.id,
            attempt=file.attempts or None,
            cause=f"{row['owner'] or 'its daemon'} is gone",
            data={"from": row["owner"], "state": file.state, "fence": fence},
        )
        return Lease(file=file, owner=self.owner, fence=fence, until=until)

    def _columns(self, turn: Turn, fields: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(fields)
        delay = values.pop("delay_seconds", None)
        if unknown := values.keys() - _FIELDS:
            raise TypeError(f"a worker does not write {', '.join(sorted(unknown))}")
        if "memory" in values:
            values["memory"] = to_json(values["memory"] or {})
        if values.get("checkpoint") is not None:
            values["checkpoint"] = short(str(values["checkpoint"]))
        if delay is not None:
            values["not_before"] = turn.now + max(0.0, float(delay))
        return values

    def _mine(self, lease: Lease) -> Any:
        return and_(
            FILES.c.id == lease.file.id,
            FILES.c.fence == lease.fence,
            FILES.c.owner == lease.owner,
            FILES.c.state.in_(tuple(LEASED)),
        )

    def _lost(self, lease: Lease) -> LostLeaseError:
        self._held.discard((lease.file.id, lease.fence))
        return LostLeaseError(
            f"file {lease.file.id} ({lease.file.name}) is no longer leased to {lease.owner} with number {lease.fence}"
        )
