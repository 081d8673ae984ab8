"""A daemon whose server goes away in the middle of a file: for less than the lease, and for longer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import make_url
from tests.daemon.serving import Place, once_each
from tests.queue.postgres import Server, missing

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs Linux")]
SECRET = "s3cretword"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which it may end; the daemon gets in with a password."""
    if (why := missing()) is not None:
        pytest.skip(why)
    server = Server(own=True)
    if not server.may_stop:
        pytest.skip("no PostgreSQL server of the test's own")
    server.execute(f"CREATE ROLE daemon SUPERUSER LOGIN PASSWORD '{SECRET}'")
    server.ask_for_a_password("daemon")
    yield server
    server.stop()


@pytest.fixture
def place(tmp_path: Path, server: Server) -> Iterator[Place]:
    made = Place.made(tmp_path)
    url = make_url(server.url()).set(username="daemon", password=SECRET).render_as_string(hide_password=False)
    made.configure(queue={"settle_seconds": 0.1, "database_url": url})
    yield made
    made.end()


def _leaks(place: Place, pid: int) -> list[str]:
    """Where the password is to be read but for the configuration: files, and command lines of the daemon's tree."""
    files = [path for path in place.folder.rglob("*") if path.is_file() and path != place.config]
    found = [str(path) for path in files if SECRET.encode() in path.read_bytes()]
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return found + [each.name() for each in tree if SECRET in " ".join(each.cmdline())]


def _training(pid: int) -> list[psutil.Process]:
    """The processes of a daemon's run; what checks files may stay for the next one."""
    children = psutil.Process(pid).children(recursive=True)
    return [each for each in children if "_tiny_trainer" in " ".join(each.cmdline())]


def _lines(place: Place, words: str) -> list[str]:
    return [line for line in place.log().splitlines() if words in line]


def test_a_server_that_is_away_for_less_than_the_lease_costs_nothing(place: Place, server: Server) -> None:
    place.fault(step_seconds=0.1)
    place.put("a.jsonl", 400)
    server.shut_down()
    daemon = place.daemon("--forever", "--lease", "60")
    place.until(lambda: _lines(place, "tried again for"))
    server.start()  # started with the machine, before the server was
    step = place.until_step(5)
    assert _leaks(place, daemon.pid) == []
    server.shut_down()
    place.until_step(step + 10)  # it trains on, without the queue
    time.sleep(6.0)
    server.start()
    place.fault(step_seconds=0.001)
    place.until(lambda: place.states() == {"a.jsonl": "done"})
    assert daemon.poll() is None
    assert len(place.events("attempt-start")) == 1
    assert once_each(place.trained(), place.rows, ["a.jsonl"])
    # Reading and writing are told apart, so each may be said to be away, and that is all.
    away = [line for line in _lines(place, "did not answer") if "tried again for" not in line]
    assert 1 <= len(away) <= 2, away
    assert len(_lines(place, "tried again for")) == 1
    assert len(_lines(place, "answers again")) in (1, 2)
    assert _leaks(place, daemon.pid) == []


def test_a_run_is_ended_before_another_daemon_may_have_its_file(place: Place, server: Server) -> None:
    """Away for longer than the lease: the run is let go of by then, its checkpoints stand, and it goes on later."""
    place.fault(step_seconds=0.1)
    place.put("a.jsonl", 60)
    daemon = place.daemon("--forever", "--lease", "8")
    place.until_step(5)
    server.crash()
    place.until(lambda: _lines(place, "its run is ended here"))
    place.until(lambda: not _training(daemon.pid))
    place.fault(step_seconds=0.001)
    server.start()
    place.until(lambda: place.states() == {"a.jsonl": "done"})
    assert daemon.poll() is None
    assert len(place.events("attempt-start")) == 2
    assert once_each(place.trained(), place.rows, ["a.jsonl"])
    assert not {each.data["failure"]["kind"] for each in place.events("attempt-end") if each.data["failure"]} & {
        "config",
        "code",
        "data",
    }


def test_the_address_is_on_no_command_line_of_a_daemon_in_the_background(place: Place, server: Server) -> None:
    """`ps` shows command lines to every user of a machine."""
    url = place.ask(lambda queue: queue.database.engine.url).set(drivername="postgresql")
    place.configure(queue={"settle_seconds": 0.1})
    command = [sys.executable, "-m", "trainguard", "daemon", "start", str(place.config)]
    started = subprocess.run(
        [*command, "--database-url", url.render_as_string(hide_password=False)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r"process (\d+)", started.stdout)
    assert found is not None, started.stderr
    pid = int(found[1])
    try:
        assert _leaks(place, pid) == []
        assert SECRET not in started.stdout + started.stderr
    finally:
        psutil.Process(pid).terminate()
        place.until(lambda: not psutil.pid_exists(pid))
    assert not (place.home / "queue.sqlite").exists(), "it used the server"
