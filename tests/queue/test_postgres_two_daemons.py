"""Two daemons, one queue on a real server, one lineage: one of them is killed, or sleeps too long, in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon.serving import PATIENCE, Place, once_each
from tests.queue.postgres import Server

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs Linux")]
LEASE_SECONDS = 8.0


@pytest.fixture
def place(tmp_path: Path, postgres: Server) -> Iterator[Place]:
    made = Place.made(tmp_path)
    made.configure(queue={"settle_seconds": 0.1, "database_url": postgres.url()})
    yield made
    made.end()


def _two(place: Place) -> dict[str, int]:
    """Starts both; their process numbers by name."""
    found = {}
    for name in ("one", "two"):
        found[name] = place.daemon("--forever", "--name", name, "--lease", str(LEASE_SECONDS)).pid
    return found


def test_the_file_of_a_killed_daemon_is_taken_up_by_the_other(place: Place) -> None:
    place.fault(step_seconds=0.1)
    place.put("a.jsonl", 80)
    place.put("b.jsonl", 10)
    daemons = _two(place)
    # Two check at a time, so that the smaller file may be the first to be trained.
    place.until(lambda: place.states().get("a.jsonl") == "training")
    place.until_step(8)
    owner = place.ask(lambda queue: queue.get(1)).owner
    os.kill(daemons[owner], signal.SIGKILL)
    place.fault(step_seconds=0.01)
    place.until(lambda: place.states() == {"a.jsonl": "done", "b.jsonl": "done"})
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    starts = [each for each in place.events("attempt-start") if each.file_id == 1]
    assert starts[0].owner == owner != starts[1].owner
    adopted = next(each for each in place.events("adopted"))
    assert adopted.time - starts[0].time < PATIENCE


def test_a_daemon_that_slept_through_its_lease_commits_nothing_more(place: Place) -> None:
    """SIGSTOP to the daemon alone: its run goes on, until the number of the next owner stops it."""
    place.fault(step_seconds=0.1)
    place.put("a.jsonl", 400)
    daemons = _two(place)
    place.until_step(3)
    owner = place.ask(lambda queue: queue.get(1)).owner
    os.kill(daemons[owner], signal.SIGSTOP)
    place.until(lambda: place.ask(lambda queue: queue.get(1)).owner not in (owner, None))
    place.fault(step_seconds=0.01)
    place.until(lambda: place.states() == {"a.jsonl": "done"})
    os.kill(daemons[owner], signal.SIGCONT)
    assert once_each(place.trained(), place.rows, ["a.jsonl"])
    place.put("b.jsonl")
    place.until(lambda: place.states().get("b.jsonl") == "done")
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    kinds = {each.data["failure"]["kind"] for each in place.events("attempt-end") if each.data["failure"]}
    assert not kinds & {"config", "code", "data"}, kinds
