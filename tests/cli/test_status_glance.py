"""`trainguard status` reads an SQLite queue by a way of its own, which is short and says the same."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli._queue import call, queue_of, write_config
from tests.cli.helpers import environment
from tests.cli.test_status import fill

from trainguard.cli.status_text import look
from trainguard.daemon.overview import Overview
from trainguard.daemon.settings import read_daemon_settings
from trainguard.errors import UsageError
from trainguard.queue.glance import GlanceError, glance
from trainguard.queue.records import DATABASE
from trainguard.queue.store import Incoming

# What a screen does not need: together they were two thirds of the time of a start.
_HEAVY = ("sqlalchemy", "asyncio", "rich", "trainguard.recovery", "psutil", "watchfiles")
_CALL = (
    "import sys; from trainguard.cli import main; code = main(['status', '--format', 'json']); "
    f"print([name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(seen: Overview) -> Overview:
    """Without what changes from look to look."""
    return dataclasses.replace(
        seen, at=0.0, disk_free_bytes=None, progress=dataclasses.replace(seen.progress, beat_age_seconds=None)
    )


def damage_row(folder: Path) -> None:
    with sqlite3.connect(folder / "out/queue" / DATABASE) as connection:
        connection.execute("UPDATE trainguard_files SET priority = 'urgent', name = CAST(x'66ff' AS TEXT) WHERE id = 1")
        connection.execute("UPDATE trainguard_events SET data = '{torn' WHERE id = 3")
    connection.close()


@pytest.mark.parametrize("damaged", [False, True])
def test_it_says_what_the_queue_itself_says(folder: Path, damaged: bool) -> None:
    fill(folder)
    if damaged:
        damage_row(folder)
    settings = read_daemon_settings(folder)
    with queue_of(folder) as queue, glance(settings.home) as seen:
        assert same(look(seen, settings)) == same(look(queue, settings))
        assert seen.list() == queue.list()
        assert seen.list(newest_first=True, limit=2) == queue.list(newest_first=True, limit=2)
        assert seen.events(file_id=2, after=4) == queue.events(file_id=2, after=4)
        assert seen.events(kinds=()) == queue.events(kinds=()) == []
        assert len(seen.events()) > 20


def test_ten_thousand_files_in_a_second(folder: Path) -> None:
    """By processor time, which a busy machine changes less than the time on the wall."""
    with queue_of(folder) as queue:
        queue.accept_many(
            Incoming(name=f"{n}.jsonl", sha256=f"{n:064x}", size=9, origin=f"o{n}", priority="normal")
            for n in range(10_000)
        )
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            [sys.executable, "-c", _CALL], env=environment(), capture_output=True, text=True, check=False, timeout=60
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert ran.returncode == 0, ran.stderr
    assert ran.stderr.strip() == "[]"
    assert json.loads(ran.stdout)["counts"]["accepted"] == 10_000
    assert min(spent) < 1.0, spent


def test_nothing_is_written_and_a_writer_is_not_waited_for(folder: Path) -> None:
    fill(folder)
    path = folder / "out/queue" / DATABASE
    before = path.read_bytes()
    writer = sqlite3.connect(path, isolation_level=None)
    try:
        writer.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        code, text = call("status")
        assert time.monotonic() - began < 30
    finally:
        writer.close()
    assert code == 0
    assert "queue       6 files" in text
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database at all" * 300])
def test_what_is_no_database_is_said_by_the_queue(folder: Path, content: bytes) -> None:
    fill(folder)
    path = folder / "out/queue" / DATABASE
    path.write_bytes(content)
    with pytest.raises(GlanceError), glance(path.parent):
        pass
    if content:
        with pytest.raises(UsageError, match="builds it anew"):
            call("status")


def test_tables_of_a_newer_release_are_refused(folder: Path) -> None:
    fill(folder)
    with sqlite3.connect(folder / "out/queue" / DATABASE) as connection:
        connection.execute("UPDATE trainguard_meta SET value = '99' WHERE key = 'schema'")
    connection.close()
    with pytest.raises(UsageError, match="newer trainguard"):
        call("status")


def test_a_column_that_is_missing_sends_it_the_long_way(folder: Path) -> None:
    fill(folder)
    with sqlite3.connect(folder / "out/queue" / DATABASE) as connection:
        connection.execute("ALTER TABLE trainguard_events RENAME COLUMN cause TO because")
    connection.close()
    with pytest.raises(GlanceError), glance(folder / "out/queue") as seen:
        seen.events()
    with pytest.raises(UsageError):
        call("status")


def test_a_journal_that_a_crash_left_is_rolled_back(folder: Path) -> None:
    """A reader that may not write cannot do that, so the queue itself does."""
    fill(folder)
    path = folder / "out/queue" / DATABASE
    script = (
        f"import os, sqlite3; c = sqlite3.connect({str(path)!r}, isolation_level=None); "
        "c.execute('PRAGMA cache_size=1'); c.execute('PRAGMA cache_spill=1'); c.execute('BEGIN IMMEDIATE'); "
        'c.execute("UPDATE trainguard_events SET data = zeroblob(20000)"); os._exit(9)'
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert os.path.getsize(f"{path}-journal") > 0
    assert "queue       6 files" in call("status")[1]
