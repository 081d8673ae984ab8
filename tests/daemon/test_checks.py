"""The check of accepted files by the daemon: several a turn, each once, whatever goes wrong between."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainguard.daemon.checks import Checker
from trainguard.daemon.settings import Settings, read_daemon_settings
from trainguard.queue import settled
from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.engine import QueueBusyError
from trainguard.queue.inbox import Inbox
from trainguard.queue.sidecars import read_sidecar
from trainguard.queue.store import Queue, open_queue

FILES = 40


class Bench:
    """A queue with files in custody, and a checker."""

    def __init__(self, folder: Path) -> None:
        (folder / "base").mkdir()
        (folder / "inbox").mkdir()
        (folder / "config.json").write_text(json.dumps({"base_model": "base", "output_dir": "out"}))
        self.settings: Settings = read_daemon_settings(folder / "config.json", environment={})
        self.inbox = Inbox(folder / "inbox", 0.0)
        self.queue: Queue = open_queue(self.settings.home, lineage="l", owner="me")
        self.custody = Custody(self.settings.home)
        self.checker = Checker(self.queue, self.custody, lease_seconds=30.0)

    def put(self, **contents: str) -> None:
        for name, content in contents.items():
            (self.inbox.folder / f"{name}.jsonl").write_text(content)
        assert len(accept_ready(self.inbox, self.custody, self.queue).files) == len(contents)

    def check(self) -> int:
        """Turns until nothing is left; how many."""
        end = time.monotonic() + 180.0
        turns = 0
        while self.checker.busy or self.queue.counts()["accepted"]:
            assert time.monotonic() < end
            turns += 1
            self.checker.tick(self.settings)
        return turns

    def states(self) -> dict[str, str]:
        return {file.name: file.state for file in self.queue.list()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.checker.close()
    made.queue.close()


def test_a_turn_checks_several_small_files(bench: Bench) -> None:
    bench.put(first='{"text": "a"}\n')
    bench.check()  # the worker is there from now on
    bench.put(**{f"f{number}": f'{{"text": "row {number}"}}\n' for number in range(FILES)}, broken='{"text": ')
    sidecars = {path: path.stat().st_mtime_ns for path in bench.settings.home.glob("files/*/.*.json")}
    worker, turns = bench.checker._inspector.pid, bench.check()
    states = bench.states()
    assert states.pop("broken.jsonl") == "failed"
    assert set(states.values()) == {"waiting"}
    assert turns < FILES * 2  # one and a wait for each, before
    assert bench.checker._inspector.pid == worker
    again = [path for path, before in sidecars.items() if path.stat().st_mtime_ns != before]
    assert len(again) == 1, "only what failed has something new to tell"
    moved = [(event.file_id, event.to_state) for event in bench.queue.events(kinds=["transition"])]
    assert len(moved) == len(set(moved)), "none was checked twice"


def test_a_file_that_is_tried_anew_is_not_shown_as_failed_any_more(bench: Bench) -> None:
    bench.put(broken='{"text": ')
    bench.check()
    (file,) = bench.queue.list()
    folder = settled.folder_of(bench.settings.home, file, "failed")
    assert (folder / settled.REASON).exists()
    # The check begins with the folder as it was, or a crash has taken that away and left the other.
    for gone in (False, True):
        bench.queue.retry(file.id)
        if gone:
            settled.remove(bench.settings.home, file)
        worker = bench.checker._inspector.pid
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)  # it is asked, and does not answer yet
        bench.checker.tick(bench.settings)
        assert not folder.exists()
        known = read_sidecar(bench.settings.home, file)
        assert known is not None
        assert known.state == "checking", "a queue that is rebuilt now must not take it for failed"
        os.kill(worker, signal.SIGCONT)
        bench.check()
        assert folder.exists()


def test_a_worker_that_is_killed_costs_no_file(bench: Bench) -> None:
    bench.put(first='{"text": "a"}\n')
    bench.check()
    bench.put(a='{"text": "b"}\n', b='{"text": ')
    worker = bench.checker._inspector.pid
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    bench.checker.tick(bench.settings)
    assert bench.checker.busy
    os.kill(worker, signal.SIGKILL)
    bench.check()
    assert bench.states() == {"first.jsonl": "waiting", "a.jsonl": "waiting", "b.jsonl": "failed"}


def test_an_answer_is_kept_until_the_queue_takes_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(a='{"text": "b"}\n')
    moved, refused = bench.queue.move_to, list[int]()

    def busy_twice(*given: Any, **named: Any) -> Any:
        if len(refused) < 2:
            refused.append(1)
            raise QueueBusyError("somebody keeps it")
        return moved(*given, **named)

    monkeypatch.setattr(bench.queue, "move_to", busy_twice)
    end = time.monotonic() + 120.0
    seen = 0
    while bench.states() != {"a.jsonl": "waiting"}:
        assert time.monotonic() < end
        try:
            bench.checker.tick(bench.settings)
        except QueueBusyError:
            seen += 1
    assert seen == 2


def test_a_check_that_is_given_back_is_done_later(bench: Bench) -> None:
    bench.put(a='{"text": "b"}\n', b='{"text": "c"}\n')
    bench.checker.tick(bench.settings)  # the worker is still being started: it is not through in one turn
    given_back = bench.checker.number
    bench.checker.give_back("asked for")
    assert (given_back is None, bench.checker.busy) == (False, False)
    assert set(bench.states().values()) <= {"accepted", "waiting"}
    bench.check()
    assert set(bench.states().values()) == {"waiting"}


def test_a_file_that_is_held_during_its_check_stays_held_in_a_rebuilt_queue(bench: Bench) -> None:
    bench.put(one=json.dumps({"text": "a sound row"}) + "\n")
    bench.checker._begin(bench.settings)
    (file,) = bench.queue.list()
    assert file.state == "checking"
    bench.queue.hold(file.id, "the labels are wrong")
    bench.check()
    known = read_sidecar(bench.settings.home, file)
    assert known is not None
    assert (known.state, known.cause) == ("held", "the labels are wrong")
