"""The figures for Prometheus: right, parsed by its own parser, the same after a restart, served on the loopback."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.daemon.history import FAILURE, HOSTILE, accepted, taken, trained
from trainguard.daemon.prometheus import Figures, serve, write_metrics
from trainguard.daemon.reporting import RECOVERY_BOUNDS, Tally, tally
from trainguard.errors import UsageError
from trainguard.queue.records import Event
from trainguard.queue.store import Queue, open_queue


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = open_queue(tmp_path / "out" / "queue", lineage=f"out {HOSTILE}", owner="test")
    yield opened
    opened.close()


def samples(text: str) -> dict[str, Sample]:
    """Each sample by its name and its labels but the lineage."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(str(value) for key, value in sorted(sample.labels.items()) if key != "lineage")
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample
    return found


def written(queue: Queue, tmp_path: Path) -> dict[str, Sample]:
    figures = Figures(f"out {HOSTILE}", tmp_path / "out")
    assert figures.refresh(queue)
    path = tmp_path / "metrics.prom"
    assert write_metrics(figures, path)
    return samples(path.read_text(encoding="utf-8"))


def test_the_figures_are_those_of_the_queue(queue: Queue, tmp_path: Path) -> None:
    trained(queue, "one.jsonl")
    trained(queue, "two.jsonl", before=10, fault=True)
    accepted(queue, HOSTILE)
    (tmp_path / "out" / "checkpoint-20").mkdir()
    queue.announce("idle")
    found = {name: sample.value for name, sample in written(queue, tmp_path).items()}
    assert found["trainguard_queue_files{done}"] == 2
    assert found["trainguard_queue_files{accepted}"] == 1
    assert found["trainguard_queue_files{failed}"] == 0
    assert found["trainguard_files_accepted_total"] == 3
    assert found["trainguard_files_ended_total{done}"] == 2
    assert found["trainguard_attempts_total{completed}"] == 2
    assert found["trainguard_attempts_total{not-finite}"] == 1
    assert found["trainguard_recoveries_total{not-finite}"] == 1
    assert found["trainguard_lost_steps_total"] == 2
    assert found["trainguard_steps_total"] == 27
    assert found["trainguard_recovery_seconds_count"] == 1
    assert found["trainguard_recovery_seconds_sum"] == 11
    assert found["trainguard_recovery_seconds_bucket{10.0}"] == 0
    assert found["trainguard_recovery_seconds_bucket{20.0}"] == 1
    assert found["trainguard_recovery_seconds_bucket{+Inf}"] == 1
    assert found["trainguard_daemon_up"] == 1
    assert 0 <= found["trainguard_checkpoint_age_seconds"] < 60
    assert 0 <= found["trainguard_queue_oldest_waiting_seconds"] < 60
    assert 0 <= found["trainguard_effective_training_time_ratio"] <= 1


def test_an_empty_queue_has_figures_too(queue: Queue, tmp_path: Path) -> None:
    found = written(queue, tmp_path)
    assert found["trainguard_daemon_up"].value == 0
    assert found["trainguard_queue_oldest_waiting_seconds"].value == 0
    assert "trainguard_effective_training_time_ratio" not in found
    assert found["trainguard_queue_files{waiting}"].labels["lineage"] == f"out {HOSTILE}"


def test_a_restart_counts_on(queue: Queue, tmp_path: Path) -> None:
    first = written(queue, tmp_path)
    trained(queue, "one.jsonl", fault=True)
    again = {name: sample.value for name, sample in written(queue, tmp_path).items()}
    assert first["trainguard_steps_total"].value == 0
    assert again["trainguard_steps_total"] == 17
    figures = Figures("out", tmp_path / "out")
    figures.refresh(queue)
    trained(queue, "two.jsonl", before=10)
    figures.refresh(queue)
    write_metrics(figures, tmp_path / "more.prom")
    more = samples((tmp_path / "more.prom").read_text(encoding="utf-8"))
    assert more["trainguard_steps_total"].value == 27


def test_a_folder_that_cannot_be_written_is_no_error(queue: Queue, tmp_path: Path) -> None:
    figures = Figures("out", tmp_path)
    figures.refresh(queue)
    assert not write_metrics(figures, tmp_path / "none" / "metrics.prom")


def test_the_port_answers_on_this_machine_alone(queue: Queue, tmp_path: Path) -> None:
    figures = Figures("out", tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    end = serve(figures, port)
    try:
        figures.refresh(queue)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert "trainguard_daemon_up" in samples(answer.read().decode())
        with pytest.raises(UsageError, match=f"metrics_port {port} .*cannot be used"):
            serve(figures, port)
    finally:
        end()


def at(number: int, when: float, kind: str, **data: object) -> Event:
    to = data.pop("to", None)
    return Event(id=number, time=when, kind=kind, file_id=1, to_state=to, data=data)  # type: ignore[arg-type]


def test_ettr_is_productive_time_over_wall_time() -> None:
    """100 s from the first attempt to done; the first attempt trains 40 s and 10 steps, of which 5 are made again;
    the second 30 s."""
    events = [
        at(1, 0, "attempt-start"),
        at(2, 10, "first-step"),
        at(3, 50, "attempt-end", steps=10, failure=FAILURE),
        at(4, 60, "attempt-start"),
        at(5, 65, "first-step"),
        at(6, 65, "recovered", lost_steps=5, seconds=15.0),
    ]
    counted = Tally().add(events)
    # 40 s less the half of its steps, and 15 s of the attempt in progress, of 80 s.
    assert counted.ettr(80.0) == pytest.approx((40 - 20 + 15) / 80)
    counted.add([at(7, 95, "attempt-end", steps=10, failure=None), at(8, 100, "transition", to="done")])
    assert counted.ettr(1e9) == pytest.approx((40 - 20 + 30) / 100), "an idle queue costs nothing"
    assert counted.median_recovery_seconds == 20.0
    assert Tally().ettr(5.0) is None


def test_an_attempt_without_an_end_counts_no_productive_time() -> None:
    """A daemon that was killed: how long the attempt trained after its last word is not known."""
    events = [at(1, 0, "attempt-start"), at(2, 10, "first-step"), at(3, 100, "attempt-start"), at(4, 110, "first-step")]
    assert Tally().add(events).ettr(120.0) == pytest.approx(10 / 120)


@pytest.mark.parametrize("value", [None, "x", -5, float("nan"), float("inf"), True, [], 1e308])
def test_nonsense_in_events_is_no_error(value: object) -> None:
    data = {"steps": value, "seconds": value, "lost_steps": value, "failure": value}
    events = [
        at(place, place, kind, **data) for place, kind in enumerate(("attempt-end", "recovered", "first-step"), 1)
    ]
    counted = Tally().add([*events, at(4, 4, "attempt-end", failure={"kind": value})])
    assert counted.lost_steps >= 0
    assert len(counted.recovery_counts) == len(RECOVERY_BOUNDS) + 1


def test_a_long_history_is_counted_in_many_turns(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainguard.daemon.reporting._TURN", 3)
    trained(queue, "one.jsonl", fault=True)
    counted = Tally()
    turns = 0
    while not tally(queue, counted):
        turns += 1
    assert turns > 2
    whole = Tally()
    monkeypatch.setattr("trainguard.daemon.reporting._TURN", 10_000)
    assert tally(queue, whole)
    assert (whole.steps, whole.last_id, whole.attempts) == (counted.steps, counted.last_id, counted.attempts)


def test_what_waits_is_known_by_how_long(queue: Queue) -> None:
    accepted(queue, "one.jsonl")
    counted = Tally()
    tally(queue, counted)
    assert list(counted.waiting) == [1]
    lease = taken(queue)
    tally(queue, counted)
    assert not counted.waiting
    queue.move_to(lease, "waiting", cause="stopped")
    tally(queue, counted)
    assert counted.waiting[1] == pytest.approx(time.time(), abs=30)
