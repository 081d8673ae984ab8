"""The power is cut at any moment of accepting files: afterwards each has one row and its whole content."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trainguard.drills.needs import unmet
from trainguard.drills.process._on_disk import run_on_disk
from trainguard.drills.process._power import CUTS, Cut, after_power_cut, write_to
from trainguard.queue import intake
from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.engine import QueueCorruptError
from trainguard.queue.inbox import Inbox
from trainguard.queue.rebuild import recover_queue
from trainguard.queue.store import open_queue

pytestmark = pytest.mark.skipif(unmet(frozenset({"fuse"})) is not None, reason="needs /dev/fuse")

_ACCEPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from _accepting import accept
disk = Path(sys.argv[1])
accept(disk / "inbox", disk / "out" / "queue")
"""
# A writer that did not sync what it wrote, as most do not.
_WRITE = """
for name in ("a", "b", "c"):
    (disk / "inbox" / f"{name}.jsonl").write_text(f'{{"text": "{name}"}}\\n' * 200)
"""
_CONTENTS = {f"{name}.jsonl": f'{{"text": "{name}"}}\n'.encode() * 200 for name in ("a", "b", "c")}
# Of all the moments of the recording; the rest are for the slow run.
_EVERY = 15


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory: thousands of syncs of a real disk would test only that disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.mark.parametrize("cut", CUTS)
def test_a_power_cut_loses_nothing(folder: Path, cut: Cut) -> None:
    _cut(folder, cut, _EVERY)


@pytest.mark.slow
@pytest.mark.parametrize("cut", CUTS)
def test_a_power_cut_at_every_moment_loses_nothing(folder: Path, cut: Cut) -> None:
    for seed in range(3 if cut == "torn" else 1):
        (folder / str(seed)).mkdir()
        _cut(folder / str(seed), cut, 1, seed)


@pytest.mark.parametrize("cut", ["lost", "torn"])
def test_what_has_a_row_was_synced_though_its_writer_did_not_sync_it(folder: Path, cut: Cut) -> None:
    program = _ACCEPT.replace("accept(", _WRITE.strip() + "\naccept(")
    rows = 0
    for moment, after in _moments(folder, program, cut, 9):
        home = after / "out" / "queue"
        with open_queue(home, lineage="test", owner="test") as queue:
            before = queue.list()
            Custody(home).reconcile(queue)
            assert [Custody(home).verify(file) for file in before] == [None] * len(before), moment
            rows = max(rows, len(before))
    assert rows == 3


def _cut(folder: Path, cut: Cut, every: int, seed: int = 0) -> None:
    for name, content in _CONTENTS.items():
        path = folder / "start" / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for moment, after in _moments(folder, _ACCEPT, cut, every, seed):
        _whole(after / "inbox", after / "out" / "queue", moment)


def _moments(folder: Path, program: str, cut: Cut, every: int, seed: int = 0) -> Iterator[tuple[str, Path]]:
    """The disk as a power cut leaves it, at every so many moments of a program."""
    (folder / "start" / "inbox").mkdir(parents=True, exist_ok=True)
    (folder / "start" / "out" / "queue").mkdir(parents=True)
    (folder / "disk").mkdir()
    open_queue(folder / "start" / "out" / "queue", lineage="test", owner="test").close()
    command = [sys.executable, "-c", program, str(folder / "disk"), str(Path(__file__).parent)]
    ran = run_on_disk(folder / "start", folder / "disk", command, log=folder / "log")
    assert ran.returncode == 0, ran.stderr
    begin, log = msgspec.msgpack.decode((folder / "log").read_bytes())
    assert len(log) - begin > 50
    for upto in range(begin, len(log) + 1, every):
        after = folder / "after"
        write_to(after, after_power_cut(log, upto, cut, seed))
        yield f"{cut} {upto} of {len(log)}", after
        shutil.rmtree(after)


def _whole(inbox: Path, home: Path, moment: str) -> None:
    """The daemon's start after it: everything is there once."""
    custody = Custody(home)
    try:
        queue = open_queue(home, lineage="test", owner="test")
    except QueueCorruptError:
        queue, _ = recover_queue(home, lineage="test", owner="test")
    with queue:
        custody.reconcile(queue)
        accept_ready(Inbox(inbox, 0.0), custody, queue)
        rows = queue.list()
        found = sorted((file.name, file.state, file.sha256) for file in rows)
        assert found == [
            (name, "accepted", hashlib.sha256(content).hexdigest()) for name, content in sorted(_CONTENTS.items())
        ], moment
        assert [custody.verify(file) for file in rows] == [None] * len(rows), moment
    assert os.listdir(inbox) == [], moment
    assert os.listdir(home / intake.INCOMING) == [], moment
