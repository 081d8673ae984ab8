"""The disk that notes what is asked of it, and what a power cut leaves of it."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trainguard.drills.needs import unmet
from trainguard.drills.process._on_disk import run_on_disk
from trainguard.drills.process._power import CUTS, Cut, after_power_cut, write_to

pytestmark = pytest.mark.skipif(unmet(frozenset({"fuse"})) is not None, reason="needs /dev/fuse")

_SAVES = """
import os, sys
os.chdir(sys.argv[1])
def save(text):
    with open("new", "w") as file:
        file.write(text)
        file.flush()
        if {syncs}: os.fsync(file.fileno())
    os.replace("new", "state")
    folder = os.open(".", os.O_RDONLY)
    os.fsync(folder)
save("second " * 1000)
"""
_DATABASE = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1] + "/state.sqlite")
database.execute("pragma synchronous=extra")
for number in range(3):
    database.execute("insert into rows values (?, ?)", (number, "x" * 3000))
    database.commit()
"""


def recorded(folder: Path, program: str) -> tuple[int, Sequence[tuple[Any, ...]]]:
    (folder / "disk").mkdir()
    command = [sys.executable, "-c", program, str(folder / "disk")]
    ran = run_on_disk(folder / "start", folder / "disk", command, log=folder / "log")
    assert ran.returncode == 0, ran.stderr
    begin, log = msgspec.msgpack.decode((folder / "log").read_bytes())
    return begin, log


def states(folder: Path, program: str, cut: Cut) -> list[str | None]:
    """The file's text at every moment; torn in ten ways, since chance decides what is there."""
    begin, log = recorded(folder, program)
    seen = []
    for upto in range(begin, len(log) + 1):
        for seed in range(10 if cut == "torn" else 1):
            write_to(folder / f"at-{upto}-{seed}", after_power_cut(log, upto, cut, seed))
            path = folder / f"at-{upto}-{seed}" / "state"
            seen.append(path.read_text() if path.is_file() else None)
    return seen


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("syncs", [True, False])
def test_a_file_is_whole_at_every_moment_only_where_it_was_synced(tmp_path: Path, cut: Cut, syncs: bool) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start/state").write_text("first")
    seen = states(tmp_path, _SAVES.format(syncs=syncs), cut)
    assert (seen[0], len(seen) > 4) == ("first", True)
    whole = set(seen) == {"first", "second " * 1000}
    assert whole is (syncs or cut == "kept")


@pytest.mark.parametrize("cut", CUTS)
def test_a_database_keeps_every_commit(tmp_path: Path, cut: Cut) -> None:
    (tmp_path / "start").mkdir()
    with sqlite3.connect(tmp_path / "start/state.sqlite") as database:
        database.execute("create table rows (number, text)")
    database.close()
    begin, log = recorded(tmp_path, _DATABASE)
    counts = []
    for upto in range(begin, len(log) + 1):
        write_to(tmp_path / f"at-{upto}", after_power_cut(log, upto, cut))
        after = sqlite3.connect(tmp_path / f"at-{upto}/state.sqlite")
        assert after.execute("pragma integrity_check").fetchone() == ("ok",)
        counts.append(after.execute("select count(*) from rows").fetchone()[0])
        after.close()
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 3)


def test_a_disk_says_what_was_asked_of_it_in_order(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start/old").write_bytes(b"old")
    begin, log = recorded(tmp_path, _SAVES.format(syncs=True))
    assert [entry[0] for entry in log[:begin]] == ["create", "write", "sync", "sync"]
    assert [entry[0] for entry in log[begin:]] == ["create", "write", "sync", "rename", "sync"]


def test_the_clock_of_a_disk_may_be_ahead(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "disk").mkdir()
    program = (
        "import os, sys, time; open(sys.argv[1] + '/new', 'w').close(); "
        "print(os.stat(sys.argv[1] + '/new').st_mtime - time.time())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "disk")]
    ran = run_on_disk(tmp_path / "start", tmp_path / "disk", command, skew_seconds=7200)
    assert 7190 < float(ran.stdout) < 7201
