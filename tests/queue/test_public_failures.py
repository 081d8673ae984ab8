"""Three failures that users of a similar tool have reported, and that this queue must not have.

Taken from the issue lists of simple training queues: a job that is "running" for ever after a power loss because of its
stale PID, one stuck row that everybody behind waits for, and "database is locked", after which a job is neither
running nor done.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.queue.backends import Backend, taken, waiting

from trainguard.queue import engine
from trainguard.queue.engine import QueueBusyError
from trainguard.queue.records import DATABASE

# Takes a file, says so, and is killed in the middle of its work.
DAEMON = """
import os, sys, time
from pathlib import Path
from trainguard.queue.store import open_queue
home, owner, url = sys.argv[1:]
queue = open_queue(Path(home), lineage="run", owner=owner, database_url=url or None, lease_seconds=4)
queue.announce("training")
lease = queue.take()
os.write(1, f"{lease.file.id} {lease.fence}\\n".encode())
while True:
    lease = queue.renew(lease)
    os.write(1, b"renewed\\n")
    time.sleep(1)
"""


def start_daemon(backend: Backend, owner: str) -> tuple[subprocess.Popen[str], int, int]:
    """A real process that has a file in training: itself, the file and its fence."""
    command = [sys.executable, "-c", DAEMON, str(backend.home), owner, backend.url or ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    number, fence = process.stdout.readline().split()
    return process, int(number), int(fence)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_job_is_not_running_for_ever_after_a_power_loss(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = backend.open("one", lease_seconds=4.0)
    waiting(queue, "a", "b")
    process, number, fence = start_daemon(backend, "one")
    kill(process)
    # After the power came back the old PID belongs to somebody else, and the clock's battery was empty.
    worker = next(worker for worker in queue.workers() if worker.pid == process.pid)
    assert worker.doing == "training"
    if backend.sqlite:
        wall = engine.wall_clock
        monkeypatch.setattr(engine, "wall_clock", lambda: wall() - 1e9)
    restarted = backend.open("one")
    assert restarted.take() is None  # the file is still in training
    (lease,) = restarted.adopt()
    assert (lease.file.id, lease.file.state) == (number, "training")
    assert lease.fence > fence
    restarted.move_to(lease, "waiting", cause="its daemon died")
    assert taken(restarted).file.id == number


@pytest.mark.postgres
def test_another_machine_takes_up_within_the_lease(backend: Backend) -> None:
    if backend.sqlite:
        return  # one daemon a queue
    living = backend.open("living", lease_seconds=4.0)
    waiting(living, "a")
    process, number, fence = start_daemon(backend, "dead")
    time.sleep(5)  # longer than a lease: the renewals keep it
    assert living.adopt() == []
    kill(process)
    killed = time.monotonic()
    leases = living.adopt()
    while not leases:
        assert time.monotonic() - killed < 60.0
        time.sleep(0.05)
        leases = living.adopt()
    assert time.monotonic() - killed < 4.0 + 10.0
    assert (leases[0].file.id, leases[0].file.state) == (number, "training")
    assert leases[0].fence > fence


def test_a_paused_machine_that_wakes_up_is_refused(backend: Backend) -> None:
    """SIGSTOP for longer than the lease, then SIGCONT: the process renews, and is told that it has lost."""
    other = backend.open("other", lease_seconds=4.0)
    waiting(other, "a")
    process, _, _ = start_daemon(backend, "sleeper")
    # While it sleeps: stopped in the middle of a transaction it would keep SQLite's lock, and everybody out.
    assert process.stdout is not None
    assert process.stdout.readline() == "renewed\n"
    process.send_signal(signal.SIGSTOP)
    leases = other.adopt()
    deadline = time.monotonic() + 60.0
    while not leases and time.monotonic() < deadline:
        time.sleep(0.05)
        leases = other.adopt()
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 1  # LostLeaseError ended it
    process.communicate()
    assert other.renew(leases[0]).fence == leases[0].fence


def test_one_stuck_row_does_not_block_the_queue(backend: Backend) -> None:
    queue = backend.open()
    first, *rest = waiting(queue, "stuck", "a", "b", "c")
    backend.write(queue, first.id, {"memory": "\x01{", "held_from": "nowhere", "priority": "?"})
    names = []
    while (lease := queue.take()) is not None:
        names.append(lease.file.name)
        queue.move_to(lease, "verifying", cause=None)
        queue.move_to(lease, "done", cause=None)
    assert names == [file.name for file in rest]
    assert [file.name for file in queue.list(("held",))] == ["stuck"]
    # And one that always fails waits for its time, without anybody behind it waiting too.
    failing, behind = waiting(queue, "failing", "behind")
    queue.move_to(taken(queue), "waiting", cause="failed", delay_seconds=60)
    assert taken(queue).file.id == behind.id
    assert failing.id != behind.id


def lock(path: Path) -> subprocess.Popen[str]:
    """Another process that keeps the whole file locked until it reads a line, as a backup or a viewer does."""
    code = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True)\n"
        "sys.stdin.readline(); c.execute('COMMIT')\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code, path], text=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_locked_database_wedges_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The driver gives up long before the lock ends: what waits is the queue.
    monkeypatch.setattr(engine, "_STATEMENT_SECONDS", 0.1)
    backend = Backend(home=tmp_path / "queue", url=None)
    queue = backend.open()
    waiting(queue, "a", "b")
    lease = taken(queue)
    with lock(tmp_path / "queue" / DATABASE) as process:
        assert process.stdin is not None
        begun = time.monotonic()
        threading.Timer(2.0, process.stdin.close).start()
        assert queue.counts()["training"] == 1
        assert queue.move_to(lease, "verifying", cause="trained").state == "verifying"
        assert backend.open("cli").get(lease.file.id) is not None
        assert time.monotonic() - begun > 1.0
    queue.move_to(lease, "done", cause="verified")
    assert taken(queue).file.name == "b"
    backend.close()


def test_a_database_that_stays_locked_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    backend = Backend(home=tmp_path / "queue", url=None)
    queue = backend.open(busy_seconds=0.5)
    waiting(queue, "a")
    lease = taken(queue)
    process = lock(tmp_path / "queue" / DATABASE)
    with pytest.raises(QueueBusyError, match=r"was locked for \d s \(database is locked\)"):
        queue.move_to(lease, "verifying", cause="trained")
    with pytest.raises(QueueBusyError):
        backend.open("cli", busy_seconds=0.5)
    kill(process)
    assert queue.move_to(lease, "verifying", cause="trained").state == "verifying"
    assert [event.to_state for event in queue.events(lease.file.id)].count("verifying") == 1
    backend.close()


def test_many_writers_at_once(tmp_path: Path) -> None:
    """Readers and writers of several processes' worth of connections: each gets its turn."""
    backend = Backend(home=tmp_path / "queue", url=None)
    queues = [backend.open(f"{number}") for number in range(4)]
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(15):
                queues[number].accept(f"{number}-{turn}", f"{number:032x}{turn:032x}", 1, f"{number}-{turn}")
                queues[number].list()
        except (QueueBusyError, sqlite3.Error) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert queues[0].counts()["accepted"] == 60
    backend.close()
