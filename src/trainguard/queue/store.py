"""The durable queue: accepted files, what became of each, and who works on them now.

Everything is a transaction of a database, SQLite beside the run or PostgreSQL for several machines (see
docs/decisions/0003-durable-queue.md). A process may be killed at any instant; what it was told is done is done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct
from sqlalchemy import Connection, func, insert, select, update

from trainguard.fencing import read_fence
from trainguard.queue.base import Turn, lineage_key
from trainguard.queue.codes import duplicate_cause
from trainguard.queue.control import Control
from trainguard.queue.engine import (
    Database,
    QueueCorruptError,
    QueueDiskError,
    open_sqlite,
    refuse_network,
)
from trainguard.queue.leases import Leases
from trainguard.queue.order import offset_seconds
from trainguard.queue.outgoing import Outgoing
from trainguard.queue.people import People
from trainguard.queue.place import Place
from trainguard.queue.placed import lineage_at
from trainguard.queue.records import DATABASE, PRIORITIES, STATES, Counted, Event, Priority, QueuedFile, State
from trainguard.queue.rows import event_of, key_of, plain_text, rows_of, short, shown, to_json
from trainguard.queue.schema import EVENTS, FILES, LINEAGES, has_tables, is_ready, make_tables
from trainguard.queue.server import open_postgres
from trainguard.queue.sidecars import read_sidecars

# How long a call waits for others at the longest, seconds: longer than a backup of the file takes.
BUSY_SECONDS = 120.0
# How long a server is waited for at the opening.
_ADDRESS_SECONDS = 10.0
# Rows a transaction: long enough that syncing it costs little, short enough that nobody waits for it.
_TOGETHER = 500

Answers: TypeAlias = list[tuple[QueuedFile, bool]]
Files: TypeAlias = list[QueuedFile]
Events: TypeAlias = list[Event]
Census: TypeAlias = list[Counted]


class Incoming(Struct, frozen=True, kw_only=True):
    """A file to be accepted. `origin` makes it unique: the same origin again is the same file. Size in bytes."""

    name: str
    sha256: str
    size: int
    origin: str
    priority: Priority = "normal"
    path_hint: str | None = None


class Queue(Leases, People, Control, Outgoing):
    """A queue of one lineage, open for one owner. May be used by several threads; not across a fork."""

    def accept(
        self,
        name: str,
        sha256: str,
        size: int,
        origin: str,
        priority: Priority = "normal",
        *,
        path_hint: str | None = None,
    ) -> tuple[QueuedFile, bool]:
        """The row of an accepted file, and whether it is new. Raises QueueBusyError, QueueDiskError."""
        one = Incoming(name=name, sha256=sha256, size=size, origin=origin, priority=priority, path_hint=path_hint)
        return self.accept_many([one])[0]

    def accept_many(self, files: Iterable[Incoming]) -> Answers:
        """As `accept`, in few transactions; the answers are in the order of `files`.

        A file whose content was accepted before is held with QUEUE003 from the start, unless the earlier one failed.
        """
        rest = iter(files)
        answers: Answers = []
        while part := list(islice(rest, _TOGETHER)):
            answers += self.database.write(partial(self._accepted, files=part))
        return answers

    def get(self, number: int) -> QueuedFile | None:
        found = self._select(FILES.c.id == number, limit=1) if 0 < number < 2**63 else []
        return found[0] if found else None

    def find(self, text: str) -> Files:
        """The files that a person may mean by `text`: a number, a name, or else a part of a name; at most 20."""
        if text.isascii() and text.isdigit() and (one := self.get(int(text[:19]))) is not None:
            return [one]
        wanted = plain_text(text)
        exact = self._select(FILES.c.name == wanted, limit=20)
        if exact or not wanted:
            return exact
        return self._select(FILES.c.name.icontains(wanted, autoescape=True), limit=20)

    def list(
        self, states: Collection[State] | None = None, limit: int | None = None, newest_first: bool = False
    ) -> Files:
        """The files in the order in which they are taken, or the newest first."""
        conditions = [] if states is None else [FILES.c.state.in_(tuple(states))]
        return self._select(*conditions, limit=limit, newest_first=newest_first)

    def last_done(self) -> QueuedFile | None:
        """Of the files that are done with a known step the one that was taken last: the fence tells, no clock."""
        done = (FILES.c.lineage_key == self._key) & (FILES.c.state == "done") & FILES.c.step.is_not(None)
        query = select(FILES).where(done).order_by(FILES.c.fence.desc(), FILES.c.id.desc()).limit(1)
        found = self.database.read(lambda connection: [shown(row) for row in rows_of(connection, query)])
        return found[0] if found else None

    def with_content(self, sha256: str) -> Files:
        """The files with this content, whatever their state."""
        return self._select(FILES.c.sha256 == sha256, limit=None)

    def census(self) -> Census:
        """All files, without what is only of interest for some: ten thousand take a tenth of the time."""
        query = select(FILES.c.id, FILES.c.sha256, FILES.c.state).where(FILES.c.lineage_key == self._key)
        query = query.order_by(FILES.c.due_at, FILES.c.place, FILES.c.id)
        return self.database.read(lambda connection: [Counted(*row) for row in connection.execute(query)])

    def events(
        self,
        file_id: int | None = None,
        after: int = 0,
        limit: int | None = None,
        *,
        kinds: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> Events:
        """What happened, oldest first: of one file or of all, later than the event `after`, of some kinds."""
        query = select(EVENTS).where(EVENTS.c.lineage_key == self._key, EVENTS.c.id > after)
        if file_id is not None:
            query = query.where(EVENTS.c.file_id == file_id)
        if kinds is not None:
            query = query.where(EVENTS.c.kind.in_(tuple(kinds)))
        query = query.order_by(EVENTS.c.id.desc() if newest_first else EVENTS.c.id).limit(limit)
        return self.database.read(lambda connection: [event_of(row) for row in rows_of(connection, query)])

    def counts(self) -> dict[State, int]:
        """How many files are in each state; all states are there."""
        query = select(FILES.c.state, func.count()).where(FILES.c.lineage_key == self._key).group_by(FILES.c.state)
        found = dict(self.database.read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)]))
        return {state: int(found.get(state, 0)) for state in STATES}

    def close(self) -> None:
        """Gives the connections back. Leases stay: nothing is lost by a queue that was not closed."""
        self.database.close()

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accepted(self, connection: Connection, files: Sequence[Incoming]) -> Answers:
        turn = self._turn(connection)
        answers: Answers = []
        part: dict[str, Incoming] = {}
        contents: set[str] = set()
        for file in files:
            # What may depend on a row of this part waits until the part is written.
            key = key_of(self._key, file.origin)
            if key in part or file.sha256 in contents:
                answers += self._insert(turn, part)
                part, contents = {}, set()
            part[key] = file
            contents.add(file.sha256)
        return answers + self._insert(turn, part)

    def _insert(self, turn: Turn, files: Mapping[str, Incoming]) -> Answers:
        """Rows of files (by the key of their origin) that differ in origin and content."""
        if not files:
            return []
        mine = FILES.c.lineage_key == self._key
        known = {
            row["origin_key"]: row
            for row in rows_of(turn.connection, select(FILES).where(mine, FILES.c.origin_key.in_(tuple(files))))
        }
        new = {key: file for key, file in files.items() if key not in known}
        contents = {file.sha256 for file in new.values()}
        earlier: dict[str, list[Mapping[str, Any]]] = {}
        same = select(FILES.c.id, FILES.c.name, FILES.c.state, FILES.c.sha256).where(mine, FILES.c.sha256.in_(contents))
        for row in rows_of(turn.connection, same.order_by(FILES.c.id)) if new else []:
            earlier.setdefault(row["sha256"], []).append(row)
        values = [self._values(turn, key, file, earlier.get(file.sha256, [])) for key, file in new.items()]
        if values:
            made = turn.connection.execute(insert(FILES).returning(FILES, sort_by_parameter_order=True), values)
            rows = {row["origin_key"]: dict(row) for row in made.mappings()}
            self._say_accepted(turn, [rows[key] for key in new])
            known |= rows
        return [(shown(known[key]), key in new) for key in files]

    def _values(self, turn: Turn, key: str, file: Incoming, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        priority: Priority = file.priority if file.priority in PRIORITIES else "normal"
        alive = [row for row in earlier if row["state"] not in ("failed", "quarantined")]
        same = alive[0] if alive else earlier[0] if earlier else None
        cause = None
        if alive and same is not None:
            cause = short(duplicate_cause(file.name, same["id"], same["name"], same["state"]))
        return {
            "lineage_key": self._key,
            "lineage": self.lineage,
            "name": plain_text(file.name),
            "sha256": plain_text(file.sha256)[:64],
            "bytes": file.size,
            "origin": plain_text(file.origin),
            "origin_key": key,
            "path_hint": short(file.path_hint),
            "priority": priority,
            "state": "held" if alive else "accepted",
            "held_from": "accepted" if alive else None,
            "cause": cause,
            "same_as": None if same is None else same["id"],
            "state_since": turn.now,
            "accepted_at": turn.now,
            "ordered_at": turn.order,
            "due_at": turn.order + offset_seconds(priority, self.max_wait_hours),
        }

    def _say_accepted(self, turn: Turn, rows: Sequence[Mapping[str, Any]]) -> None:
        names = ("name", "sha256", "bytes", "priority")
        events = [
            {
                "lineage_key": self._key,
                "time": turn.now,
                "kind": "accepted",
                "file_id": row["id"],
                "to_state": row["state"],
                "cause": row["cause"],
                "owner": self.owner,
                "data": to_json({name: row[name] for name in names}),
            }
            for row in rows
        ]
        turn.connection.execute(insert(EVENTS), events)

    def _select(self, *conditions: Any, limit: int | None, newest_first: bool = False) -> Files:
        query = select(FILES).where(FILES.c.lineage_key == self._key, *conditions).limit(limit)
        order = [FILES.c.id.desc()] if newest_first else [FILES.c.due_at, FILES.c.place, FILES.c.id]
        query = query.order_by(*order)
        return self.database.read(lambda connection: [shown(row) for row in rows_of(connection, query)])


def open_queue(
    home: Path,
    *,
    lineage: str,
    owner: str,
    database_url: str | None = None,
    max_wait_hours: float = 24.0,
    lease_seconds: float = 30.0,
    busy_seconds: float = BUSY_SECONDS,
) -> Queue:
    """Opens the queue, made where there is none.

    `lineage` names the chain of checkpoints, `owner` one daemon (machine and folder). On a server, where a lineage is
    known whose folder bears the number of `home` (place.py), it is that one, whatever `lineage` says.

    Raises UsageError (network file system, no address, another release's or program's tables), QueueCorruptError
    (SQLite: see `recover_queue`), QueueBusyError, QueueDiskError, QueueRefusedError (PostgreSQL: user, password,
    database, rights).
    """
    if database_url is None:
        refuse_network(home)
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QueueDiskError(f"{home} cannot be made ({error.strerror}); check its owner and its mount") from error
        database = open_sqlite(home / DATABASE, busy_seconds=busy_seconds)
    else:
        database = open_postgres(database_url, busy_seconds=busy_seconds)
    try:
        if database.path is not None:
            _check_file(database, home)
        number = Place(home).read() if database.path is None else None
        key = _prepare(database, lineage, number, read_fence(home.parent), busy_seconds)
        queue = Queue(
            database, lineage=lineage, owner=owner, max_wait_hours=max_wait_hours, lease_seconds=lease_seconds, key=key
        )
        queue._heard = database.read(_last_event)
    except OSError as error:
        database.close()
        raise QueueDiskError(f"{error.filename or home} cannot be read ({error.strerror}); check its disk") from error
    except BaseException:
        database.close()
        raise
    return queue


def _check_file(database: Database, home: Path) -> None:
    """Raises QueueCorruptError for a file that is damaged, or missing where there is custody."""
    assert database.path is not None

    def work(connection: Connection) -> tuple[str, bool]:
        # Without the comparison of indexes with their tables (https://sqlite.org/pragma.html#pragma_quick_check).
        verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
        return verdict, has_tables(connection)

    verdict, there = database.read(work)
    if verdict != "ok":
        raise QueueCorruptError(database.path, verdict.strip().splitlines()[-1])
    if not there and next(iter(read_sidecars(home)), None) is not None:
        raise QueueCorruptError(database.path, "it is empty, but files are in custody")


def _prepare(database: Database, lineage: str, number: str | None, fence: int, busy_seconds: float) -> str:
    """Makes what is missing; the key of the lineage, whose folder bears `number`."""

    def key_of_it(connection: Connection) -> str:
        own = lineage_key(database, lineage)
        return own if number is None else lineage_at(connection, number, preferred=own) or own

    def find(connection: Connection) -> str | None:
        if not is_ready(connection, place=database.place):
            return None
        key = key_of_it(connection)
        known = connection.execute(select(LINEAGES.c.fence).where(LINEAGES.c.key == key)).scalar_one_or_none()
        return key if known is not None and int(known) >= fence else None

    def work(connection: Connection) -> str:
        make_tables(connection, place=database.place)
        key = key_of_it(connection)
        mine = LINEAGES.c.key == key
        known = connection.execute(select(LINEAGES.c.fence).where(mine)).scalar_one_or_none()
        if known is None:
            now = database.now(connection)
            connection.execute(
                insert(LINEAGES).values(
                    key=key, lineage=plain_text(lineage), fence=fence, order_time=now, order_wall=now
                )
            )
        elif known < fence:
            connection.execute(update(LINEAGES).where(mine).values(fence=fence))
        return key

    if database.path is not None:
        return database.write(work)
    # A server that does not answer now has a wrong address more often than a bad minute.
    database.busy_seconds = min(busy_seconds, _ADDRESS_SECONDS)
    try:
        # Making needs locks on the tables and rights that a user of the queue need not have, and a server may be
        # read-only for those who only look.
        return database.read(find) or database.write(work)
    finally:
        database.busy_seconds = busy_seconds


def _last_event(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(EVENTS.c.id), 0))).scalar_one())
