"""Whole daemons as real processes, real signals, a real queue; the trainer is one without torch."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.serving import PATIENCE, Place, once_each

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs Linux")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place.made(tmp_path)
    yield made
    made.end()


def test_trains_each_file_once_and_puts_a_bad_one_aside(place: Place) -> None:
    place.put("a.jsonl")
    place.put("b.jsonl", 7)
    (place.folder / "inbox" / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    assert place.serve() == 0, place.log()
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "done", "bad.jsonl": "failed"}
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    (reason,) = (place.home / "failed").glob("*/REASON.md")
    assert "DATA002" in reason.read_text()
    assert sorted(path.name for path in (place.home / "done").iterdir()) == ["1-a.jsonl", "2-b.jsonl"]
    assert not list((place.folder / "inbox").iterdir())
    done = place.ask(lambda queue: queue.find("b.jsonl"))[0]
    assert (done.step_before, done.step, done.planned_steps, done.checkpoint) == (6, 10, 4, "checkpoint-10")


def test_goes_on_after_the_daemon_was_killed(place: Place) -> None:
    """SIGKILL in the middle of a file: nothing of it is lost, nothing is trained twice, and nothing is left running."""
    place.fault(step_seconds=0.1)
    place.put("a.jsonl", 40)
    place.put("b.jsonl", 6)
    daemon = place.daemon("--forever")
    step = place.until_step(5)
    start = place.events("attempt-start")[-1]
    daemon.kill()
    daemon.wait()
    place.until(lambda: not _lives(start.data["pid"]))
    place.fault(step_seconds=0.01)
    assert place.serve() == 0, place.log()
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "done"}
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    (recovered,) = place.events("recovered")
    assert recovered.data["finding"]["code"] == "RUN023"
    assert recovered.data["lost_steps"] <= 2 + 1, (step, recovered)
    begun = json.loads((place.home / "attempts/1/2/output.log").read_text().splitlines()[0])
    assert begun["start"]["kind"] == "resume"
    assert place.ask(lambda queue: queue.get(1)).attempts == 2


def test_sigterm_saves_and_the_file_goes_on_where_it_was(place: Place) -> None:
    place.fault(step_seconds=0.1)
    place.put("a.jsonl", 60)
    daemon = place.daemon("--forever")
    place.until_step(3)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0
    file = place.ask(lambda queue: queue.get(1))
    assert file.state == "waiting"
    assert not file.memory.get("recovery", {}).get("attempts")
    (ended,) = place.events("attempt-end")
    assert (ended.data["exit_code"], ended.data["failure"]["kind"]) == (75, "stopped"), "it was let save"
    newest = max(int(path.name.partition("-")[2]) for path in place.out.glob("checkpoint-*"))
    assert newest == ended.data["last_step"]
    place.fault(step_seconds=0.01)
    assert place.serve() == 0, place.log()
    begun = json.loads((place.home / "attempts/1/2/output.log").read_text().splitlines()[0])
    assert begun["start"]["step"] == newest
    assert once_each(place.trained(), place.rows, ["a.jsonl"])


def test_the_second_signal_ends_the_run_at_once(place: Place) -> None:
    place.configure(guard={"stop_deadline_seconds": 1000})
    place.fault({"what": "deaf", "step": 1}, step_seconds=0.1)
    place.put("a.jsonl", 2000)
    daemon = place.daemon("--forever")
    place.until_step(2)
    daemon.send_signal(signal.SIGTERM)
    with pytest.raises(Exception, match="timed out"):
        daemon.wait(1.5)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0
    assert place.states() == {"a.jsonl": "waiting"}


def test_a_not_finite_loss_is_rolled_back_and_its_window_left_out(place: Place) -> None:
    place.put("a.jsonl")
    place.put("b.jsonl", 20)
    place.fault({"what": "nan", "file": "/b.jsonl", "step": 6})
    assert place.serve() == 0, place.log()
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "done"}
    start = place.events("attempt-start")[-1]
    ((first, last),) = start.data["skipped"]
    assert start.data["before_step"] == 6 + 6
    left_out = [("b.jsonl", row) for row in range((first - 1) * 2, last * 2)]
    assert first <= 6 <= last
    expected = [(name, row) for name in place.rows for row in range(place.rows[name])]
    assert sorted([*place.trained(), *left_out]) == sorted(expected)


def test_a_file_whose_end_is_left_out_is_done_and_built_upon(place: Place) -> None:
    """The window of a fault near the end covers all that is left, so that no step is made after it."""
    place.put("a.jsonl", 12)
    place.put("b.jsonl")
    place.fault({"what": "nan", "file": "/a.jsonl", "step": 6})
    assert place.serve() == 0, place.log()
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "done"}
    ((first, last),) = [each.data["skipped"][0] for each in place.events("attempt-start") if each.data["skipped"]]
    assert last >= 6
    kept = [("a.jsonl", row) for row in range((first - 1) * 2)]
    assert sorted(place.trained()) == sorted([*kept, *(("b.jsonl", row) for row in range(12))])


def test_a_micro_batch_that_does_not_fit_is_halved_and_remembered(place: Place) -> None:
    place.put("a.jsonl")
    place.put("b.jsonl")
    place.fault({"what": "oom", "fits": 1, "step": 3})
    assert place.serve() == 0, place.log()
    starts = place.events("attempt-start")
    changes = [(each.file_id, each.data["changes"]) for each in starts]
    smaller = {"batch_size": 1, "gradient_accumulation": 2}
    assert changes == [(1, {}), (1, smaller), (2, smaller)]
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    assert [each.data["finding"]["code"] for each in place.events("finding") if each.file_id == 2] == ["JOB017"]


def test_a_hang_is_ended_and_the_file_goes_on(place: Place) -> None:
    place.put("a.jsonl")
    place.fault({"what": "hang-gil", "step": 4})
    assert place.serve("--hang", "6") == 0, place.log()
    assert once_each(place.trained(), place.rows, ["a.jsonl"])
    (first, *_) = place.events("attempt-end")
    assert first.data["failure"]["kind"] == "hang"
    assert "_tiny_trainer.py" in (place.out / "trainguard" / "stacks.txt").read_text()


def test_the_half_of_a_file_that_was_given_up_is_not_in_what_follows(place: Place) -> None:
    place.put("a.jsonl")
    place.put("b.jsonl")
    place.put("c.jsonl")
    place.fault({"what": "data", "file": "/b.jsonl", "step": 5})
    assert place.serve() == 0, place.log()
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "failed", "c.jsonl": "done"}
    assert once_each(place.trained(), place.rows, ["a.jsonl", "c.jsonl"])
    assert list((place.out / "quarantine").glob("checkpoint-*")), "what it had made is kept"


def test_a_broken_configuration_pauses_the_queue_and_fails_no_file(place: Place) -> None:
    place.put("a.jsonl", 40)
    place.put("b.jsonl")
    place.fault(step_seconds=0.05)
    daemon = place.daemon("--forever")
    place.until_step(2)
    place.configure(batch_size=0)
    place.until(lambda: "no file is begun" in place.log())
    place.configure(batch_size=2)
    (paused,) = place.events("paused")
    assert "batch_size" in paused.cause
    place.until(lambda: place.states()["b.jsonl"] == "done")
    assert [each.id > paused.id for each in place.events("attempt-start")] == [False, True]
    daemon.terminate()
    assert daemon.wait(PATIENCE) == 0


def test_a_second_daemon_ends_at_once_and_names_the_first(place: Place) -> None:
    first = place.daemon("--forever")
    place.until(lambda: "serving" in place.log())
    second = place.daemon("--forever")
    assert second.wait(PATIENCE) == 1
    assert f"SYS009 a daemon already serves {place.home}: process {first.pid}" in place.log()
    assert first.poll() is None


def test_wishes_of_a_person_reach_the_run(place: Place) -> None:
    """Hold the file in training, pause, and drain."""
    place.put("a.jsonl", 400)
    place.fault(step_seconds=0.1)
    daemon = place.daemon("--forever")
    place.until_step(2)
    place.ask(lambda queue: queue.hold(1, "a person looks at it"))
    place.until(lambda: place.states() == {"a.jsonl": "held"})
    place.fault(step_seconds=0.01)
    place.ask(lambda queue: queue.pause("by hand: dinner"))
    place.put("b.jsonl")
    place.until(lambda: place.states().get("b.jsonl") == "waiting")
    place.ask(lambda queue: queue.resume())
    place.until(lambda: place.states()["b.jsonl"] == "done")
    place.ask(lambda queue: queue.wish("drain"))
    assert daemon.wait(PATIENCE) == 0
    assert once_each(place.trained(), place.rows, ["b.jsonl"])


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize("how", ["deleted", "overwritten"])
def test_a_database_that_is_lost_while_a_file_trains_is_rebuilt(place: Place, how: str) -> None:
    place.put("a.jsonl", 40)
    place.put("b.jsonl", 4)
    place.fault(step_seconds=0.3)
    daemon = place.daemon("--forever")
    place.until_step(4)
    database = place.home / "queue.sqlite"
    if how == "deleted":
        database.unlink()
    else:
        with database.open("r+b") as file:
            file.write(b"garbage!" * 2_000)
    place.until(lambda: "all begins anew" in place.log())
    place.fault(step_seconds=0.01)
    place.until(lambda: place.log().count("serving ") == 2)
    place.until(lambda: set(place.states().values()) == {"done"})
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_signal_is_heard_while_the_database_is_locked(place: Place) -> None:
    """By a backup, say: the run saves at once, and the daemon ends though it can tell nobody."""
    place.put("a.jsonl", 400)
    place.configure(guard={"stop_deadline_seconds": 5, "retry_delay_seconds": 0.05})
    place.fault(step_seconds=0.2)
    daemon = place.daemon("--forever")
    place.until_step(3)
    with contextlib.closing(sqlite3.connect(place.home / "queue.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(1.0)
        daemon.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert daemon.wait(60) == 0
        assert time.monotonic() - began < 5 + 10 + 15
        other.execute("ROLLBACK")
    newest = max(int(path.name.partition("-")[2]) for path in place.out.glob("checkpoint-*"))
    place.fault(step_seconds=0.001)
    assert place.serve() == 0, place.log()
    begun = json.loads((place.home / "attempts/1/2/output.log").read_text().splitlines()[0])
    assert begun["start"]["step"] == newest
    assert once_each(place.trained(), place.rows, ["a.jsonl"])


def test_a_file_whose_steps_are_all_made_but_that_is_held_is_trained_once(place: Place) -> None:
    """A hold that is heard during the last step: the manifest says complete, the queue says held."""
    place.put("a.jsonl", 4)
    place.put("b.jsonl", 8)
    assert place.serve() == 0, place.log()
    with contextlib.closing(sqlite3.connect(place.home / "queue.sqlite")) as queue:
        queue.execute("UPDATE trainguard_files SET state = 'held', held_from = 'waiting' WHERE id = 2")
        queue.commit()
    place.put("c.jsonl", 4)
    assert place.serve() == 0, place.log()
    assert once_each(place.trained(), place.rows, ["a.jsonl", "c.jsonl"]), "what is held is in no weights"
    place.ask(lambda queue: queue.release(2))
    assert place.serve() == 0, place.log()
    assert place.states() == dict.fromkeys(place.rows, "done")
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl", "c.jsonl"])


def test_a_file_that_others_were_trained_upon_is_not_trained_again(place: Place) -> None:
    """After a rebuild of the queue, say: the checkpoints know more than it does."""
    place.put("a.jsonl", 4)
    place.put("b.jsonl", 4)
    assert place.serve() == 0, place.log()
    with contextlib.closing(sqlite3.connect(place.home / "queue.sqlite")) as queue:
        queue.execute("UPDATE trainguard_files SET state = 'waiting' WHERE id = 1")
        queue.commit()
    assert place.serve() == 0, place.log()
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "done"}
    assert len(place.events("attempt-start")) == 2
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])


def test_a_rollback_does_not_reach_into_what_was_trained_meanwhile(place: Place) -> None:
    """A fault of b, then a hold; c is trained to steps beyond the fault's; then b goes on."""
    place.put("a.jsonl", 4)
    place.put("b.jsonl", 12)
    place.fault({"what": "nan", "file": "/b.jsonl", "step": 5}, step_seconds=0.4)
    daemon = place.daemon("--forever")
    place.until_step(3)
    place.ask(lambda queue: queue.pause("by hand: a test"))
    place.until(lambda: place.states()["b.jsonl"] == "waiting")
    assert place.ask(lambda queue: queue.get(2)).memory["before_step"] == 2 + 5
    place.ask(lambda queue: queue.hold(2, "a person looks at it"))
    place.ask(lambda queue: queue.resume())
    place.fault(step_seconds=0.01)
    place.put("c.jsonl", 20)
    place.until(lambda: place.states().get("c.jsonl") == "done")
    place.ask(lambda queue: queue.release(2))
    place.until(lambda: place.states()["b.jsonl"] == "done")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0
    names = {name for name, _ in place.trained()}
    assert names == {"a.jsonl", "b.jsonl", "c.jsonl"}
    assert [row for name, row in place.trained() if name == "c.jsonl"] == list(range(20))


@pytest.mark.slow
def test_a_custody_that_does_not_answer_fails_no_file(place: Place) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        place.put(name, 30)
    place.fault(step_seconds=0.1)
    daemon = place.daemon("--forever")
    place.until_step(2)
    place.until(lambda: list(place.states().values()).count("waiting") == 2)
    (place.home / "files").rename(place.folder / "files-away")
    place.fault(step_seconds=0.01)
    place.until(lambda: place.ask(lambda queue: queue.paused))
    assert place.ask(lambda queue: queue.paused).startswith("mount: ")
    assert "failed" not in place.states().values()
    if (place.home / "files").exists():  # what was written meanwhile, as under a mount point
        shutil.rmtree(place.home / "files")
    (place.folder / "files-away").rename(place.home / "files")
    place.until(lambda: place.states() == dict.fromkeys(place.rows, "done"))
    assert once_each(place.trained(), place.rows, list(place.rows))
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(PATIENCE) == 0


def test_a_save_that_the_next_run_completes_is_of_the_file_that_goes_first(place: Place) -> None:
    """Ended between a whole save and its name: no checkpoint tells of it, until another file's run puts it right."""
    place.configure(guard={"retry_delay_seconds": 3.0})
    place.put("a.jsonl", 40)
    place.put("b.jsonl")
    # The first time goes on at once, the second rests.
    kill = {"what": "kill", "file": "/a.jsonl", "times": 1}
    place.fault({**kill, "step": 1}, {**kill, "step": "saved"})
    assert place.serve() == 0, place.log()
    assert not place.events("paused")
    assert place.states() == {"a.jsonl": "done", "b.jsonl": "done"}
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    assert [each.file_id for each in place.events("attempt-start")][:4] == [1, 1, 2, 1], "b was tried, and made way"
