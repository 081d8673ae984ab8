"""A queue whose database is lost is built anew: from the sidecars in custody, and from what the old file still gives.

The sidecars say which files there are, and what was settled. The old database is asked row by row, from both ends, and
what it gives is believed only where doing so cannot lose a file: numbers, order, attempts, memory, and that something
was held or failed. That a file is done is believed of its sidecar alone: one that is not is accepted again, and the run
itself knows what it has trained (train/lineage.py). The old file is kept beside the new one, and never changed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, insert

from trainguard.durable import sync_folder
from trainguard.fencing import read_fence
from trainguard.findings import Finding
from trainguard.queue.base import lineage_key
from trainguard.queue.codes import queue_finding
from trainguard.queue.engine import Database, QueueDiskError, open_sqlite, wall_clock
from trainguard.queue.order import offset_seconds
from trainguard.queue.records import DATABASE, ENDED, LEASED
from trainguard.queue.rows import file_of, key_of, plain_text, short, shown, to_json
from trainguard.queue.schema import EVENTS, FILES, FITS, LINEAGES, OUTBOX, make_tables
from trainguard.queue.sidecars import Sidecar, read_sidecars, write_sidecar
from trainguard.queue.store import BUSY_SECONDS, Queue, open_queue

_NEW = "queue.sqlite.rebuilding"
# What belongs to a database file: its journals hold pages of it, and must neither be lost nor meet the new file.
_SUFFIXES = ("-journal", "-wal", "-shm")
_LATER_STATES = frozenset({"held", "failed", "quarantined"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """How a queue came back. `kept` is the old database, None where there was none; counts are numbers of files."""

    kept: Path | None
    files: int
    from_sidecars: int
    from_old_rows: int
    events: int
    finding: Finding


@dataclass(slots=True, kw_only=True)
class _Old:
    """What the old database gave."""

    files: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    fits: list[dict[str, Any]] = field(default_factory=list)
    lineages: list[dict[str, Any]] = field(default_factory=list)


def recover_queue(
    home: Path,
    *,
    lineage: str,
    owner: str,
    max_wait_hours: float = 24.0,
    lease_seconds: float = 30.0,
    busy_seconds: float = BUSY_SECONDS,
) -> tuple[Queue, Rebuilt]:
    """Builds the SQLite queue of `home` anew and opens it. Only who holds the daemon's lock may call it.

    May be killed at any instant: until the new file has its name the old one is there, or is found missing, and the
    next call does it all again. Raises QueueDiskError; nothing is moved then.
    """
    path = home / DATABASE
    old = _salvage(path)
    sidecars = list(read_sidecars(home))
    new = home / _NEW
    try:
        for suffix in ("", *_SUFFIXES):
            (home / (_NEW + suffix)).unlink(missing_ok=True)
        rows, renumbered = _merged(sidecars, old.files, max_wait_hours)
        _write(new, lineage, read_fence(home.parent), rows, old, busy_seconds)
        kept = _keep_beside(path)
        os.replace(new, path)
        sync_folder(home)
    except OSError as error:
        raise QueueDiskError(f"{path} cannot be rebuilt ({error.strerror or error}); free space on its disk") from error
    queue = open_queue(
        home,
        lineage=lineage,
        owner=owner,
        max_wait_hours=max_wait_hours,
        lease_seconds=lease_seconds,
        busy_seconds=busy_seconds,
    )
    for number in renumbered:
        file = queue.get(number)
        if file is not None:
            with suppress(OSError):
                write_sidecar(home, file)
    rebuilt = Rebuilt(
        kept=kept,
        files=len(rows),
        from_sidecars=len(sidecars),
        from_old_rows=len(old.files),
        events=len(old.events),
        finding=_finding(path, kept, len(rows), len(old.files)),
    )
    queue.event("rebuilt", cause=rebuilt.finding.message, finding=rebuilt.finding.to_dict())
    return queue, rebuilt


def _finding(path: Path, kept: Path | None, files: int, rows: int) -> Finding:
    beside = f"the damaged file is kept as {kept.name}" if kept is not None else "it was missing"
    return queue_finding(
        "QUEUE008",
        f"{path.name} could not be read and was rebuilt from the folders with {files} file{'s' if files != 1 else ''}, "
        f"{rows} of them known from the old database too; {beside}",
        path=str(path),
        fix="look through `trainguard queue list`, check the disk (smartctl -H, dmesg), then delete the kept file",
        evidence={"files": files, "old_rows": rows, "kept": None if kept is None else kept.name},
    )


def _salvage(path: Path) -> _Old:
    """All rows that the damaged file still gives, those that make no sense left out. Never raises, changes nothing."""
    old = _Old()
    if not path.is_file():
        return old
    # immutable: no locks and no journal, so that looking does not change the file (sqlite.org/uri.html).
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with suppress(sqlite3.Error, OSError, ValueError), closing(sqlite3.connect(address, uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        old.files = [row for row in _rows(connection, FILES) if _is_file(row)]
        old.events = _rows(connection, EVENTS)
        old.outbox = _rows(connection, OUTBOX)
        old.fits = _rows(connection, FITS)
        old.lineages = _rows(connection, LINEAGES)
    return old


def _rows(connection: sqlite3.Connection, table: Table) -> list[dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    key = next(iter(table.primary_key.columns)).name
    for direction in ("ASC", "DESC"):
        # NOT INDEXED: by the table's own tree, whatever became of its indexes.
        query = f"SELECT * FROM {table.name} NOT INDEXED ORDER BY rowid {direction}"
        try:
            for row in connection.execute(query):
                values = dict(row)
                if values.get(key) in found:
                    break
                if _fits(values, table):
                    found[values[key]] = values
        except sqlite3.Error:
            continue
        break
    return [found[number] for number in sorted(found)]


def _fits(values: Mapping[str, Any], table: Table) -> bool:
    """Whether a row has the columns of the table, with values of their types."""
    for column in table.columns:
        value = values.get(column.name)
        kind = column.type.python_type
        if value is None:
            if column.name not in values or not column.nullable:
                return False
        elif not isinstance(value, (int, float) if kind is float else kind):
            return False
    return True


def _is_file(row: Mapping[str, Any]) -> bool:
    try:
        file_of(row)
    except ValueError:
        return False
    return len(row["sha256"]) == 64


def _merged(
    sidecars: Iterable[Sidecar], old: Iterable[Mapping[str, Any]], max_wait_hours: float
) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows of the new database, and the numbers that are others than in their sidecars."""
    newest: dict[str, Sidecar] = {}
    for sidecar in sidecars:
        known = newest.get(sidecar.origin)
        if known is None or known.state_since <= sidecar.state_since:
            newest[sidecar.origin] = sidecar
    rows_of_origin = {row["origin"]: row for row in old}
    rows = [_from_sidecar(one, rows_of_origin.pop(one.origin, None), max_wait_hours) for one in newest.values()]
    rows += [_from_row(row) for row in rows_of_origin.values()]
    rows.sort(key=lambda row: (row["id"], row["accepted_at"]))
    taken: set[int] = set()
    renumbered: list[int] = []
    following = max((row["id"] for row in rows), default=0) + 1
    for row in rows:
        if row["id"] <= 0 or row["id"] in taken:
            row["id"] = following
            renumbered.append(following)
            following += 1
        taken.add(row["id"])
    return rows, renumbered


def _from_sidecar(one: Sidecar, row: Mapping[str, Any] | None, max_wait_hours: float) -> dict[str, Any]:
    state = one.state if one.state in ENDED or one.state == "held" else "accepted"
    ordered = one.due_at - offset_seconds(one.priority, max_wait_hours)
    values: dict[str, Any] = {
        **{name: getattr(one, name) for name in Sidecar.__struct_fields__},
        "name": plain_text(one.name),
        "state": state,
        "held_from": "accepted" if state == "held" else None,
        "cause": short(one.cause) if state != "accepted" else "its queue was rebuilt",
        "memory": to_json(one.memory),
        "ordered_at": ordered,
    }
    if row is None or row["sha256"] != one.sha256:
        return values
    known = shown(row)
    for name in ("priority", "due_at", "ordered_at", "place", "moved", "path_hint", "planned_steps"):
        values[name] = row[name]
    if known.attempts >= one.attempts:
        values |= {"attempts": known.attempts, "memory": to_json(known.memory), "not_before": known.not_before}
    if state == "accepted" and known.state in _LATER_STATES:
        values |= {"state": "held", "held_from": "accepted", "cause": short(known.cause)}
    return values


def _from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose file was on its way into custody, or out of it."""
    values = {column.name: row[column.name] for column in FILES.columns}
    values |= {"owner": None, "lease_until": None, "wanted": None, "wanted_cause": None}
    if row["state"] in LEASED or row["state"] == "waiting":
        values |= {"state": "accepted", "cause": "its queue was rebuilt"}
    return values


def _write(path: Path, lineage: str, fence: int, rows: list[dict[str, Any]], old: _Old, busy_seconds: float) -> None:
    database = open_sqlite(path, busy_seconds=busy_seconds)
    try:
        database.write(lambda connection: _fill(connection, database, lineage, fence, rows, old))
    finally:
        database.close()
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fill(
    connection: Connection, database: Database, lineage: str, fence: int, rows: list[dict[str, Any]], old: _Old
) -> None:
    make_tables(connection, place=database.place)
    key = lineage_key(database, lineage)
    now = wall_clock()
    known = old.lineages[0] if old.lineages else None
    fences = [fence, *(row["fence"] for row in old.lineages), *(row["fence"] for row in old.files)]
    # The order's clock may be ahead of the machine's, and must stay so, or new files would go before the old ones.
    ordered = [float(row["ordered_at"]) for row in rows]
    order = max([now, *ordered]) if known is None else max(known["order_time"], *ordered, 0.0)
    connection.execute(
        insert(LINEAGES).values(
            key=key,
            lineage=plain_text(lineage),
            fence=max(fences),
            order_time=order,
            order_wall=now,
            paused=None if known is None else known["paused"],
            paused_at=None if known is None else known["paused_at"],
        )
    )
    for row in rows:
        values = {**row, "lineage_key": key, "lineage": plain_text(lineage)}
        values["origin_key"] = row.get("origin_key") or key_of(key, row["origin"])
        connection.execute(insert(FILES).values(**values))
    for table, some in ((EVENTS, old.events), (OUTBOX, old.outbox), (FITS, old.fits)):
        for row in some:
            mine = {"lineage_key": key} if "lineage_key" in row else {}
            with suppress(msgspec.MsgspecError):
                connection.execute(insert(table).prefix_with("OR IGNORE").values(**{**row, **mine}))


def _keep_beside(path: Path) -> Path | None:
    """Renames the old file and its journals, journals first: one that stayed would be rolled back into the new file."""
    if not path.exists():
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S")
    beside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while beside.exists():
        number += 1
        beside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in (*_SUFFIXES, ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.rename(part, beside.with_name(beside.name + suffix))
    sync_folder(path.parent)
    return beside
