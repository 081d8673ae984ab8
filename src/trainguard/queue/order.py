"""In which order files are taken: by the time at which each is due, which is set once and does not change by waiting.

A file is due when it was accepted, plus an offset: high 0, normal a quarter of `max_wait_hours`, low all of it. Sorting
by a fixed time gives both properties at once. Ageing: nothing that is accepted after a file's due time can go before
it, whatever its priority, so a file of low priority is overtaken for `max_wait_hours` at the longest. And FIFO within a
priority. (Priorities as virtual deadlines: earliest deadline first, Liu and Layland, JACM 20(1), 1973.) A quarter: an
urgent file overtakes what came in the last six hours of a day, what is ordinary overtakes low ones for eighteen.

The clock of the order only goes forward. Each look adds what the machine's clock has gone on since the last one, and
nothing where it went back: a clock that was a year ahead for an hour does not make that hour's files wait for a year.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select, update

from trainguard.queue.records import Priority
from trainguard.queue.schema import FILES, LINEAGES

_OFFSET: Mapping[Priority, float] = {"high": 0.0, "normal": 0.25, "low": 1.0}
_RANK: Mapping[Priority, int] = {"high": 0, "normal": 1, "low": 2}
# States of files whose place in the order means something.
QUEUED = ("accepted", "checking", "waiting", "held")


def offset_seconds(priority: Priority, max_wait_hours: float) -> float:
    """How much later than its acceptance a file is due."""
    return _OFFSET[priority] * max_wait_hours * 3600.0


def is_higher(one: Priority, other: Priority) -> bool:
    return _RANK[one] < _RANK[other]


def order_now(order_time: float, order_wall: float, wall: float) -> float:
    """The order's clock, given what it was when the machine's clock showed `order_wall`."""
    return order_time + max(0.0, wall - order_wall)


def overtaken(connection: Connection, row: Mapping[str, object], max_wait_hours: float) -> int | None:
    """The number of a waiting file of higher priority that this one goes before because it has waited; None where it
    goes first in the usual order, or because a person moved it."""
    priority = row["priority"]
    higher = [name for name, rank in _RANK.items() if rank < _RANK[priority]]  # type: ignore[index]
    if not higher or row["moved"] or max_wait_hours <= 0:
        return None
    found = connection.execute(
        select(FILES.c.id)
        .where(
            FILES.c.lineage_key == row["lineage_key"],
            FILES.c.state == "waiting",
            FILES.c.priority.in_(higher),
            FILES.c.moved == 0,
            FILES.c.not_before.is_(None),
        )
        .order_by(FILES.c.due_at, FILES.c.place, FILES.c.id)
        .limit(1)
    ).scalar_one_or_none()
    return None if found is None else int(found)


def put_before(connection: Connection, lineage_key: str, moving: int, before: int | None, *, order: float) -> None:
    """Gives the file `moving` the place just before `before`, or with None before all, those too that come in later.
    `order` is the order's clock."""
    mine = FILES.c.lineage_key == lineage_key
    if before is None:
        queued = (mine, FILES.c.state.in_(QUEUED), FILES.c.id != moving)
        # Before the time of acceptance too: another one may be given a high priority later.
        soonest = select(func.min(FILES.c.due_at), func.min(FILES.c.ordered_at)).where(*queued)
        due = min(order, *(float(time) for time in connection.execute(soonest).one() if time is not None)) - 1.0
        connection.execute(update(FILES).where(FILES.c.id == moving).values(due_at=due, place=0, moved=1))
        return
    due = connection.execute(select(FILES.c.due_at).where(FILES.c.id == before)).scalar_one()
    same = connection.execute(
        select(FILES.c.id).where(mine, FILES.c.due_at == due, FILES.c.id != moving).order_by(FILES.c.place, FILES.c.id)
    ).scalars()
    numbers = list(same)
    numbers.insert(numbers.index(before), moving)
    for place, number in enumerate(numbers):
        connection.execute(update(FILES).where(FILES.c.id == number).values(due_at=due, place=place))
    connection.execute(update(FILES).where(FILES.c.id == moving).values(moved=1))


def advance(connection: Connection, lineage_key: str, order_time: float, wall: float) -> None:
    """Keeps what the order's clock shows at `wall`."""
    connection.execute(
        update(LINEAGES).where(LINEAGES.c.key == lineage_key).values(order_time=order_time, order_wall=wall)
    )
