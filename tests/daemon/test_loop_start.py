"""A machine on which no process can be started for a while: the queue waits, and no file is given up for it."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.serving import Place
from trainguard.daemon.child import Child
from trainguard.daemon.probing import can_start


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place.made(tmp_path)
    yield made
    made.end()


@pytest.mark.slow  # a probe every 15 s
def test_a_queue_without_descriptors_waits_and_goes_on_by_itself(place: Place) -> None:
    daemon = place.daemon("--forever")
    place.until(lambda: place.home.exists() and place.events("daemon-start"))
    place.ask(lambda queue: queue.pause("a person: not yet"))
    place.put("a.jsonl")
    place.until(lambda: place.states().get("a.jsonl") == "waiting")
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    # Enough for the database's journal and for reading a file, too little for a process with its pipes.
    few = max(int(each) for each in os.listdir(f"/proc/{daemon.pid}/fd")) + 4
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (few, hard))
    place.ask(lambda queue: queue.resume())
    place.until(lambda: str(place.ask(lambda queue: queue.paused)).startswith("start: SYS011"))
    assert place.states() == {"a.jsonl": "waiting"}
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
    place.until(lambda: place.states() == {"a.jsonl": "done"})
    failures = [each.data["failure"] for each in place.events("attempt-end") if each.data["failure"]]
    assert failures
    assert {each["code"] for each in failures} == {"SYS011"}


def test_the_probe_starts_a_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert can_start()
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    assert not can_start()


def test_a_supervisor_that_cannot_begin_is_no_kill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'BlockingIOError: [Errno 11] Resource temporarily unavailable' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    ended = Child.start(["/bin/true"], folder=tmp_path / "1").wait(60.0)
    assert ended is not None
    assert (ended.exit_code, ended.signal, ended.not_started) == (126, None, errno.EAGAIN)
    assert "Resource temporarily unavailable" in (ended.reason or "")
