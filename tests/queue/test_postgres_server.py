"""What only a server can do: go down in the middle, keep several lineages, be opened by several machines at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.queue.backends import Backend, taken, waiting
from tests.queue.postgres import Server, missing

from trainguard.queue import intake
from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.engine import QueueBusyError
from trainguard.queue.inbox import Inbox
from trainguard.queue.store import Incoming, open_queue

pytestmark = pytest.mark.postgres

# A server that goes down while SQLAlchemy 2.1 sets a connection up leaves it to the garbage collector
# (sqlalchemy/pool/base.py, _ConnectionRecord.__connect), and psycopg says so.
LEFT_TO_THE_COLLECTOR = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which it may end."""
    if (why := missing()) is not None:
        pytest.skip(why)
    server = Server(own=True)
    yield server
    server.stop()


def _disturb(server: Server, how: str) -> None:
    if how in ("immediate", "fast"):
        server.crash() if how == "immediate" else server.shut_down()
        server.start()
        return
    ends = "terminate" if how == "connections" else "cancel"
    for _ in range(20):
        server.execute(f"SELECT pg_{ends}_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'queue_%'")


@LEFT_TO_THE_COLLECTOR
@pytest.mark.parametrize("how", ["immediate", "fast", "connections", "statements"])
def test_a_server_that_goes_and_comes_back_loses_nothing_and_doubles_nothing(
    server: Server, tmp_path: Path, how: str
) -> None:
    if not server.may_stop:
        return  # a given server is not ours to end
    backend = Backend(home=tmp_path / "queue", url=server.url())
    queue = backend.open("daemon")
    waiting(queue, *(f"{number}" for number in range(30)))
    accepted: list[int] = []
    trained: list[int] = []
    stop = threading.Event()
    errors: list[BaseException] = []

    def accept() -> None:
        try:
            mine = backend.open("accepting")
            while not stop.is_set():
                name = f"new {len(accepted)}"
                file, _ = mine.accept(name, f"{len(accepted) + 1:0>64x}", 1, name)
                accepted.append(file.id)
        except BaseException as error:
            errors.append(error)

    def train() -> None:
        try:
            while not stop.is_set() and (lease := queue.take()) is not None:
                queue.move_to(queue.renew(lease), "verifying", cause=None, step=len(trained))
                queue.move_to(lease, "done", cause=None)
                trained.append(lease.file.id)
        except BaseException as error:
            errors.append(error)

    def progress(number: int) -> None:
        """Waits until so many files more were accepted and trained."""
        enough = (len(accepted) + number, len(trained) + number)
        deadline = time.monotonic() + 60.0
        while not errors and (len(accepted) < enough[0] or len(trained) < enough[1]):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    threads = [threading.Thread(target=accept), threading.Thread(target=train)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        progress(4)
        _disturb(server, how)
    progress(4)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert errors == []
    after = backend.open("judge")
    files = {file.id: file for file in after.list()}
    assert set(accepted) <= set(files)
    assert len(set(accepted)) == len(accepted)
    assert [file.origin for file in files.values()].count("new 0") == 1
    assert {number for number, file in files.items() if file.state == "done"} == set(trained)
    assert all(files[number].attempts == 1 for number in trained)
    backend.close()


@LEFT_TO_THE_COLLECTOR
def test_a_server_that_stays_away_is_said(server: Server, tmp_path: Path) -> None:
    if not server.may_stop:
        return
    backend = Backend(home=tmp_path / "queue", url=server.url())
    queue = backend.open(busy_seconds=1.0)
    waiting(queue, "a")
    server.crash()
    with pytest.raises(QueueBusyError, match="did not answer"):
        queue.take()
    server.start()
    assert taken(queue).file.name == "a"
    backend.close()


def test_several_open_an_empty_database_at_once(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url()
    code = (
        "import sys, pathlib\nfrom trainguard.queue.store import open_queue\n"
        "q = open_queue(pathlib.Path(sys.argv[1]), lineage='run', owner=sys.argv[3], database_url=sys.argv[2])\n"
        "q.announce()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "queue", url, f"{number}"]) for number in range(4)
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    with Backend(home=tmp_path / "queue", url=url).open("cli") as queue:
        assert len(queue.workers()) == 4


def test_a_transaction_that_was_left_open_holds_nobody_up_for_ever(postgres: Server, tmp_path: Path) -> None:
    """A machine that vanished with the lineage's row locked: others wait, and go on when the server gives it up."""
    backend = Backend(home=tmp_path / "queue", url=postgres.url())
    assert backend.url is not None
    queue = backend.open("living")
    waiting(queue, "a")
    import psycopg

    with closing(psycopg.connect(backend.url)) as gone:
        gone.execute("SET idle_in_transaction_session_timeout = '1s'")
        gone.execute("SELECT * FROM trainguard_lineages FOR UPDATE")
        assert taken(queue).file.name == "a"
    timeout = queue.database.read(
        lambda one: one.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
    )
    assert timeout == "30s"  # ours too
    backend.close()


def test_two_lineages_are_trained_side_by_side(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url()
    backend = Backend(home=tmp_path / "queue", url=url)
    queues = [backend.open(f"machine {number}", lineage=f"lineage {number}") for number in range(3)]
    for queue in queues:
        answers = queue.accept_many(Incoming(name=f"{n}", sha256=f"{n:064x}", size=1, origin=f"{n}") for n in range(3))
        assert all(new for _, new in answers)
        assert [file.state for file, _ in answers] == ["accepted"] * 3
        waiting(queue)
    assert len({taken(queue).file.id for queue in queues}) == 3
    queues[0].pause("only this one")
    assert [queue.paused for queue in queues] == ["only this one", None, None]
    queues[1].event("note")
    assert queues[2].events(kinds=["note"]) == []
    backend.close()


def test_a_file_that_another_daemon_may_have_taken_is_no_news(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same inbox served by two: the loser of the race finds the file gone, and its row perhaps not there yet."""
    (tmp_path / "inbox").mkdir()
    gone = tmp_path / "inbox" / "a.jsonl"
    gone.write_text("a row\n")
    begin = intake.begin

    def vanish(*arguments: Any) -> intake.Batch:
        gone.unlink()
        return begin(*arguments)

    monkeypatch.setattr(intake, "begin", vanish)
    home = tmp_path / "home"
    home.mkdir()
    with (
        closing(open_queue(home, lineage="race", owner="one", database_url=postgres.url())) as queue,
        closing(Inbox(tmp_path / "inbox", 0.0, 0.1)) as inbox,
    ):
        end = time.monotonic() + 30.0
        while gone.exists() and time.monotonic() < end:
            accepted = accept_ready(inbox, Custody(home), queue)
            assert not accepted.findings
            time.sleep(0.05)
    assert not gone.exists()
