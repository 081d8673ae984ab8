"""Bad weather on a real server: what passes is waited for, what a person has to mend is said in one line, and never
with the password."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url
from tests.cli._queue import CONFIG, call
from tests.queue.backends import Backend, add, make_wait, taken, waiting
from tests.queue.postgres import Server, missing

from trainguard.daemon.channels import Channel
from trainguard.daemon.outbox import deliver
from trainguard.errors import UsageError
from trainguard.queue import server as server_module
from trainguard.queue.engine import QueueBusyError, QueueDiskError, QueueError, QueueRefusedError
from trainguard.queue.records import OutboxEntry
from trainguard.queue.store import Queue, open_queue

pytestmark = [
    pytest.mark.postgres,
    # A connection that breaks while SQLAlchemy 2.1 sets it up is left to the garbage collector, and psycopg says so.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECRET = "s3cret/word@1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of these tests' own, whose rules they change."""
    if (why := missing()) is not None:
        pytest.skip(why)
    server = Server(own=True)
    if not server.may_stop:
        pytest.skip("no PostgreSQL server of the test's own")
    server.execute(f"CREATE ROLE locked LOGIN PASSWORD '{SECRET}'", "CREATE ROLE plain LOGIN")
    server.ask_for_a_password("locked")
    yield server
    server.stop()


@pytest.fixture
def backend(server: Server, tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(home=tmp_path / "queue", url=server.url())
    yield backend
    backend.close()


def database(backend: Backend) -> str:
    return str(make_url(str(backend.url)).database)


def address(backend: Backend, **changed: str) -> str:
    """The address of the backend with another user, password, host or database."""
    return make_url(str(backend.url)).set(**changed).render_as_string(hide_password=False)  # type: ignore[arg-type]


def refused(home: Path, url: str, *, busy_seconds: float = 30.0) -> str:
    """What is said where the queue cannot be opened: at once, in one line."""
    begun = time.monotonic()
    with pytest.raises((QueueError, UsageError)) as raised:
        open_queue(home, lineage="run", owner="one", database_url=url, busy_seconds=busy_seconds)
    words = str(raised.value)
    assert "\n" not in words
    assert "s3cret" not in words
    assert "word" not in words.replace("password", "")
    assert raised.value.__cause__ is None
    assert time.monotonic() - begun < 9.0, "what does not pass is not waited for"
    return words


def test_a_wrong_password_user_or_database_is_said_at_once(backend: Backend) -> None:
    right = address(backend, username="locked", password=SECRET)
    wrong = refused(backend.home, address(backend, username="locked", password="s3cret"))
    assert 'password authentication failed for user "locked"' in wrong
    assert "queue.database_url" in wrong
    assert "no password supplied" in refused(backend.home, address(backend, username="locked"))
    assert 'role "nobody" does not exist' in refused(backend.home, address(backend, username="nobody"))
    assert 'database "gone" does not exist' in refused(backend.home, address(backend, database="gone"))
    # In, but without the right to make tables (PostgreSQL 15: only the owner of a database makes them in `public`).
    assert "createdb -O" in refused(backend.home, right)
    # Who may write in tables that another one made needs no more than that.
    backend.open()
    from sqlalchemy import text

    with backend.open() as queue:
        queue.database.write(
            lambda one: one.execute(
                text(
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO locked; "
                    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO locked"
                )
            )
        )
    with open_queue(backend.home, lineage="run", owner="locked", database_url=right) as queue:
        assert waiting(queue, "a")[0].state == "accepted"
        assert taken(queue).file.name == "a"
        assert SECRET not in queue.database.place
        assert "s3cret" not in queue.database.place


def test_the_command_line_says_it_in_one_line(
    backend: Backend, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, queue = database(backend), backend.open(lineage=str(tmp_path / "out"))
    add(queue, "a.jsonl")
    (tmp_path / "trainguard.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    right, wrong = str(backend.url), address(backend, username="locked", password="s3cretword")
    assert "1 file: 1 accepted" in call("status", "--database-url", right)[1], "who only looks is served"
    for url, verb, remedy in (
        (right, ("queue", "hold", "1"), "target_session_attrs"),
        (right, ("daemon", "pause"), "target_session_attrs"),
        (wrong, ("status",), "password authentication failed"),
        (wrong, ("log", "a.jsonl"), "password authentication failed"),
    ):
        with pytest.raises(UsageError) as raised:
            call(*verb, "--database-url", url)
        words = str(raised.value)
        assert remedy in words
        assert "\n" not in words
        assert "s3cretword" not in words


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@word@127.0.0.1/x",
        "postgresql://me:s3cret",
        "postgresql://me:s3cret@127.0.0.1:99999/x",
        "postgresql://me@127.0.0.1:1/x?password=s3cretword&sslmode=nonsense",
        "postgresql://me:s3cretword@127.0.0.1/x?no_such_option=1",
        "mysql://me:s3cretword@127.0.0.1/x",
    ],
)
def test_an_address_that_is_none_is_said_without_what_is_in_it(tmp_path: Path, url: str) -> None:
    words = refused(tmp_path / "queue", url)
    assert "database" in words


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_a_wrong_host_is_said_in_the_end(tmp_path: Path, host: str) -> None:
    words = refused(tmp_path / "queue", f"postgresql://me:s3cretword@{host}/x?connect_timeout=2", busy_seconds=1.0)
    assert "did not answer" in words
    assert "--database-url" in words


def test_other_tables_are_told(backend: Backend, server: Server) -> None:
    name = database(backend)
    server.execute("CREATE TABLE trainguard_files (id bigint, shoe_size int)", database=name)
    words = refused(backend.home, str(backend.url))
    assert "trainguard_files" in words
    assert "createdb" in words
    server.execute("DROP TABLE trainguard_files", "CREATE TABLE files (id bigint, shoe_size int)", database=name)
    with backend.open() as queue:
        # Another program's tables beside are nobody's affair, until ours are gone.
        add(queue, "a")
        server.execute("DROP TABLE trainguard_files CASCADE", database=name)
        with pytest.raises(QueueRefusedError, match="name a database of its own"):
            queue.list()


@pytest.mark.parametrize(("form", "words"), [("99", "newer trainguard"), ("0", "older trainguard"), ("x", "newer")])
def test_tables_of_another_release_are_told(backend: Backend, server: Server, form: str, words: str) -> None:
    backend.open()
    server.execute(f"UPDATE trainguard_meta SET value = '{form}' WHERE key = 'schema'", database=database(backend))
    assert words in refused(backend.home, str(backend.url))


def test_a_read_only_server_is_read_and_written_again_when_it_may_be(backend: Backend, server: Server) -> None:
    queue = backend.open()
    waiting(queue, "a", "b")
    lease = taken(queue)
    name = database(backend)
    server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    server.cut(name)
    with pytest.raises(QueueDiskError, match=r"read-only.*target_session_attrs=read-write") as first:
        queue.renew(lease)
    with pytest.raises(QueueDiskError) as second:
        queue.event("note")
    assert (first.value.again, second.value.again) == (False, True)
    # Who only looks is served, by an open queue and by a new one.
    assert [file.name for file in backend.open("person").list()] == ["a", "b"]
    with pytest.raises(QueueDiskError) as third:
        queue.event("note")
    assert third.value.again, "that reading goes does not end it"
    server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    # Not one statement of the old connections could have written by now: the next write takes new ones.
    queue.move_to(queue.renew(lease), "verifying", cause=None)
    assert queue.move_to(lease, "done", cause=None).attempts == 1


def take_all(server: Server, others: contextlib.ExitStack) -> None:
    """All connections that the server has."""
    for _ in range(200):
        try:
            others.enter_context(psycopg.connect(server.address))
        except psycopg.OperationalError:
            return
    raise AssertionError("the server has no limit")


def test_too_many_connections_are_waited_for_and_then_told(backend: Backend, server: Server) -> None:
    queue = backend.open(busy_seconds=1.0)
    waiting(queue, "a")
    queue.database.close()  # its connections; a new one is asked for
    with contextlib.ExitStack() as others:
        take_all(server, others)
        with pytest.raises(QueueBusyError, match=r"no connection free.*max_connections"):
            queue.take()
        queue.database.busy_seconds = 30.0
        threading.Timer(1.0, others.close).start()
        assert taken(queue).file.name == "a"


def test_a_deadlock_with_somebody_else_is_gone_through(backend: Backend, server: Server) -> None:
    queue = backend.open()
    waiting(queue, "a")
    lease = taken(queue)
    moved: list[str] = []
    ours = threading.Thread(target=lambda: moved.append(queue.move_to(lease, "verifying", cause=None).state))
    with psycopg.connect(str(backend.url)) as other:
        other.execute("SELECT * FROM trainguard_files FOR UPDATE")
        ours.start()  # has the lineage, and waits for the file
        end = time.monotonic() + 30.0
        while not other.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone():
            assert time.monotonic() < end
            other.execute("SELECT pg_stat_clear_snapshot()")
            time.sleep(0.02)
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            other.execute("SELECT * FROM trainguard_lineages FOR UPDATE")
        other.rollback()
    ours.join(30)
    assert moved == ["verifying"]
    transitions = [event.to_state for event in queue.events(lease.file.id, kinds=["transition"])]
    assert transitions.count("verifying") == 1


def test_serialization_failures_are_gone_through(backend: Backend, server: Server) -> None:
    """Where an administrator has set a stricter isolation for all, transactions fail that would not else."""
    server.execute(f"ALTER DATABASE {database(backend)} SET default_transaction_isolation = serializable")
    queues = [backend.open(name) for name in ("one", "two", "three")]
    errors: list[BaseException] = []

    def work(queue: Queue) -> None:
        try:
            for number in range(8):
                add(queue, f"{queue.owner} {number}")
                make_wait(queue)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert queues[0].counts()["waiting"] == 24
    accepted = [event.file_id for event in queues[0].events(kinds=["accepted"])]
    assert len(set(accepted)) == len(accepted) == 24


def test_a_timeout_of_the_server_is_not_ours(backend: Backend, server: Server) -> None:
    name = database(backend)
    server.execute(*(f"ALTER DATABASE {name} SET {what}_timeout = '1ms'" for what in ("statement", "lock")))
    queue = backend.open()
    waiting(queue, *(f"{number}" for number in range(20)))
    assert taken(queue).file.name == "0"


def test_a_server_that_hangs_holds_nobody_up(
    backend: Backend, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps its connections and says nothing, as behind a disk that hangs."""
    monkeypatch.setattr(server_module, "ANSWER_SECONDS", 1.0)
    queue = backend.open(busy_seconds=0.5)
    waiting(queue, "a")
    server.freeze()
    try:
        begun = time.monotonic()
        with pytest.raises(QueueBusyError, match="did not answer") as first:
            queue.take()
        with pytest.raises(QueueBusyError) as second:
            queue.announce()
        assert time.monotonic() - begun < 30.0
    finally:
        server.freeze(now=False)
    assert (first.value.again, second.value.again) == (False, False), "of reading and of writing, each once"
    queue.database.busy_seconds = 30.0
    with caplog.at_level(logging.WARNING):
        assert taken(queue).file.name == "a"
        queue.event("note")
    said = [record.message for record in caplog.records if "answers again" in record.message]
    assert len(said) == 1, said


@pytest.mark.parametrize("off", [-1e7, 1e7])
def test_the_clock_of_the_machine_decides_nothing(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + off)
    tries: list[str] = []

    def send(entry: OutboxEntry) -> None:
        tries.append(entry.key)
        raise OSError("away")

    one, two = backend.open("one", lease_seconds=60.0), backend.open("two", lease_seconds=60.0)
    waiting(one, "a")
    lease = taken(one)
    assert two.adopt() == [], "the lease has not ended by the server's clock"
    assert one.renew(lease).until < true() + 100.0
    one.alert("key", "error", "title", "body")
    for _ in range(3):
        deliver(one, [Channel(name="dead", send=send)])
    assert one.outbox() == []
    assert tries == ["key"], "the pause before the next try is the server's too"
