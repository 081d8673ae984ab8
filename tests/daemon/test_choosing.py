"""Which file is begun: one that is in its middle, or nobody, whoever changes the queue meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.daemon.test_loop_parts import _settings
from trainguard.daemon import choosing as module
from trainguard.daemon.background import Background
from trainguard.daemon.choosing import Choosing
from trainguard.daemon.commanding import file_id
from trainguard.daemon.lineage import Tip
from trainguard.queue.custody import Custody
from trainguard.queue.engine import QueueBusyError
from trainguard.queue.records import QueuedFile, State
from trainguard.queue.store import Queue, open_queue

_TRAINING: tuple[State, ...] = ("training",)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with open_queue(tmp_path / "home", lineage="l", owner="me") as opened:
        for name in "abc":
            opened.accept(f"{name}.jsonl", f"{ord(name):064x}", 10, name)
        while (lease := opened.take(("accepted",), "checking")) is not None:
            opened.move_to(lease, "waiting", cause=None)
        yield opened


def _choosing(queue: Queue, folder: Path, monkeypatch: pytest.MonkeyPatch, middle: QueuedFile) -> Choosing:
    tip = Tip(step=10, file_id=file_id(middle), step_before=4, planned_steps=20)
    monkeypatch.setattr(module, "tip_of", lambda _: tip)
    settings = _settings(folder)
    found = Choosing(queue, settings, Background(lambda: None, "none"), Custody(settings.home))
    found.leftovers = None
    return found


def test_a_file_in_its_middle_is_begun_before_all_others(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = queue.list()[1]
    found = _choosing(queue, tmp_path, monkeypatch, middle).next()
    assert found is not None
    assert found[0].file.id == middle.id


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda queue, middle: queue.move(3, first=True),
        lambda queue, middle: queue.hold(middle, "a person"),
    ],
    ids=["another is moved before it", "it is held"],
)
def test_nobody_goes_on_top_of_its_half_whatever_is_done_meanwhile(
    queue: Queue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[Queue, int], object],
) -> None:
    """Between the look at the lineage and the taking."""
    middle = queue.list()[1]
    chosen = _choosing(queue, tmp_path, monkeypatch, middle)
    take = queue.take

    def late(*given: object, **named: object) -> object:
        meanwhile(queue, middle.id)
        return take(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "take", late)
    found = chosen.next()
    assert found is None or found[0].file.id == middle.id
    assert [each.id for each in queue.list(states=_TRAINING)] == ([middle.id] if found else [])


def test_a_file_that_was_leased_is_begun_though_the_queue_is_busy_right_after_it(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody adopts what this daemon has leased itself: it would be in training for ever, and the others wait."""
    middle = queue.list()[1]
    chosen = _choosing(queue, tmp_path, monkeypatch, middle)
    get, busy = queue.get, 1

    def late(number: int) -> object:
        nonlocal busy
        if busy and queue.list(states=_TRAINING):
            busy -= 1
            raise QueueBusyError("others keep it locked")
        return get(number)

    monkeypatch.setattr(queue, "get", late)
    with pytest.raises(QueueBusyError):
        chosen.next()
    assert chosen.busy
    found = chosen.next()
    assert found is not None
    assert found[0].file.id == middle.id
    assert not chosen.busy


def test_the_clock_of_the_database_says_when_a_pause_is_over(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's may be ahead of it."""
    middle = queue.list()[1]
    lease = queue.take(only=middle.id)
    assert lease is not None
    queue.move_to(lease, "waiting", cause="network", delay_seconds=20.0)
    wall = __import__("time").time
    monkeypatch.setattr("time.time", lambda: wall() + 30.0)
    monkeypatch.setattr(type(queue.database), "now", lambda self, connection: wall())
    assert _choosing(queue, tmp_path, monkeypatch, middle).next() is None
    assert not queue.list(states=_TRAINING)


def test_the_one_file_that_may_be_taken(queue: Queue) -> None:
    assert queue.take(only=99) is None
    queue.hold(2, "a person")
    assert queue.take(only=2) is None
    lease = queue.take(only=3)
    assert lease is not None
    assert lease.file.id == 3
    assert queue.take(only=1) is None  # one of a lineage at a time


@pytest.mark.parametrize("tip", [Tip(), Tip(step=6)], ids=["no checkpoint", "an older one"])
def test_a_lineage_that_lost_the_end_of_a_file_asks_a_person_once(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tip: Tip
) -> None:
    lease = queue.take()
    assert lease is not None
    lease = msgspec.structs.replace(lease, file=queue.move_to(lease, "verifying", cause=None))
    done = queue.move_to(lease, "done", cause=None, step=8)
    chosen = _choosing(queue, tmp_path, monkeypatch, done)
    monkeypatch.setattr(module, "tip_of", lambda _: tip)
    assert chosen.next() is None
    assert queue.paused is None, "read once more, now that the file is known to be done"
    assert chosen.next() is None
    assert str(queue.paused).startswith(f"lineage: file {done.id} ended at step 8, and ")
    assert "a.jsonl" in str(queue.paused)
    assert chosen.waits_for_a_person
    queue.resume()
    found = chosen.next()
    assert found is not None  # as the person has decided


def test_a_lineage_that_ends_where_its_last_file_did_is_built_upon(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = queue.take()
    assert lease is not None
    lease = msgspec.structs.replace(lease, file=queue.move_to(lease, "verifying", cause=None))
    done = queue.move_to(lease, "done", cause=None, step=10)
    found = _choosing(queue, tmp_path, monkeypatch, done).next()
    assert found is not None
    assert queue.paused is None


@pytest.mark.parametrize("becomes", ["done", "waiting"])
def test_what_another_daemon_ends_meanwhile_is_no_half_that_was_given_up(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: State
) -> None:
    """Between the look at the queue and the taking: its checkpoints would be set aside, and its rows be lost."""
    last = queue.take()
    assert last is not None
    queue.move_to(last, "verifying", cause=None)
    chosen = _choosing(queue, tmp_path, monkeypatch, last.file)
    whole = Tip(step=20, file_id=file_id(last.file), step_before=0, planned_steps=20)
    monkeypatch.setattr(module, "tip_of", lambda _: whole)
    take = queue.take

    def late(**options: object) -> object:
        queue.move_to(last, becomes, cause=None, step=20)
        return take(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "take", late)
    found = chosen.next()
    if becomes == "done":
        assert found is not None
        assert found[0].file.id != last.file.id
        assert not found[1].unfinished
    elif found is None:
        assert [file.state for file in queue.list()].count("waiting") == 3, "given back: it goes first"
        assert all(file.attempts == 0 for file in queue.list() if file.id != last.file.id)
    else:
        assert found[0].file.id == last.file.id


def test_a_tip_that_was_read_before_the_last_file_was_done_is_read_again(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = queue.take()
    assert last is not None
    queue.move_to(last, "verifying", cause=None)
    queue.move_to(last, "done", cause=None, step=20)
    chosen = _choosing(queue, tmp_path, monkeypatch, last.file)  # step 10: as it was when it was read
    assert chosen.next() is None
    assert queue.paused is None
    whole = Tip(step=20, file_id=file_id(last.file), step_before=0, planned_steps=20)
    monkeypatch.setattr(module, "tip_of", lambda _: whole)
    found = chosen.next()
    assert found is not None
    assert queue.paused is None


def test_where_others_write_too_an_older_checkpoint_is_looked_at_again_before_anybody_is_asked(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another daemon may have ended its file between the look at the folder and that at the queue."""
    lease = queue.take()
    assert lease is not None
    lease = msgspec.structs.replace(lease, file=queue.move_to(lease, "verifying", cause=None))
    done = queue.move_to(lease, "done", cause=None, step=12)
    chosen = _choosing(queue, tmp_path, monkeypatch, done)
    monkeypatch.setattr(chosen, "reread", lambda: True)
    chosen.settings = replace(chosen.settings, database_url="postgresql://somewhere")
    for _ in range(3):
        assert chosen.next() is None
    assert queue.paused is None
    monkeypatch.setattr(module, "_SHARED_SECONDS", 0.0)
    assert chosen.next() is None
    assert str(queue.paused).startswith("lineage: ")
