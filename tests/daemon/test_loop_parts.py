"""The parts of the loop one by one: what fails, what waits, what is asked beside it, what is remembered."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trainguard.daemon import acting
from trainguard.daemon.aside import Aside, Said
from trainguard.daemon.background import Background
from trainguard.daemon.checks import read_verdict
from trainguard.daemon.clock import Every, Moment, moment_of
from trainguard.daemon.commanding import before_step, command_line, file_id, own_onset
from trainguard.daemon.failing import Parts
from trainguard.daemon.keeping import Work
from trainguard.daemon.lineage import MovedOnError, Tip
from trainguard.daemon.progress import Progress, last_step
from trainguard.daemon.readying import make_ready
from trainguard.daemon.settings import Settings, plain_name, read_daemon_settings
from trainguard.daemon.start import begin_patiently
from trainguard.daemon.waiting import Waits, waits_for
from trainguard.errors import UsageError
from trainguard.fencing import read_fence
from trainguard.queue.custody import AwayError, Custody
from trainguard.queue.engine import QueueBusyError, QueueCorruptError
from trainguard.queue.records import QueuedFile
from trainguard.queue.store import Queue, open_queue
from trainguard.recovery.records import Decision, Failure, History
from trainguard.train.events import EventLog
from trainguard.train.heartbeat import Heartbeat

FAILURE = Failure(kind="killed", code="RUN012", why="it was killed", fingerprint="x", step=7)


def _settings(folder: Path, **values: Any) -> Settings:
    (folder / "base").mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"base_model": "base", "output_dir": "out", **values}))
    return read_daemon_settings(folder / "config.json", environment={})


def _file(**values: Any) -> QueuedFile:
    known = {"state_since": 0.0, "accepted_at": 0.0, "due_at": 0.0, "lineage": "l", "origin": "o", "bytes": 1}
    named = {"id": 3, "name": "a.jsonl", "sha256": "ab" * 32, "priority": "normal", "state": "training"}
    return QueuedFile(**{**known, **named, **values})


# What goes wrong in the daemon itself.


def test_a_part_that_raises_rests_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts, ran = Parts(tmp_path / "log"), []

    def broken() -> None:
        ran.append("broken")
        raise ZeroDivisionError("three")

    for _ in range(3):
        parts.run("broken", broken)
        parts.run("sound", lambda: ran.append("sound"))
    assert ran.count("sound") == 3
    assert ran.count("broken") == 1, "it rests before it is tried again"
    assert "broken failed (time 1 in a row): three" in caplog.text
    time.sleep(0.6)
    parts.run("broken", lambda: ran.append("mended"))
    assert parts.times("broken") == 0
    assert ran[-1] == "mended"


def test_what_fails_a_hundred_times_is_said_loudly_once_an_hour(tmp_path: Path) -> None:
    queue = open_queue(tmp_path / "home", lineage="l", owner="me")
    parts = Parts(tmp_path / "log")
    parts.queue = queue
    for _ in range(200):
        parts.failed("work", ValueError("no"))
    (alert,) = queue.outbox(time.time())
    assert "again and again: work" in alert.title
    assert [each.data["times"] for each in queue.events(kinds=["error"])] == [1, 100, 200]
    queue.close()


# Time.


def test_a_moment_is_measured_by_the_clock_that_does_not_jump() -> None:
    now = Moment.now()
    jumped = msgspec.structs.replace(now, time=now.time - 86_400.0, t=now.t - 5.0)
    assert 5.0 <= jumped.seconds < 60.0
    other_boot = msgspec.structs.replace(now, time=now.time - 100.0, t=now.t + 1e6, boot="another")
    assert 100.0 <= other_boot.seconds < 160.0
    assert moment_of(now.plain()) is not None
    assert moment_of("yesterday") is None


def test_every_is_due_at_once_and_then_after_its_time() -> None:
    clock = iter([0.0, 1.0, 9.0, 10.0, 11.0])
    every = Every(10.0, lambda: next(clock))
    assert [every.due() for _ in range(5)] == [True, False, False, True, False]


# Beside the loop.


def test_an_aside_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    aside = Aside([sys.executable, "-c", f"{code} print('begun', flush=True); time.sleep(60)"], deadline_seconds=1.0)
    end = time.monotonic() + 60.0
    while (said := aside.poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert said.timed_out
    assert said.exit_code is None


def test_an_aside_that_cannot_be_started_says_so() -> None:
    said = Aside(["/nowhere/python"], deadline_seconds=5.0)
    end = time.monotonic() + 60.0
    while (found := said.poll()) is None and time.monotonic() < end:
        time.sleep(0.02)
    assert found is not None
    assert found.exit_code != 0


def test_a_background_job_gives_its_error_to_who_asks() -> None:
    def fails() -> int:
        raise KeyError("x")

    job = Background(fails, "test")
    assert job.wait(10.0)
    with pytest.raises(KeyError):
        job.result()


# The check of a file.


def _unreadable(message: str) -> Said:
    found = {"severity": "error", "code": "DATA020", "message": message}
    return Said(exit_code=1, output=json.dumps({"reports": [{"findings": [found]}]}).encode(), error="")


@pytest.mark.parametrize(
    ("said", "fit"),
    [
        (Said(exit_code=0, output=b'{"reports": [{"findings": []}]}', error=""), True),
        (
            Said(
                exit_code=1, output=b'{"reports": [{"findings": [{"severity": "error", "code": "DATA002"}]}]}', error=""
            ),
            False,
        ),
        (Said(exit_code=1, output=b'{"reports": [{"findings": [{"severity": "warn"}]}]}', error=""), True),
        # The check itself failed: that is no fault of the file's.
        (Said(exit_code=3, output=b"", error="error: trainguard itself failed"), None),
        (Said(exit_code=-9, output=b'{"reports"', error=""), None),
        (Said(exit_code=None, output=b"", error="", timed_out=True), None),
        (Said(exit_code=0, output=b"[" * 100_000, error=""), None),
        (Said(exit_code=0, output=b'{"reports": 3}', error=""), None),
        # What a disk or a server says for itself is none either; a file that is no gzip file is.
        (_unreadable("a.jsonl cannot be read: Input/output error; name a file"), None),
        (_unreadable("a.jsonl cannot be read: Not a gzipped file; name a file"), False),
    ],
)
def test_only_an_error_of_the_data_makes_a_file_unfit(said: Said, fit: bool | None) -> None:
    assert read_verdict(said, "a.jsonl").fit is fit


# What is remembered between attempts.


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    opened = open_queue(tmp_path / "home", lineage="l", owner="me")
    opened.accept("a.jsonl", "ab" * 32, 10, "here")
    lease = opened.take(("accepted",), "checking")
    assert lease is not None
    opened.move_to(lease, "waiting", cause=None)
    return opened


def test_a_rollback_is_remembered_with_its_window(queue: Queue) -> None:
    lease = queue.take()
    assert lease is not None
    ended = acting.Ended(number=1, started=0.0, first_step=4, last_step=7, changes={})
    decision = Decision(act="rollback", why="back", policy="p", before_step=7, skip=(5, 7), changes={"batch_size": 1})
    file = acting.act(queue, lease, ended, FAILURE, decision)
    history = acting.history_of(file)
    assert file.state == "waiting"
    assert file.memory[acting.BEFORE] == 7
    assert (history.skipped, history.changes) == (((5, 7),), {"batch_size": 1})
    (attempt,) = history.attempts
    assert (attempt.failure, attempt.act) == (FAILURE, "rollback")
    assert queue.events(kinds=["attempt-end"])[0].data["decision"]["policy"] == "p"
    again = queue.take()
    assert again is not None
    second = acting.Ended(number=2, started=0.0, changes={})
    file = acting.act(queue, again, second, FAILURE, Decision(act="quarantine", why="enough", policy="p"))
    assert file.state == "quarantined"
    assert len(acting.history_of(file).attempts) == 2
    queue.close()


def test_a_row_says_where_its_file_stopped(queue: Queue) -> None:
    lease = queue.take()
    assert lease is not None
    ended = acting.Ended(number=1, started=0.0, last_step=7, step_before=4, planned_steps=9, changes={})
    file = acting.act(queue, lease, ended, FAILURE, Decision(act="quarantine", why="enough", policy="p", advice="mend"))
    assert (file.step, file.step_before, file.planned_steps) == (7, 4, 9)
    assert file.cause == "RUN012 it was killed; enough; mend"
    queue.close()


def test_a_person_who_releases_a_file_gives_it_a_new_budget(queue: Queue) -> None:
    def fail(number: int, decision: Decision) -> QueuedFile:
        lease = queue.take()
        assert lease is not None
        return acting.act(queue, lease, acting.Ended(number=number, started=0.0, changes={}), FAILURE, decision)

    rollback = Decision(act="rollback", why="back", policy="p", before_step=7, skip=(5, 7))
    fail(1, rollback)
    held = fail(2, Decision(act="hold", why="h", policy="p"))
    assert acting.history_of(held).released_after is None
    released = queue.release(held.id)
    assert released.cause == "released: the budget of attempts and rollbacks begins anew"
    history = acting.history_of(released)
    assert (history.released_after, history.skipped_before, len(history.attempts)) == (2, 1, 2)
    checking = queue.take(("accepted",), "checking")
    assert checking is not None
    queue.move_to(checking, "waiting", cause=None)
    later = acting.history_of(fail(3, rollback))
    assert (later.released_after, later.skipped_before, len(later.skipped)) == (2, 1, 2)
    queue.close()


def test_what_was_asked_for_is_no_failure(queue: Queue) -> None:
    lease = queue.take()
    assert lease is not None
    stopped = msgspec.structs.replace(FAILURE, kind="stopped")
    file = acting.act(
        queue,
        lease,
        acting.Ended(number=1, started=0.0, changes={}),
        stopped,
        Decision(act="stop", why="y", policy="p"),
    )
    assert file.state == "waiting"
    assert acting.history_of(file) == History()
    assert acting.FAULT not in file.memory
    queue.close()


def test_a_pause_stands_before_the_file_waits_again(queue: Queue) -> None:
    lease = queue.take()
    assert lease is not None
    ended = acting.Ended(number=1, started=0.0, changes={})
    decision = Decision(act="pause", why="the disk is full", policy="p", wait_for="disk", deadline_seconds=60.0)
    file = acting.act(queue, lease, ended, FAILURE, decision)
    assert file.state == "waiting"
    assert queue.take() is None
    assert waits_for(queue.paused or "") == "disk"
    assert file.memory[acting.PAUSE]["deadline_seconds"] == 60.0
    queue.close()


def test_a_memory_that_cannot_be_read_is_an_empty_one() -> None:
    assert acting.history_of(_file(memory={"recovery": {"attempts": "many"}})) == History()
    assert acting.recovered(_file(memory={"fault": {"time": "x"}}), first=1, step=2) == (None, None)


# The command of an attempt.


def test_the_command_tells_all_that_the_run_must_know(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    history = History(skipped=((3, 4), (7, 9)))
    command = command_line(
        ["train"], settings, _file(), Path("/k/a b.jsonl"), history=history, changes={"eval.batch_size": 2}, before=12
    )
    assert command[:2] == ["train", str(tmp_path / "config.json")]
    words = " ".join(command[2:])
    assert "--set data=/k/a b.jsonl --set eval.batch_size=2" in words
    assert f"--file-id {file_id(_file())} --skip-steps 3-4 --skip-steps 7-9 --before-step 12" in words


def test_the_half_of_another_file_is_not_gone_on_with() -> None:
    half = Tip(step=14, file_id="2-x", step_before=10, planned_steps=8)
    whole = Tip(step=18, file_id="2-x", step_before=10, planned_steps=8)
    own = Tip(step=14, file_id=file_id(_file()), step_before=10, planned_steps=8)
    assert before_step(_file(), half) == 11
    assert before_step(_file(), whole) is None
    assert before_step(_file(), own) is None
    assert before_step(_file(memory={acting.BEFORE: 13}), own) == 13
    assert before_step(_file(memory={acting.BEFORE: 13}), half) == 11


def test_a_rollback_stays_within_the_file_it_was_decided_for(tmp_path: Path) -> None:
    """Meanwhile the file may have been held, and others trained to steps beyond its fault's."""
    file = _file(memory={acting.BEFORE: 13})
    own = Tip(step=14, file_id=file_id(file), step_before=10, planned_steps=8)
    assert own_onset(file, own) == 13
    assert own_onset(_file(memory={acting.BEFORE: 9}), own) == 11
    for other in (
        Tip(step=18, file_id="2-x", step_before=10, planned_steps=8),
        Tip(step=18),
        Tip(),
    ):
        assert own_onset(file, other) is None
        assert before_step(file, other) is None
    assert own_onset(_file(memory={acting.BEFORE: "x"}), own) is None


def test_what_is_made_but_did_not_end_well_is_open() -> None:
    made = Tip(step=18, file_id="2-x", step_before=10, planned_steps=8)
    assert not made.unfinished
    assert replace(made, open=True).unfinished
    assert before_step(_file(), replace(made, open=True)) == 11


def test_a_lineage_that_moved_on_is_seen_before_anything_is_set_aside(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    queue, custody = open_queue(settings.home, lineage="l", owner="me"), Custody(settings.home)
    content = tmp_path / "a.jsonl"
    content.write_text("a row\n")
    kept = custody.take_in(content)
    queue.accept("a.jsonl", kept.sha256, kept.size, kept.origin)
    checked = queue.take(("accepted",), "checking")
    assert checked is not None
    queue.move_to(checked, "waiting", cause=None)
    lease = queue.take()
    assert lease is not None
    work = Work(queue=queue, custody=custody, settings=settings, command=["x"], lease_seconds=30.0)
    said: list[Any] = []
    assert make_ready(work, lease, Tip(), given_up=lambda: False, tell=said.append) is None
    with pytest.raises(MovedOnError):
        make_ready(work, lease, Tip(step=4, file_id="1-x"), given_up=lambda: False, tell=said.append)
    assert read_fence(settings.output_dir) == lease.fence > 0
    kept.path.chmod(0o600)
    kept.path.write_text("another\n")
    assert "was changed in custody" in str(make_ready(work, lease, Tip(), given_up=lambda: False, tell=said.append))
    (settings.home / "files").rename(tmp_path / "away")
    with pytest.raises(AwayError):
        make_ready(work, lease, Tip(), given_up=lambda: False, tell=said.append)
    queue.close()


# How far it is.


def test_progress_is_that_of_this_attempt_alone(tmp_path: Path) -> None:
    own = tmp_path / "trainguard"
    beats, events = Heartbeat(own / "heartbeat.jsonl", every_seconds=0.0), EventLog(own / "events.jsonl")
    beats.beat("train", step=5)
    progress = Progress(tmp_path)
    assert not progress.look()
    assert [progress.step] == [None]
    beats.beat("load")
    beats.beat("train", step=5)
    assert not progress.look(), "where it begins is no new step"
    beats.beat("train", step=6)
    events.event("verified", step=6, checkpoint="checkpoint-6")
    assert progress.look()
    assert not progress.look()
    assert (progress.first, progress.step, progress.verified, last_step(tmp_path)) == (5, 6, 6, 6)


# What is waited for.


def test_a_pause_for_the_disk_ends_when_there_is_room(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    settings.output_dir.mkdir()
    waits = Waits(settings, probe_seconds=0.05)
    waits.needed_bytes = 1 << 60
    paused = "disk: full"
    for _ in range(20):
        assert waits.ended(paused) is None
        time.sleep(0.05)
    waits.needed_bytes = 1
    end = time.monotonic() + 60.0
    while (why := waits.ended(paused)) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "MB are free now" in why


def test_a_small_disk_waits_for_the_room_of_a_checkpoint_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = _settings(tmp_path)
    folder = settings.output_dir / "checkpoint-4"
    folder.mkdir(parents=True)
    free = shutil.disk_usage(tmp_path).free
    caplog.set_level("INFO")
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(free)  # a hole: it takes no room
    waits = Waits(settings, probe_seconds=0.05)
    end = time.monotonic() + 20.0
    while "that are needed are free" not in caplog.text:
        assert waits.ended("disk: full") is None
        assert time.monotonic() < end
        time.sleep(0.05)
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(1_000_000)
    while (why := waits.ended("disk: full")) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "1.6 MB are needed" in why, "a tenth more than at first, once it was too little"


@pytest.mark.parametrize(
    ("words", "kind"),
    [("disk: x", "disk"), ("network: y", "network"), ("by hand: disk: z", None), ("disk", None), ("", None)],
)
def test_only_what_the_daemon_waits_for_ends_by_itself(words: str, kind: str | None) -> None:
    assert waits_for(words) == kind


# The configuration.


def test_the_settings_name_all_places(tmp_path: Path) -> None:
    settings = _settings(tmp_path, queue={"inbox": "in"})
    assert (settings.home, settings.inbox) == (tmp_path / "out/queue", tmp_path / "in")
    assert settings.lock_folder == settings.home
    shared = read_daemon_settings(settings.config, environment={}, database_url="postgresql://x/y", name="a/b")
    assert shared.lock_folder.parent == settings.home / "daemons"
    assert "/" not in shared.owner


def test_a_configuration_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"base_model": "base", "output_dir": "out", "batch_size": 0, "epochs": -1}')
    with pytest.raises(UsageError, match=r"batch_size: got 0, expected .*1 more: `trainguard config show"):
        read_daemon_settings(tmp_path / "config.json", environment={})


def test_a_queue_that_is_lost_is_known_as_lost_and_told_in_the_log_alone(tmp_path: Path) -> None:
    queue = open_queue(tmp_path / "home", lineage="l", owner="me")
    parts = Parts(tmp_path / "log")
    parts.queue = queue
    parts.failed("work", QueueBusyError("locked"))
    assert parts.lost is None
    parts.failed("work", QueueCorruptError(tmp_path / "home", "it is gone"))
    assert parts.lost is not None
    assert not queue.events(kinds=["error"])
    queue.close()


def test_a_daemon_that_starts_waits_for_who_has_the_queue_locked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = _settings(tmp_path)
    open_queue(settings.home, lineage=settings.lineage, owner=settings.owner).close()
    other = sqlite3.connect(settings.home / "queue.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    alive: list[bool] = []

    def looks() -> None:
        alive.append(True)
        if len(alive) == 2:
            other.close()

    assert begin_patiently(settings, lease_seconds=30.0, ended=lambda: True, alive=lambda: None) is None
    begun = begin_patiently(settings, lease_seconds=30.0, ended=lambda: False, alive=looks)
    assert begun is not None
    assert len(alive) == 2
    assert "tried again" in caplog.text
    begun.queue.close()


def test_names_stay_apart() -> None:
    assert plain_name("gpu-1.example") == "gpu-1.example"
    assert plain_name("a b") != plain_name("a-b")
    assert plain_name("/") != plain_name("")
