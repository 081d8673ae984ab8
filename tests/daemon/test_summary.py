"""The summary of a day: told once, with the numbers of the day and what waits for a person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.history import HOSTILE, accepted, trained
from trainguard.daemon.summary import Day, Summary, day_since, summary_text
from trainguard.queue.store import Queue, open_queue


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = open_queue(tmp_path / "out" / "queue", lineage="out", owner="test")
    yield opened
    opened.close()


def morning(hour: int, day: int = 20) -> float:
    return time.mktime((2026, 11, day, hour, 5, 0, 0, 0, -1))


def test_the_numbers_of_the_day(queue: Queue) -> None:
    trained(queue, "one.jsonl")
    trained(queue, "two.jsonl", before=10, fault=True)
    file = accepted(queue, HOSTILE)
    queue.hold(file.id, "look at it")
    gone = accepted(queue, "three.jsonl")
    queue.cancel(gone.id, "not wanted")
    queue.pause("disk: 1 GB free")
    day = day_since(queue, time.time() - 86400)
    assert (day.accepted, day.trained, day.set_aside, day.steps, day.lost_steps) == (4, 2, 1, 27, 2)
    assert day.faults == {"not-finite": 1}
    assert day.asking_count == 2
    title, body = summary_text(day)
    assert title == "2 files trained in a day, 2 files for a person to look at"
    assert "paused: disk: 1 GB free" in body
    assert f"{gone.id} three.jsonl (failed)" in body
    assert "\x1b" not in body
    assert day_since(queue, time.time() + 60).trained == 0


def test_a_day_without_anything() -> None:
    title, body = summary_text(Day())
    assert title == "nothing was trained in a day"
    assert "faults: none" in body


def test_it_is_told_once_a_day_from_its_hour_on(queue: Queue) -> None:
    accepted(queue, "one.jsonl")
    summary = Summary(8)
    assert not summary.tick(queue, morning(9, day=19)), "there was no yesterday"
    ago = queue.database.write(lambda connection: connection.exec_driver_sql("UPDATE trainguard_events SET time = 0"))
    assert ago.rowcount == 1
    assert not summary.tick(queue, morning(7))
    assert summary.tick(queue, morning(8))
    assert not summary.tick(queue, morning(9))
    assert summary.tick(queue, morning(23, day=21))
    # A restarted daemon, and a clock that goes back, tell nothing twice.
    Summary(8).tick(queue, morning(10))
    Summary(8).tick(queue, morning(23, day=21))
    keys = [each.key for each in queue.outbox(time.time() + 1e9)]
    assert keys == ["summary:2026-11-20", "summary:2026-11-21"]
