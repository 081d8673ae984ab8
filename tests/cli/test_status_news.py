"""What the screen of `trainguard status` puts first: what asks for a person, and no noise beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.cli.helpers import environment, run_in_terminal
from tests.daemon.history import HOSTILE, accepted, taken, trained, write_events

from trainguard.daemon.lock import DaemonLock
from trainguard.queue.store import Queue
from trainguard.report.snippet import cell_count


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def duplicate(queue: Queue, number: int) -> None:
    """A file whose content is that of the first one: it is held from the start."""
    file, _ = queue.accept(f"again-{number}.jsonl", "a" * 64, 5, f"again:{number}")
    assert file.state == "held"


def found(queue: Queue, code: str, severity: str = "warn", file_id: int | None = None) -> None:
    queue.event("finding", file_id=file_id, finding={"severity": severity, "code": code, "message": "look at it"})


def block(text: str, name: str) -> list[str]:
    """The lines under a heading."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(name) or (lines and line.startswith(" " * 12)):
            lines.append(line[12:])
        elif lines:
            break
    return lines


def test_a_folder_that_is_dropped_twice_hides_no_failure(folder: Path) -> None:
    with queue_of(folder) as queue:
        queue.accept("first.jsonl", "a" * 64, 5, "first")
        broken = accepted(queue, "broken.jsonl")
        queue.cancel(broken.id, "DATA003 no example")
        for number in range(40):
            duplicate(queue, number)
    lines = block(call("status")[1], "for you")
    assert lines == [
        "failed 2 broken.jsonl: DATA003 no example [trainguard queue retry 2]",
        "held 40 files with the content of earlier ones, the newest 42 again-39.jsonl "
        "[trainguard queue list --state held]",
    ]
    shown = json.loads(call("status", "--format", "json")[1])
    assert [each["id"] for each in shown["for_a_person"]] == [2]
    assert len(shown["duplicates"]) == 40


def test_one_duplicate_says_of_which_file(folder: Path) -> None:
    with queue_of(folder) as queue:
        queue.accept("first.jsonl", "a" * 64, 5, "first")
        duplicate(queue, 0)
    assert block(call("status")[1], "for you") == [
        "held 2 again-0.jsonl: held since its content is that of file 1 [trainguard queue release 2]"
    ]
    assert "trainguard queue release" in call("queue", "show", "2")[1], "there the whole reason stands"


def test_more_than_fit_are_counted(folder: Path) -> None:
    with queue_of(folder) as queue:
        for number in range(5):
            queue.cancel(accepted(queue, f"{number}.jsonl").id, "no")
    lines = block(call("status")[1], "for you")
    assert len(lines) == 4
    assert lines[-1].startswith("and 2 more [trainguard queue list --state held")


def test_findings_are_news_and_said_once(folder: Path) -> None:
    with queue_of(folder) as queue:
        queue.cancel(accepted(queue, "broken.jsonl").id, "DATA003 no example")
        found(queue, "DATA003", "error", file_id=1)
        found(queue, "QUEUE005", "info")
        for _ in range(3):
            found(queue, "QUEUE006")
        found(queue, "RUN009")
    lines = block(call("status")[1], "findings")
    assert len(lines) == 2
    assert "warn RUN009: look at it" in lines[0]
    assert "warn QUEUE006 (3 times in a day): look at it" in lines[1]
    shown = json.loads(call("status", "--format", "json")[1])
    assert [(each["data"]["finding"]["code"], each["times"]) for each in shown["findings"]] == [
        ("RUN009", 1),
        ("QUEUE006", 3),
    ]


def test_a_fault_is_no_finding_beside(folder: Path) -> None:
    with queue_of(folder) as queue:
        trained(queue, "one.jsonl", fault=True)
        found(queue, "RUN001", "error", file_id=1)
        found(queue, "RUN009", file_id=1)
    text = call("status")[1]
    assert "RUN001 not-finite" in block(text, "faults")[0]
    (line,) = block(text, "findings")
    assert "RUN009" in line


def test_a_finding_of_last_week_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainguard.daemon.overview._NEWS_SECONDS", -1.0)
    with queue_of(folder) as queue:
        found(queue, "QUEUE006")
    assert block(call("status")[1], "findings") == []


def test_of_a_run_that_died_with_its_daemon_no_pace_is_shown(folder: Path) -> None:
    with queue_of(folder) as queue:
        accepted(queue, "day.jsonl")
        queue.update(taken(queue), step_before=20, step=24, planned_steps=100)
        queue.announce("training")
    write_events(folder / "out", steps=30)
    lines = block(call("status")[1], "now")
    assert lines == ["was training 1 day.jsonl, attempt 1 at step 10 of its own; the next daemon goes on with it"]
    with DaemonLock(folder / "out/queue"):
        assert "loss 0.1" in block(call("status")[1], "now")[1]


def test_what_is_checked_is_no_attempt(folder: Path) -> None:
    with queue_of(folder) as queue, DaemonLock(folder / "out/queue"):
        accepted(queue, "day.jsonl")
        queue.take(("accepted",), "checking")
        queue.announce("checking")
        assert block(call("status")[1], "now") == ["checking 1 day.jsonl"]


def test_commands_find_the_configuration_that_was_given(folder: Path, tmp_path: Path) -> None:
    other = folder / "a b"
    other.mkdir()
    write_config(other)
    with queue_of(other) as queue:
        queue.cancel(accepted(queue, "x.jsonl").id, "no")
    text = call("status", "a b/trainguard.toml")[1]
    assert "[trainguard queue retry 1 --config 'a b/trainguard.toml']" in text
    assert "`trainguard daemon start 'a b/trainguard.toml'` starts it" in text


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(folder: Path, columns: int) -> None:
    with queue_of(folder) as queue:
        for name in (HOSTILE, "日本語" * 20, "x y " * 30):
            queue.cancel(accepted(queue, name).id, "日本語 " * 40)
        found(queue, "QUEUE006")
        queue.pause("disk: " + "1.2 GB free, " * 20)
    code, text = run_in_terminal("status", "--color", "always", columns=columns)
    assert code == 0
    lines = [line.rstrip("\r") for line in text.split("\n")]
    for color in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[1;33m"):
        lines = [line.replace(color, "") for line in lines]
    # Commands and paths stay whole, so that they can be copied.
    own = [line for line in lines if "[trainguard" not in line and str(folder) not in line and "`" not in line]
    assert max(map(cell_count, own)) <= columns
    assert "\x1b" not in "".join(lines)


@contextmanager
def unprivileged(folder: Path) -> Iterator[list[str]]:
    """How a command is run that may not read what another user has closed; root may, but for its capabilities."""
    if os.getuid() != 0:
        yield []
        return
    yield ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


@pytest.mark.parametrize(
    "verb", [("status",), ("queue", "list"), ("daemon", "status"), ("daemon", "stop"), ("report",)]
)
def test_a_queue_of_somebody_else_is_no_bug_and_no_dead_daemon(folder: Path, verb: tuple[str, ...]) -> None:
    with queue_of(folder), DaemonLock(folder / "out/queue"):
        pass
    home = folder / "out/queue"
    if os.getuid() == 0:
        os.chown(home, 65534, 65534)
    home.chmod(0o700 if os.getuid() == 0 else 0)
    with unprivileged(folder) as before:
        done = subprocess.run(
            [*before, sys.executable, "-m", "trainguard", *verb],
            env=environment(),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    home.chmod(0o700)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Permission denied" in done.stderr
    assert "This is a bug" not in done.stderr
    assert "No daemon serves" not in done.stdout


def test_alerts_that_do_not_get_out_are_seen(folder: Path) -> None:
    """Whoever waits for a message cannot know that none can come."""
    with queue_of(folder) as queue:
        for key in ("one", "two"):
            queue.alert(key, "error", "a file failed", "look at it")
        assert block(call("status")[1], "alerts") == [], "they are on their way"
        for entry in queue.outbox():
            queue.undelivered(entry.id, 1e12)
    (line,) = block(call("status")[1], "alerts")
    assert line.startswith("2 alerts could not be delivered yet, the oldest is 0 s old; ")
    assert line.endswith("out/queue/outbox.log says why")
    assert json.loads(call("status", "--format", "json")[1])["stuck_alerts"]["count"] == 2


def test_checkpoints_that_were_set_aside_are_counted(folder: Path) -> None:
    """They are whole checkpoints, and nothing removes them."""
    with queue_of(folder):
        pass
    assert len(block(call("status")[1], "disk free")) == 1
    aside = folder / "out/quarantine/checkpoint-8"
    aside.mkdir(parents=True)
    (aside / "model.safetensors").write_bytes(bytes(5_000_000))
    (aside / "link").symlink_to("/")
    assert block(call("status")[1], "disk free")[1].startswith("5.0 MB of checkpoints that were set aside")


def test_the_folder_is_the_one_that_the_run_uses() -> None:
    from trainguard.checkpoints import QUARANTINE
    from trainguard.daemon import overview

    assert overview._QUARANTINE == QUARANTINE
