"""A queue on SQLite or on PostgreSQL, opened as often as a test wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import update

from trainguard.queue.records import Lease, QueuedFile
from trainguard.queue.schema import FILES
from trainguard.queue.store import Queue, open_queue


class Backend:
    """Where the queue is. All queues that it opened are closed at the end."""

    def __init__(self, *, home: Path, url: str | None) -> None:
        self.home = home
        self.url = url
        self._open: list[Queue] = []

    @property
    def sqlite(self) -> bool:
        return self.url is None

    def open(self, owner: str = "one", *, lineage: str = "run", **options: Any) -> Queue:
        queue = open_queue(self.home, lineage=lineage, owner=owner, database_url=self.url, **options)
        self._open.append(queue)
        return queue

    def write(self, queue: Queue, number: int, values: Mapping[str, Any]) -> None:
        """Writes into a row behind the queue's back."""
        queue.database.write(
            lambda connection: connection.execute(update(FILES).where(FILES.c.id == number).values(**values))
        )

    def close(self) -> None:
        for queue in self._open:
            queue.close()


def add(queue: Queue, name: str, priority: Any = "normal") -> QueuedFile:
    """A new file that waits to be trained."""
    file, new = queue.accept(name, f"{abs(hash(name)):064x}"[:64], 10, f"origin of {name}", priority)
    assert new
    return file


def make_wait(queue: Queue) -> None:
    """Checks all that is accepted."""
    while (lease := queue.take(("accepted",), "checking")) is not None:
        queue.move_to(lease, "waiting", cause="checked")


def waiting(queue: Queue, *names: str) -> list[QueuedFile]:
    files = [add(queue, name) for name in names]
    make_wait(queue)
    return files


def taken(queue: Queue) -> Lease:
    lease = queue.take()
    assert lease is not None
    return lease
