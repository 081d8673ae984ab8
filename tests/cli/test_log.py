"""`trainguard log`: what happened to a file, in words and for programs, with the output of an attempt, and live."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.cli.helpers import environment
from tests.daemon.history import HOSTILE, accepted, taken, trained

from trainguard.cli.log_text import event_words, output_lines
from trainguard.errors import UsageError
from trainguard.queue.records import Event

_CALL = (
    "import sys; from trainguard.cli import app; "
    "app.VERBS = tuple(dict.fromkeys((*app.VERBS, 'log'))); from trainguard.cli import main; sys.exit(main())"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(folder: Path, file: int, attempt: int, text: bytes) -> Path:
    place = folder / "out/queue/attempts" / str(file) / str(attempt)
    place.mkdir(parents=True)
    (place / "output.log").write_bytes(text)
    return place / "output.log"


def test_the_whole_story(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, HOSTILE, fault=True)
    output(folder, 1, 1, b"old\n")
    output(folder, 1, 2, b"one\n 10%|#   |\r 20%|##  |\r100%|####|\n\x1b[31mlast \xff\n")
    code, text = call("log", "1", "--lines", "2")
    assert code == 0
    for words in (
        "accepted -> checking",
        "attempt 1 begins (process 4711)",
        "attempt 1 ended: exit code 1, 7 steps, 12 s",
        "what: RUN001 not-finite at step 7: the loss is NaN from step 7 on <b>",
        "done: rollback: back to before its onset (after 10 s; from the checkpoint before step 6; steps 6 to 8 of the ",
        "advice: look at these examples",
        "with batch_size=2",
        "left out: steps 6 to 8 of the file",
        "recovered (after 11 s, 2 steps made again): trains again",
        "verifying -> done",
    ):
        assert words in text
    assert text.endswith("100%|####|\n\\x1b[31mlast \\xff\n")
    assert "\x1b" not in text
    assert "20%" not in text


def test_one_attempt(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "a.jsonl", fault=True)
    output(folder, 1, 1, b"old\n")
    output(folder, 1, 2, b"new\n")
    text = call("log", "a.jsonl", "--attempt", "1")[1]
    assert text.endswith("old\n")
    assert "attempt 2" not in text
    with pytest.raises(UsageError, match="--attempt 7: file 1 has attempts 1 to 2"):
        call("log", "1", "--attempt", "7")


def test_as_json_lines(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "a.jsonl", fault=True)
    output(folder, 1, 2, b"one\ntwo\n")
    lines = [json.loads(line) for line in call("log", "1", "--format", "json")[1].splitlines()]
    assert [line["kind"] for line in lines][:3] == ["accepted", "transition", "transition"]
    assert lines[-1] == {"kind": "output", "file_id": 1, "attempt": 2, "line": "two"}
    (end,) = [line for line in lines if line["kind"] == "attempt-end" and line["attempt"] == 1]
    assert end["data"]["failure"]["code"] == "RUN001"


def test_followed_until_it_ends(folder: Path) -> None:
    """What happens and what is printed while one looks, half a line at a time."""
    with queue_of(folder) as queue:
        accepted(queue, "a.jsonl")
        lease = taken(queue)
        path = output(folder, 1, 1, b"first\nhal")
        process = subprocess.Popen(
            [sys.executable, "-c", _CALL, "log", "1", "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        assert process.stdout is not None
        seen = ""
        while "first" not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        with path.open("ab") as file:
            file.write(b"f a line\nmore\n")
        queue.event("attempt-end", file_id=1, attempt=1, exit_code=0, steps=3, seconds=2.0)
        time.sleep(1.5)
        queue.move_to(lease, "verifying", cause=None)
        queue.move_to(lease, "done", cause=None)
        rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "more\n" in rest
    assert "f a line\n" in rest
    assert "verifying -> done" in rest
    assert (seen + rest).count("first\n") == 1
    assert (seen + rest).count("more\n") == 1


def test_no_line_of_output_is_lost_or_doubled(folder: Path) -> None:
    assert output_lines(b"a\r\nb\rc\n\nd") == ["a", "c", "", "d"]
    assert output_lines(b"") == []


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], {}, {"act": 1, "skip": 7, "delay_seconds": "x", "changes": 3}, 1e400]
)
def test_events_of_any_shape_have_words(value: object) -> None:
    names = ("failure", "decision", "seconds", "steps", "signal", "exit_code", "finding", "changes", "skipped", "pid")
    data = dict.fromkeys((*names, "lost_steps", "seconds_since_fault", "wish"), value)
    kinds = (
        "transition",
        "accepted",
        "attempt-start",
        "first-step",
        "attempt-end",
        "recovered",
        "finding",
        "wish",
        "?",
    )
    for kind in (*kinds, "priority"):
        assert isinstance(event_words(Event(id=1, time=1e300, kind=kind, data=data)), list)
