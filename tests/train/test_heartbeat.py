"""Heartbeats and events: whole lines, appended, and read by another process while they are written."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from trainguard.signals.codes import run_finding
from trainguard.train.events import EventLog, read_lines
from trainguard.train.heartbeat import Heartbeat, read_heartbeats


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_line_a_second_and_each_change_of_phase(tmp_path: Path) -> None:
    clock = Clock()
    heart = Heartbeat(tmp_path / "trainguard" / "heartbeat.jsonl", clock=clock)
    assert heart.beat("load", step=0)
    for _ in range(100):
        clock.now += 0.005
        assert not heart.beat(step=1)
    assert heart.beat("train", step=1)
    assert not heart.beat("train", step=2)
    clock.now += 1.0
    assert heart.beat(step=3)
    beats = read_heartbeats(heart.path)
    assert [(beat.phase, beat.step, beat.t) for beat in beats] == [
        ("load", 0, 100.0),
        ("train", 1, 100.5),
        ("train", 3, 101.5),
    ]
    assert {beat.pid for beat in beats} == {os.getpid()}


def test_torn_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.jsonl"
    Heartbeat(path).beat("train", step=1)
    whole = path.read_bytes()
    for torn in (
        b"",
        b"{",
        whole[:-10],
        b'{"t": 1}\n',
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"t": NaN, "phase": "lunch"}\n',
        b"[" * 9999,
    ):
        path.write_bytes(whole + torn)
        assert len(read_heartbeats(path)) == 1, torn
    assert read_heartbeats(tmp_path / "none") == []
    assert read_heartbeats(tmp_path) == []


def test_a_line_that_a_killed_process_left_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat.jsonl"
    path.write_bytes(b'{"t": 1.0, "ti')
    Heartbeat(path).beat("train", step=5)
    assert [beat.step for beat in read_heartbeats(path)] == [5]


def test_a_full_disk_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "file" / "events.jsonl")
    (tmp_path / "file").write_text("in the way")
    log.event("start", step=0)
    assert log._file.failed == 1
    (tmp_path / "file").unlink()
    log.event("start", step=1)
    assert [line["step"] for line in read_lines(log.path)] == [1]


def test_events_are_json_whatever_they_hold(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    finding = run_finding("RUN001", "NaN \ud800", step=3, evidence={"loss": math.nan, "values": (math.inf, -math.inf)})
    log.finding(finding, action="stop")
    log.event("odd", values={1: object(), "path": tmp_path})
    log.close()

    def refuse(token: str) -> None:
        raise ValueError(token)

    first, second = (json.loads(line, parse_constant=refuse) for line in log.path.read_bytes().splitlines())
    assert first["event"] == "finding"
    assert first["finding"]["evidence"] == {"loss": "nan", "values": ["inf", "-inf"]}
    assert (first["step"], first["action"]) == (3, "stop")
    assert second["values"]["path"] == str(tmp_path)
