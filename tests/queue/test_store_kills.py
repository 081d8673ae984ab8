"""A process is killed with SIGKILL at random instants of queue operations, and the queue is whole every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.durable_queue import kills
from tests.queue.postgres import Server


def test_thirty_kills(tmp_path: Path) -> None:
    assert kills(30, tmp_path / "out" / "queue", None, seed=3) == []


@pytest.mark.postgres
def test_ten_kills_on_postgres(tmp_path: Path, postgres: Server) -> None:
    assert kills(10, tmp_path / "out" / "queue", postgres.url(), seed=5) == []


@pytest.mark.slow
def test_three_hundred_kills(tmp_path: Path) -> None:
    assert kills(300, tmp_path / "out" / "queue", None, seed=4) == []


@pytest.mark.slow
@pytest.mark.postgres
def test_a_hundred_kills_on_postgres(tmp_path: Path, postgres: Server) -> None:
    assert kills(100, tmp_path / "out" / "queue", postgres.url(), seed=6) == []
