"""`trainguard status`: one screen, from what is on the disk alone, quick with a long history, whatever lies there."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.cli.helpers import environment
from tests.daemon.history import HOSTILE, accepted, taken, trained, write_events

from trainguard.cli.queue_text import short
from trainguard.daemon.lock import DaemonLock
from trainguard.daemon.reporting import progress, tail
from trainguard.errors import UsageError

_CALL = (
    "import sys; from trainguard.cli import app; "
    "app.VERBS = tuple(dict.fromkeys((*app.VERBS, 'status'))); from trainguard.cli import main; sys.exit(main())"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(folder: Path) -> None:
    """Three trained files, one of them after a fault, one in training, two that wait, one for a person."""
    with queue_of(folder) as queue:
        trained(queue, "one.jsonl")
        trained(queue, "two.jsonl", before=10, fault=True)
        held = accepted(queue, "doubtful.jsonl")
        queue.hold(held.id, "look at the labels")
        accepted(queue, f"now {HOSTILE}")
        lease = taken(queue)
        queue.update(lease, step_before=20, step=24, planned_steps=100)
        accepted(queue, "later.jsonl", priority="low")
        accepted(queue, "soon.jsonl", priority="high")
        queue.event("finding", file_id=4, finding={"severity": "warn", "code": "RUN009", "message": "slow <b>"})
        queue.pause("disk: 1.2 GB free, 3 GB are needed")
        queue.announce("training")
    write_events(folder / "out", steps=30, now=time.time() - 65, pace=2.0)


def test_the_screen(folder: Path) -> None:
    fill(folder)
    with DaemonLock(folder / "out/queue") as _:
        code, text = call("status")
    assert code == 0
    assert f"daemon      running, pid {os.getpid()} on" in text
    assert "paused      disk: 1.2 GB free, 3 GB are needed" in text
    assert "now         training 4 now <script>" in text
    assert "train, step 10 of 100 (10%), global step 30, loss 0.1, 2 s/step, 3 min left" in text
    assert re.search(r"last heard of \d+ s ago", text)
    assert "queue       6 files: 2 accepted, 1 training, 2 done, 1 held" in text
    assert "next        6 soon.jsonl (high" in text
    assert "held 3 doubtful.jsonl: look at the labels [trainguard queue release 3]" in text
    assert "RUN001 not-finite -> rollback, back after 11 s, 2 steps again" in text
    assert "warn RUN009: slow <b>" in text
    assert "disk free" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) < 24, "one screen"


def test_a_dead_daemon_is_not_said_to_run(folder: Path) -> None:
    fill(folder)
    text = call("status")[1]
    assert f"daemon      not running: pid {os.getpid()} on" in text
    assert "trainguard daemon start" in text


def test_as_json(folder: Path) -> None:
    fill(folder)
    shown = json.loads(call("status", "--format", "json")[1])
    assert shown["daemon_alive"] is False
    assert shown["gone"]["pid"] == os.getpid()
    assert shown["progress"]["own_steps"] == 10
    assert shown["progress"]["seconds_left"] == pytest.approx(180)
    assert shown["counts"]["done"] == 2
    assert [each["name"] for each in shown["next"]] == ["soon.jsonl", "later.jsonl"]
    assert shown["faults"][0]["seconds"] == 11.0
    assert shown["for_a_person"][0]["id"] == 3


def test_an_empty_queue(folder: Path) -> None:
    with queue_of(folder):
        pass
    text = call("status")[1]
    assert "daemon      not running; `trainguard daemon start` starts it" in text
    assert "queue       0 files" in text


def test_watch_and_json_do_not_go_together(folder: Path) -> None:
    with queue_of(folder), pytest.raises(UsageError, match="--watch"):
        call("status", "--watch", "--format", "json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff" * 1000,
        b'{"t": 1e400, "time": "x", "step": [], "phase": {}, "pid": 1}\n',
        b'{"event": "metrics", "metrics": 5, "step": "nan", "t": null}\n',
        b'{"event": "metrics", "metrics": {"loss": "inf"}, "step": 1e300, "t": -1e300}\n',
        b"[" * 100_000,
        b'"x"\nnull\n1\n',
    ],
)
def test_nothing_that_a_run_writes_is_an_error(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "trainguard"
    folder.mkdir()
    for name in ("events.jsonl", "heartbeat.jsonl"):
        (folder / name).write_bytes(content)
    seen = progress(tmp_path, 100.0)
    assert seen.loss is None
    assert seen.seconds_per_step is None


def test_the_pace_is_that_of_the_last_process_and_no_clock_changes_it(tmp_path: Path) -> None:
    folder = tmp_path / "trainguard"
    folder.mkdir()
    lines = [{"event": "metrics", "t": 5.0 * step, "time": 10, "step": step, "metrics": {"loss": 1}} for step in (1, 2)]
    lines += [{"event": "resume", "t": 1000.0, "time": 5, "step": 2}]
    lines += [
        {"event": "metrics", "t": 1000 + step, "time": 0, "step": step, "metrics": {"loss": 2}} for step in (3, 5)
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    seen = progress(tmp_path, 100.0)
    assert seen.seconds_per_step == 1.0
    assert seen.loss == 2


def test_a_file_in_custody_is_called_by_its_name() -> None:
    path = f"/srv/out/queue/files/{'a1' * 32}/day.jsonl"
    assert short(f"DATA004 {path}: line 3 is no JSON") == "DATA004 day.jsonl: line 3 is no JSON"


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "beats.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(10_000)))
    lines = tail(path, 1000)
    assert lines[-1] == {"step": 9999}
    assert 50 < len(lines) < 100
    assert lines == [{"step": step} for step in range(10_000 - len(lines), 10_000)]
    assert tail(tmp_path / "none") == []


def test_live_on_a_terminal(folder: Path) -> None:
    """Drawn again and again, and Ctrl-C ends it with 0."""
    fill(folder)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _CALL, "status", "--watch", "--every", "0.2"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(COLUMNS="120", LINES="40"),
        start_new_session=True,
    )
    os.close(slave)
    seen = bytearray()
    deadline = time.monotonic() + 60
    while seen.count(b"doubtful") < 3 and time.monotonic() < deadline:
        seen += os.read(master, 65536)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            if not (chunk := os.read(master, 65536)):
                break
        except OSError:
            break
        seen += chunk
    assert process.wait(120) == 0
    os.close(master)
    assert seen.count(b"doubtful") >= 3
    assert b"\x1b[?1049l" in seen, "the terminal is given back"
    assert b"Traceback" not in seen


def test_watched_into_a_pipe_it_ends_with_its_reader(folder: Path) -> None:
    fill(folder)
    with subprocess.Popen(
        [sys.executable, "-c", _CALL, "status", "--watch", "--every", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"daemon")
        process.stdout.close()
        assert process.wait(120) == 0
        assert process.stderr.read() == b""
