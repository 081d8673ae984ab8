"""Whole daemons as real processes, real signals, a real queue; the trainer is one without torch."""

from __future__ import annotations

import json
import os
import signal
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
