"""The SQLite file: damaged, gone, on a disk that is full, of a newer release; and what a kill leaves of it."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.queue.backends import Backend, taken, waiting

from trainguard.errors import UsageError
from trainguard.facts.machine import mounts
from trainguard.queue import engine
from trainguard.queue.engine import QueueBusyError, QueueCorruptError, QueueDiskError
from trainguard.queue.rebuild import Rebuilt, recover_queue
from trainguard.queue.records import DATABASE
from trainguard.queue.sidecars import write_sidecar
from trainguard.queue.store import Queue, open_queue


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "out" / "queue"


def opened(home: Path) -> Queue:
    return open_queue(home, lineage="run", owner="one")


def recovered(home: Path) -> tuple[Queue, Rebuilt]:
    return recover_queue(home, lineage="run", owner="one")


def full(home: Path, *, settled: bool = True) -> dict[int, str]:
    """A queue with a file in each state, with sidecars as custody writes them: state by number."""
    with Backend(home=home, url=None).open() as queue:
        waiting(queue, *(f"file {number}.jsonl" for number in range(6)))
        done = taken(queue)
        for file in queue.list():
            write_sidecar(home, file)
        queue.move_to(done, "verifying", cause=None)
        write_sidecar(home, queue.move_to(done, "done", cause="verified", step=8, checkpoint="checkpoint-8"))
        failed = queue.move_to(taken(queue), "quarantined", cause="QUEUE010: three attempts", memory={"history": [1]})
        if settled:
            write_sidecar(home, failed)
        queue.hold(queue.list(("waiting",))[-1].id, "by hand")
        queue.pause("disk: 1 GB short")
        taken(queue) if queue.resume() is None else None
        queue.accept("last.jsonl", "e" * 64, 3, "last", "high")
        return {file.id: file.state for file in queue.list()}


def damage(path: Path, seed: int) -> None:
    """Overwrites a part of the file, as a bad disk or a stray write does."""
    dice = random.Random(seed)
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = 0 if seed % 3 == 0 else dice.randrange(size)
        file.seek(start)
        file.write(dice.randbytes(min(dice.choice((16, 4096, 20000)), size - start)))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_kept_and_the_queue_rebuilt(home: Path, seed: int) -> None:
    before = full(home)
    damage(home / DATABASE, seed)
    bad = (home / DATABASE).read_bytes()
    try:
        queue = opened(home)
    except QueueCorruptError as caught:
        error = caught
    else:
        # SQLite cannot see a change inside of a value: the file is not damaged for it.
        assert {file.id: file.state for file in queue.list()} == before
        queue.close()
        return
    assert str(home / DATABASE) in str(error)
    queue, rebuilt = recovered(home)
    assert rebuilt.kept is not None
    assert rebuilt.kept.read_bytes() == bad
    files = {file.id: file for file in queue.list()}
    for number, state in before.items():
        if number not in files:
            assert number == max(before), "only what has no sidecar yet may be missing"
        elif state in ("done", "quarantined"):
            assert files[number].state == state
            assert files[number].checkpoint == ("checkpoint-8" if state == "done" else None)
        else:
            assert files[number].state in ("accepted", "held")
            assert files[number].owner is None
    (event,) = queue.events(kinds=["rebuilt"])
    assert event.data["finding"]["code"] == "QUEUE008"
    assert rebuilt.kept.name in rebuilt.finding.message
    # It works, and its numbers go on.
    new, _ = queue.accept("new", "d" * 64, 1, "new")
    assert new.id > max(files)
    old = {file.id: file.fence for file in files.values()}
    lease = queue.take(("accepted",), "checking")
    assert lease is not None
    assert lease.fence > max(old.values())
    queue.close()
    opened(home).close()


def test_a_missing_database_with_custody_is_no_empty_queue(home: Path) -> None:
    before = full(home)
    (home / DATABASE).unlink()
    with pytest.raises(QueueCorruptError, match="files are in custody"):
        opened(home)
    queue, rebuilt = recovered(home)
    assert rebuilt.kept is None or rebuilt.kept.stat().st_size == 0
    assert queue.counts()["done"] == 1
    assert {file.id for file in queue.list()} == set(before) - {max(before)}
    queue.close()


def test_a_new_home_is_an_empty_queue(home: Path) -> None:
    with opened(home) as queue:
        assert queue.list() == []


def test_what_the_old_file_says_of_people_is_kept(home: Path) -> None:
    before = full(home, settled=False)
    held = [number for number, state in before.items() if state == "held"]
    quarantined = next(number for number, state in before.items() if state == "quarantined")
    queue, rebuilt = recovered(home)  # nothing is damaged: every row is read
    assert rebuilt.from_old_rows == len(before)
    assert rebuilt.events > 20
    files = {file.id: file for file in queue.list()}
    assert set(files) == set(before)
    assert [files[number].cause for number in held] == ["by hand"]
    # Its sidecar knows nothing of the quarantine, so a person decides.
    assert (files[quarantined].state, files[quarantined].memory) == ("held", {"history": [1]})
    assert queue.events(quarantined)[0].kind == "accepted"
    assert files[max(before)].priority == "high"
    queue.close()


def test_a_rebuild_that_was_killed_is_done_again(home: Path) -> None:
    before = full(home)
    damage(home / DATABASE, 0)
    code = (
        "import os, sys, signal\nfrom pathlib import Path\nfrom trainguard.queue import rebuild\n"
        "calls = 0\n"
        "def hook(event, arguments):\n"
        "    global calls\n"
        "    if event in ('os.rename', 'os.remove', 'open', 'sqlite3.connect') and 'queue' in str(arguments[0]):\n"
        "        calls += 1\n"
        "        if calls == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "rebuild.recover_queue(Path(sys.argv[1]), lineage='run', owner='one')\n"
    )
    ended = 0
    for instant in range(1, 60, 2):
        done = subprocess.run([sys.executable, "-c", code, home, str(instant)], check=False, capture_output=True)
        try:
            queue = opened(home)
        except QueueCorruptError:
            queue, _ = recovered(home)
        assert {file.id for file in queue.list()} >= set(before) - {max(before)}, instant
        assert queue.counts()["done"] == 1
        queue.close()
        if done.returncode == 0:
            ended = instant
            break
        damage(home / DATABASE, 0)
        if instant > 10:
            break
    assert ended == 0 or ended > 3, "no instant was hit"
    assert list(home.glob(f"{DATABASE}.corrupt-*"))


def test_a_database_that_is_deleted_under_the_daemon(home: Path) -> None:
    queue = opened(home)
    waiting(queue, "a")
    for path in home.glob(f"{DATABASE}*"):
        path.unlink()
    with pytest.raises(QueueCorruptError):
        queue.accept("b", "b" * 64, 1, "b")
    queue.close()


def test_a_full_disk_is_said_and_nothing_is_half_done(home: Path) -> None:
    queue = opened(home)
    waiting(queue, "a")
    file = queue.list()[0]
    pages = queue.database.read(lambda one: one.exec_driver_sql("PRAGMA page_count").scalar_one())
    # The same error as of a full disk (SQLITE_FULL), from the library itself.
    queue.database.engine.dispose()
    with queue.database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.commit()
        raw = connection.connection.dbapi_connection
        assert raw is not None
    with pytest.raises(QueueDiskError, match="free space"):
        queue.event("note", file_id=file.id, text="x" * 100_000)
    assert queue.get(file.id) == file
    queue.close()


def test_a_newer_release_and_other_databases(home: Path) -> None:
    opened(home).close()
    with sqlite3.connect(home / DATABASE) as connection:
        connection.execute("UPDATE trainguard_meta SET value = '99' WHERE key = 'schema'")
    connection.close()
    with pytest.raises(UsageError, match=r"newer trainguard.*pip install -U"):
        opened(home)


@pytest.mark.parametrize(
    "url", ["mysql://root@localhost/x", "no address", "postgresql+asyncpg://x@localhost:99999999/y"]
)
def test_other_addresses_are_refused(home: Path, url: str) -> None:
    with pytest.raises(UsageError):
        open_queue(home, lineage="run", owner="one", database_url=url, busy_seconds=0.5)


def test_a_server_that_does_not_answer_is_said_without_its_password(home: Path) -> None:
    with pytest.raises(QueueBusyError, match="did not answer") as caught:
        open_queue(
            home, lineage="run", owner="one", database_url="postgresql://me:s3cret@127.0.0.1:1/x", busy_seconds=0.5
        )
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1:1/x" in str(caught.value)


def test_a_network_file_system_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = (mounts.Mount(mount_point="/", filesystem="nfs4", source="server:/data", read_only=False),)
    monkeypatch.setattr(engine, "read_mounts", lambda: table)
    with pytest.raises(UsageError, match=r"nfs4 from server:/data.*--database-url"):
        opened(home)
    assert not home.exists()


def test_the_file_is_synced_as_documented(home: Path) -> None:
    with opened(home) as queue:
        read = queue.database.read
        journal = read(lambda one: one.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        synchronous = read(lambda one: one.exec_driver_sql("PRAGMA synchronous").scalar_one())
    assert journal == ("wal" if sqlite3.sqlite_version_info >= (3, 51, 3) else "delete")
    assert synchronous == 3  # EXTRA


def test_two_threads_whose_database_answers_again_at_once(home: Path) -> None:
    """The one forgets the failures while the other reads them: a transaction that went well raises nothing."""
    with opened(home) as queue:
        database = queue.database

        class Failures(dict[bool, float]):
            def values(self) -> Any:
                if threading.current_thread() is threading.main_thread():
                    other = threading.Thread(target=database._answers, args=(False,))
                    other.start()
                    other.join()
                return super().values()

        database._failing = Failures({True: 0.0, False: 0.0})
        queue.pause("wait")
        assert not database._failing
