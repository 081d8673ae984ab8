"""Two daemons, one queue on a real server, one lineage: one of them is killed, or sleeps too long, in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.daemon.serving import PATIENCE, Place, once_each
from tests.queue.postgres import Server

from trainguard.daemon.keeping import Work
from trainguard.daemon.lineage import MovedOnError, Tip, tip_of
from trainguard.daemon.readying import make_ready
from trainguard.daemon.settings import read_daemon_settings
from trainguard.fencing import FencedError, read_fence
from trainguard.queue.accepting import accept_path
from trainguard.queue.custody import Custody
from trainguard.queue.records import Lease
from trainguard.queue.store import Queue, open_queue

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


@pytest.mark.parametrize("at_once", [True, False])
def test_one_folder_that_is_seen_at_two_paths_is_one_lineage(place: Place, tmp_path: Path, at_once: bool) -> None:
    """Two machines that mount a share at different places; here, one of the two comes through a link."""
    place.fault(step_seconds=0.05)
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        place.put(name, 24)
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    try:
        arguments = ("--forever", "--lease", str(LEASE_SECONDS), "--name")
        place.daemon(*arguments, "one")
        if not at_once:
            place.until_step(3)
        place.daemon(*arguments, "two", config=link / "config.json")
        place.until(lambda: len({each.owner for each in place.ask(lambda queue: queue.workers())}) == 2)
        place.until(lambda: place.states() == dict.fromkeys(place.rows, "done"))
        by_link = read_daemon_settings(link / "config.json", environment={})
        with closing(
            open_queue(by_link.home, lineage=by_link.lineage, owner="test", database_url=by_link.database_url)
        ) as queue:
            assert {each.name: each.state for each in queue.list()} == dict.fromkeys(place.rows, "done")
        assert once_each(place.trained(), place.rows, list(place.rows))
    finally:
        place.end()
        link.unlink()


def test_a_daemon_that_comes_late_to_the_lineage_begins_nothing_in_it(place: Place) -> None:
    """It read where the lineage stands, and took a file, before another daemon went on with both."""
    settings = read_daemon_settings(place.config, environment={})
    before, custody = tip_of(settings.output_dir), Custody(settings.home)
    place.put("a.jsonl")
    assert place.serve("--name", "one") == 0

    def opened(owner: str) -> Queue:
        return open_queue(
            settings.home, lineage=settings.lineage, owner=owner, database_url=settings.database_url, lease_seconds=1
        )

    def begin(queue: Queue, lease: Lease, tip: Tip) -> str | None:
        work = Work(queue=queue, custody=custody, settings=settings, command=["x"], lease_seconds=1)
        return make_ready(work, lease, tip, given_up=lambda: False, tell=lambda finding: None)

    with closing(opened("late")) as late, closing(opened("other")) as other:
        place.put("b.jsonl", into="elsewhere")
        accept_path(place.folder / "elsewhere" / "b.jsonl", "normal", custody, late)
        checked = late.take(("accepted",), "checking")
        assert checked is not None
        late.move_to(checked, "waiting", cause=None)
        first = late.take()
        assert first is not None
        with pytest.raises(MovedOnError):
            begin(late, first, before)
        assert read_fence(settings.output_dir) == first.fence  # whoever was there before commits nothing from here on
        assert begin(late, first, tip_of(settings.output_dir)) is None
        adopted: list[Lease] = []

        def taken_up() -> bool:
            adopted.extend(other.adopt())
            return bool(adopted)

        place.until(taken_up)
        (second,) = adopted
        assert begin(other, second, tip_of(settings.output_dir)) is None
        with pytest.raises(FencedError):
            begin(late, first, tip_of(settings.output_dir))
        assert read_fence(settings.output_dir) == second.fence > first.fence
