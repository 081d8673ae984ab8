"""`trainguard queue`: lists, finds what a person means, changes what they ask for, beside a daemon or without one."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import threading
import time
from pathlib import Path

import click
import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.daemon.history import HOSTILE, accepted, taken, trained

from trainguard.errors import UsageError
from trainguard.queue.rebuild import recover_queue


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_queue_it_says_how_one_is_made(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no queue in .*out/queue yet; .*trainguard daemon start"):
        call("queue", "list")
    assert not (folder / "out").exists(), "looking makes nothing"


def test_a_database_that_is_damaged_or_gone_is_one_story_with_the_command_that_mends_it(folder: Path) -> None:
    with queue_of(folder) as queue:
        path = queue.database.path
    assert path is not None
    kept = path.parent / "files" / ("0" * 64)
    kept.mkdir(parents=True)
    command = r"`trainguard daemon start trainguard.toml` keeps what there is of it beside, and builds it anew"
    for damage in (lambda: path.write_bytes(b"no database" * 100), path.unlink):
        damage()
        with pytest.raises(UsageError, match=command) as raised:
            call("queue", "list")
        assert str(raised.value).count("rebuild") + str(raised.value).count("builds it anew") == 1


def test_without_a_configuration_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no file"):
        call("queue", "list")


def test_list_is_in_the_order_of_work(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "old.jsonl")
        low = accepted(queue, "low.jsonl", priority="low")
        high = accepted(queue, "high.jsonl", priority="high")
        held = accepted(queue, "held.jsonl")
        queue.hold(held.id, "look at it")
    code, text = call("queue", "list")
    lines = text.splitlines()
    assert code == 0
    assert [line.split("\t")[0] for line in lines[:3]] == [str(high.id), str(low.id), str(held.id)]
    assert "look at it" in lines[2]
    assert lines[-1] == "4 files: 2 accepted, 1 done, 1 held"
    _, text = call("queue", "list", "--all", "--limit", "2")
    assert text.splitlines()[-1] == "4 files: 2 accepted, 1 done, 1 held; 2 more with --limit 4"
    _, text = call("queue", "list", "--state", "done")
    assert "old.jsonl" in text
    assert "low.jsonl" not in text


def test_list_as_json_and_csv(folder: Path) -> None:
    with queue_of(folder) as queue:
        accepted(queue, HOSTILE)
        accepted(queue, "=cmd|' /C calc'!A0")
        queue.pause("by hand")
    _, text = call("queue", "list", "--format", "json")
    shown = json.loads(text)
    assert shown["paused"] == "by hand"
    assert shown["counts"]["accepted"] == 2
    assert shown["files"][0]["name"] == HOSTILE
    _, text = call("queue", "list", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["1", "2"]
    assert rows[1]["name"].startswith("'="), "no formula for a spreadsheet"
    assert "\x1b" not in text


def test_a_file_is_meant_by_number_name_or_part(folder: Path) -> None:
    with queue_of(folder) as queue:
        one = accepted(queue, "monday.jsonl")
        accepted(queue, "tuesday.jsonl")
        accepted(queue, HOSTILE)
    for text in (str(one.id), "monday.jsonl", "mon"):
        assert f"file         {one.id} monday.jsonl" in call("queue", "show", text)[1]
    assert json.loads(call("queue", "show", "mon", "--format", "json")[1])["sha256"] == one.sha256
    with pytest.raises(UsageError, match=r"did you mean 'tuesday\.jsonl'\?"):
        call("queue", "show", "tuseday.jsonl")
    with pytest.raises(UsageError, match=r"'day' names 2 files: 1 .*monday.*give the number"):
        call("queue", "show", "day")
    with pytest.raises(UsageError, match="there is no file 99: the newest is 3"):
        call("queue", "show", "99")
    text = call("queue", "show", "3")[1]
    assert "\x1b" not in text
    assert "<script>" in text


@pytest.mark.parametrize("text", ["%", "_", "\x00", "", "9" * 400, "A" * 60_000, "-1", "\udcff", "' OR 1=1 --"])
def test_a_hostile_file_argument_is_a_usage_error(folder: Path, text: str) -> None:
    with queue_of(folder) as queue:
        accepted(queue, "a.jsonl")
        accepted(queue, "b.jsonl")
    with pytest.raises((UsageError, click.ClickException)):
        call("queue", "show", "--", text)


def test_hold_release_cancel_retry_move(folder: Path) -> None:
    with queue_of(folder) as queue:
        for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
            accepted(queue, name)
    assert call("queue", "hold", "a.jsonl", "--because", "labels are wrong")[1] == "file 1 a.jsonl is held\n"
    assert call("queue", "release", "1")[1] == "file 1 a.jsonl is accepted\n"
    with pytest.raises(UsageError, match="not held"):
        call("queue", "release", "1")
    assert call("queue", "cancel", "2")[1] == "file 2 b.jsonl is failed\n"
    assert call("queue", "retry", "2")[1] == "file 2 b.jsonl is accepted\n"
    call("queue", "move", "3", "--first")
    assert call("queue", "list")[1].splitlines()[0].startswith("3\t")
    call("queue", "move", "1", "--before", "c.jsonl")
    assert call("queue", "list")[1].splitlines()[0].startswith("1\t")
    call("queue", "move", "1", "--priority", "low")
    assert call("queue", "list")[1].splitlines()[-2].startswith("1\t")
    with pytest.raises(UsageError, match="by one of --first"):
        call("queue", "move", "1")
    with queue_of(folder) as queue:
        causes = [event.cause for event in queue.events(file_id=1) if event.kind == "transition"]
    assert causes[0] == "labels are wrong"


def test_what_is_in_training_is_stopped_by_the_daemon(folder: Path) -> None:
    with queue_of(folder) as queue:
        accepted(queue, "a.jsonl")
        lease = taken(queue)
        text = call("queue", "hold", "1")[1]
        assert text == "file 1 a.jsonl is training; the daemon stops it with a checkpoint and holds it then\n"
        assert [event.data["wish"] for event in queue.wishes()] == ["stop-attempt"]
        queue.move_to(lease, "waiting", cause="stopped")
    assert "held" in call("queue", "show", "1")[1]


def test_nothing_to_retry_is_said_and_no_error(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "a.jsonl")
    code, text = call("queue", "retry", "--all-failed")
    assert code == 0
    assert text.startswith(
        "info QUEUE007 nothing-to-retry: nothing to retry: no file failed or was quarantined; of all files there are 1 "
    )
    code, text = call("queue", "retry", "a.jsonl")
    assert code == 0
    assert "QUEUE007" in text
    assert "file 1 (a.jsonl) is done" in text
    with pytest.raises(UsageError, match="--all-failed"):
        call("queue", "retry")


def test_retry_all(folder: Path) -> None:
    with queue_of(folder) as queue:
        for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
            accepted(queue, name)
        for number in (1, 3):
            queue.cancel(number, "no")
    text = call("queue", "retry", "--all-failed")[1]
    assert text == "file 1 a.jsonl is accepted\nfile 3 c.jsonl is accepted\n"


def test_add_copies_and_keeps_the_original(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder / "new data.jsonl"
    data.write_text('{"text": "one"}\n', encoding="utf-8")
    code, text = call("queue", "add", data, "--priority", "high")
    assert code == 0
    assert text == "1\taccepted\tnew data.jsonl\n"
    assert data.read_text(encoding="utf-8") == '{"text": "one"}\n'
    kept = list((folder / "out/queue/files").rglob("*.jsonl"))
    assert [path.read_bytes() for path in kept] == [data.read_bytes()]
    with pytest.raises(UsageError, match="is not there; nothing was added"):
        call("queue", "add", data, "none.jsonl")
    script = folder / "run.py"
    script.write_text("print()", encoding="utf-8")
    other = folder / "other.jsonl"
    other.write_text('{"text": "two"}\n', encoding="utf-8")
    code, text = call("queue", "add", script, other)
    assert code == 2
    assert "other.jsonl" in text, "the others are added"
    assert "run.py" in capsys.readouterr().err


def test_export_has_the_history_of_each(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "a.jsonl", fault=True)
        accepted(queue, HOSTILE)
    call("queue", "export", "-o", "out.jsonl")
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["name"] for line in lines] == ["a.jsonl", HOSTILE]
    kinds = [event["kind"] for event in lines[0]["history"]]
    assert kinds[0] == "accepted"
    assert "recovered" in kinds
    assert lines[0]["checkpoint"] == "checkpoint-10"


def test_it_waits_for_a_daemon_that_writes(folder: Path) -> None:
    with queue_of(folder) as queue:
        accepted(queue, "a.jsonl")
    other = sqlite3.connect(folder / "out/queue/queue.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(1.0, lambda: other.execute("COMMIT"))
    began = time.monotonic()
    timer.start()
    try:
        assert call("queue", "hold", "1")[1] == "file 1 a.jsonl is held\n"
        assert time.monotonic() - began > 0.5
    finally:
        timer.join()
        other.close()


def test_a_damaged_queue_is_named_with_the_remedy(folder: Path) -> None:
    (folder / "out/queue").mkdir(parents=True)
    (folder / "out/queue/queue.sqlite").write_bytes(b"SQLite format 3\x00" + b"x" * 5000)
    with pytest.raises(UsageError, match=r"trainguard daemon start .*builds it anew"):
        call("queue", "list")


def test_what_is_held_stays_held_where_the_database_is_lost(folder: Path) -> None:
    with queue_of(folder) as queue:
        for name in ("a.jsonl", "b.jsonl"):
            accepted(queue, name)
        path, lineage = queue.database.path, queue.lineage
    assert path is not None
    call("queue", "hold", "1", "2", "--because", "labels are wrong")
    call("queue", "release", "2")
    path.unlink()
    queue, _ = recover_queue(path.parent, lineage=lineage, owner="test")
    with queue:
        assert [(file.state, file.cause) for file in sorted(queue.list(), key=lambda each: each.id)] == [
            ("held", "labels are wrong"),
            ("accepted", "its queue was rebuilt"),
        ]
