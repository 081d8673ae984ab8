"""What people do to a queue, beside a daemon or without one: hold, release, retry, cancel, move."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, update

from trainguard.queue.base import Base, RefusedError, Turn
from trainguard.queue.order import QUEUED, offset_seconds, put_before
from trainguard.queue.records import LEASED, PRIORITIES, RELEASED, Priority, QueuedFile, State
from trainguard.queue.rows import to_json
from trainguard.queue.schema import FILES


class People(Base):
    """The commands of `trainguard queue`. All raise RefusedError for a file or state that they do not fit."""

    def hold(self, number: int, cause: str) -> QueuedFile:
        """The file is not taken until it is released. One that a daemon works on is held when the daemon lets go of
        it, which it is asked to do."""
        return self._change(number, lambda turn, file: self._end(turn, file, "held", cause))

    def cancel(self, number: int, cause: str) -> QueuedFile:
        """The file is not trained: it becomes `failed`, and `retry` brings it back. For one that a daemon works on as
        with `hold`."""
        return self._change(number, lambda turn, file: self._end(turn, file, "failed", cause))

    def release(self, number: int) -> QueuedFile:
        """A held file goes back to where it was held from, and to its old place in the order."""

        def work(turn: Turn, file: QueuedFile) -> QueuedFile:
            if file.state in LEASED:
                turn.connection.execute(
                    update(FILES).where(FILES.c.id == number).values(wanted=None, wanted_cause=None)
                )
                return file
            if file.state != "held":
                raise RefusedError(
                    f"file {file.id} ({file.name}) is {file.state}, not held; there is nothing to release"
                )
            back: State = "waiting" if file.held_from in ("waiting", "training", "verifying") else "accepted"
            # What was tried before counts no more: the history is kept, and the budgets begin anew.
            memory = to_json({**file.memory, RELEASED: file.attempts}) if file.attempts else to_json(file.memory)
            values = {"held_from": None, "not_before": None, "memory": memory}
            cause = "released: the budget of attempts and rollbacks begins anew" if file.attempts else "released"
            return self._pass_on(turn, file, back, cause=cause, values=values)

        return self._change(number, work)

    def retry(self, number: int) -> QueuedFile:
        """A failed or quarantined file is accepted anew, with nothing remembered of its attempts but their number."""

        def work(turn: Turn, file: QueuedFile) -> QueuedFile:
            if file.state not in ("failed", "quarantined"):
                raise RefusedError(
                    f"file {file.id} ({file.name}) is {file.state}; only what failed or was quarantined can be retried"
                )
            if file.memory:
                self._note(turn, "forgotten", file_id=file.id, data={"memory": file.memory})
            return self._pass_on(
                turn, file, "accepted", cause="retry", values={"memory": "{}", "not_before": None, "held_from": None}
            )

        return self._change(number, work)

    def set_priority(self, number: int, priority: Priority) -> QueuedFile:
        """Another priority, counted from when the file was accepted."""

        def work(turn: Turn, file: QueuedFile) -> QueuedFile:
            if priority not in PRIORITIES:
                raise RefusedError(f"there is no priority {priority!r}; use {', '.join(PRIORITIES)}")
            if file.state == "done":
                raise RefusedError(f"file {file.id} ({file.name}) is done and is not trained again")
            ordered = self._row(turn.connection, number)["ordered_at"]
            due = ordered + offset_seconds(priority, self.max_wait_hours)
            turn.connection.execute(
                update(FILES).where(FILES.c.id == number).values(priority=priority, due_at=due, place=0, moved=0)
            )
            self._note(turn, "priority", file_id=number, data={"from": file.priority, "to": priority})
            return self._file(turn, number)

        return self._change(number, work)

    def move(self, number: int, *, before: int | None = None, first: bool = False) -> QueuedFile:
        """Another place in the order: just before file `before`, or first of all."""

        def work(turn: Turn, file: QueuedFile) -> QueuedFile:
            if (before is None) == (not first):
                raise RefusedError("say where to: before another file, or first")
            if before == number:
                return file
            for other in [file] if before is None else [file, self._file(turn, before)]:
                if other.state not in QUEUED:
                    raise RefusedError(f"file {other.id} ({other.name}) is {other.state} and has no place in the queue")
            put_before(turn.connection, self._key, number, before, order=turn.order)
            self._note(turn, "moved", file_id=number, data={"before": before, "first": first})
            return self._file(turn, number)

        return self._change(number, work)

    def hasten(self, number: int) -> QueuedFile:
        """What the file waits for is there again: its delay ends now."""

        def work(turn: Turn, file: QueuedFile) -> QueuedFile:
            if file.not_before is None or file.state in LEASED:
                return file
            turn.connection.execute(update(FILES).where(FILES.c.id == number).values(not_before=None))
            self._note(turn, "hastened", file_id=number)
            return self._file(turn, number)

        return self._change(number, work)

    def _change(self, number: int, work: Callable[[Turn, QueuedFile], QueuedFile]) -> QueuedFile:
        def inside(connection: Connection) -> QueuedFile:
            turn = self._turn(connection)
            return work(turn, self._file(turn, number))

        return self.database.write(inside)

    def _end(self, turn: Turn, file: QueuedFile, state: State, cause: str) -> QueuedFile:
        if file.state == state:
            return file
        if file.state in LEASED:
            turn.connection.execute(update(FILES).where(FILES.c.id == file.id).values(wanted=state, wanted_cause=cause))
            why = "hold" if state == "held" else "cancel"
            data = {"wish": "stop-attempt", "file_id": file.id, "why": why}
            self._note(turn, "wish", file_id=file.id, cause=cause, data=data)
            return file
        values = {"held_from": file.state} if state == "held" else {"held_from": None, "not_before": None}
        return self._pass_on(turn, file, state, cause=cause, values=values)
