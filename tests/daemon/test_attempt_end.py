"""The end of an attempt stands in the history once, whatever happens between it and the transition that follows."""

from __future__ import annotations

import errno
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.daemon.serving import ROOT
from tests.daemon.test_loop_parts import _settings
from trainguard.daemon import acting
from trainguard.daemon import attempt as module
from trainguard.daemon.keeping import Work
from trainguard.daemon.lineage import Tip
from trainguard.daemon.verifying import begin_verifying
from trainguard.queue.custody import Custody
from trainguard.queue.records import DATABASE
from trainguard.queue.sidecars import read_sidecar
from trainguard.queue.store import Queue, open_queue
from trainguard.recovery.records import Decision, Failure

FAILURE = Failure(kind="killed", code="RUN012", why="it was killed", fingerprint="x", step=7)
ENDED = acting.Ended(number=1, started=0.0, first_step=4, last_step=7, changes={})
DECISION = Decision(act="retry", why="once more", policy="p")
# A real kill in the middle of the transaction: at the statement that moves the row, with the event before it.
DIES = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from tests.daemon.test_attempt_end import DECISION, ENDED, FAILURE
from trainguard.daemon import acting
from trainguard.queue.store import open_queue

queue = open_queue(Path(sys.argv[1]), lineage="l", owner="me")
lease = queue.take()

@event.listens_for(queue.database.engine, "before_cursor_execute")
def kill(connection, cursor, statement, *rest):
    if statement.startswith("UPDATE trainguard_files"):
        os.kill(os.getpid(), signal.SIGKILL)

acting.act(queue, lease, ENDED, FAILURE, DECISION)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with _opened(tmp_path / "home") as queue:
        queue.accept("a.jsonl", "ab" * 32, 10, "here")
        lease = queue.take(("accepted",), "checking")
        assert lease is not None
        queue.move_to(lease, "waiting", cause=None)
    return tmp_path / "home"


def _opened(home: Path) -> Queue:
    return open_queue(home, lineage="l", owner="me")


def _ends(queue: Queue) -> int:
    return len(queue.events(kinds=["attempt-end"]))


def test_a_transition_that_the_database_refuses_leaves_no_end(home: Path) -> None:
    with _opened(home) as queue:
        lease = queue.take()
        assert lease is not None
        with sqlite3.connect(home / DATABASE) as beside:
            beside.execute(
                "CREATE TRIGGER full BEFORE UPDATE OF state ON trainguard_files "
                "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
            )
        beside.close()
        with pytest.raises(Exception, match="database or disk is full"):
            acting.act(queue, lease, ENDED, FAILURE, DECISION)
        assert _ends(queue) == 0
        with sqlite3.connect(home / DATABASE) as beside:
            beside.execute("DROP TRIGGER full")
        beside.close()
        assert acting.act(queue, lease, ENDED, FAILURE, DECISION).state == "waiting"
        assert _ends(queue) == 1


def test_a_kill_before_the_transition_leaves_no_end(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIES, str(home)], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    with _opened(home) as queue:
        assert _ends(queue) == 0
        (lease,) = queue.adopt()
        assert acting.act(queue, lease, ENDED, FAILURE, DECISION).state == "waiting"
        assert _ends(queue) == 1
        kinds = [(each.kind, each.to_state) for each in queue.events(lease.file.id)]
        assert kinds[-2:] == [("attempt-end", None), ("transition", "waiting")]


def test_a_verification_that_cannot_be_started_now_is_started_later(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    with _opened(home) as queue:
        lease = queue.take()
        assert lease is not None
        file = queue.move_to(lease, "verifying", cause=None)
        lease = msgspec.structs.replace(lease, file=file)
        work = Work(queue=queue, custody=Custody(home), settings=settings, command=["x"], lease_seconds=30.0)
        attempt = module.Attempt.verify(work, lease, Tip())
        begin, failures = begin_verifying, [OSError(errno.EMFILE, "Too many open files")] * 2

        def short(*given: Any) -> Any:
            if failures:
                raise failures.pop()
            return begin(*given)

        monkeypatch.setattr(module, "begin_verifying", short)
        for _ in range(2):
            with pytest.raises(OSError, match="Too many"):
                attempt.tick()
        until = time.monotonic() + 60.0
        while not attempt.over and time.monotonic() < until:
            attempt.tick()
            time.sleep(0.02)
        # There is no checkpoint: it was looked for, and the file goes on.
        assert attempt.failure is not None
        assert attempt.failure.code == "RUN026"
        assert _ends(queue) == 1


def test_what_is_held_is_known_beside_its_content(home: Path, tmp_path: Path) -> None:
    """The queue may be rebuilt from the folders alone: what a person held must not be trained then."""
    settings = _settings(tmp_path)
    with _opened(home) as queue:
        lease = queue.take()
        assert lease is not None
        work = Work(queue=queue, custody=Custody(home), settings=settings, command=["x"], lease_seconds=30.0)
        attempt = module.Attempt(work, lease, Tip())
        queue.hold(lease.file.id, "the labels are wrong")
        attempt._failed(FAILURE)
        assert attempt.file.state == "held"
        known = read_sidecar(home, attempt.file)
        assert known is not None
        assert (known.state, known.cause) == ("held", "the labels are wrong")
