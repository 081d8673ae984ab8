"""Many files at once are synced together: what has a row survives a power cut as well as one file alone does."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.queue.test_accepting_power import _ACCEPT, _CONTENTS, _moments, _whole

from trainguard.drills.needs import unmet
from trainguard.drills.process._power import Cut
from trainguard.facts.machine.mounts import Mount
from trainguard.queue import accepting, whole_sync
from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.inbox import Inbox
from trainguard.queue.store import Queue, open_queue
from trainguard.queue.whole_sync import LEAST_FILES, WholeSync

# What syncfs does for a file system of this machine, for the recorded disk, whose kernel module does nothing for it.
_WHOLE = """
import os
from trainguard.queue import accepting
class Together:
    @classmethod
    def opened(cls, folders): return cls()
    def close(self): pass
    def sync(self):
        for folder, _, names in os.walk(disk / "out"):
            for name in (*names, "."):
                descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
accepting.LEAST_FILES, accepting.WholeSync = 1, Together
"""
_WRITE = """
for name in ("a", "b", "c"):
    (disk / "inbox" / f"{name}.jsonl").write_text(f'{{"text": "{name}"}}\\n' * 200)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.mark.skipif(unmet(frozenset({"fuse"})) is not None, reason="needs /dev/fuse")
@pytest.mark.parametrize("cut", ["lost", "torn"])
def test_a_power_cut_loses_nothing_of_a_crowd(folder: Path, cut: Cut) -> None:
    for name, content in _CONTENTS.items():
        path = folder / "start" / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    program = _ACCEPT.replace("accept(", _WHOLE.strip() + "\naccept(")
    for moment, after in _moments(folder, program, cut, 15):
        _whole(after / "inbox", after / "out" / "queue", moment)


@pytest.mark.skipif(unmet(frozenset({"fuse"})) is not None, reason="needs /dev/fuse")
def test_what_has_a_row_was_synced_though_its_writer_did_not_sync_it(folder: Path) -> None:
    program = _ACCEPT.replace("accept(", _WHOLE.strip() + _WRITE + "accept(")
    rows = 0
    for moment, after in _moments(folder, program, "torn", 7):
        home = after / "out" / "queue"
        with open_queue(home, lineage="test", owner="test") as queue:
            before = queue.list()
            Custody(home).reconcile(queue)
            assert [Custody(home).verify(file) for file in before] == [None] * len(before), moment
            rows = max(rows, len(before))
    assert rows == 3


def _accept(folder: Path, files: int) -> None:
    (folder / "inbox").mkdir()
    for number in range(files):
        (folder / "inbox" / f"{number}.jsonl").write_text(f'{{"text": "{number}"}}\n')
    home = folder / "out" / "queue"
    with open_queue(home, lineage="test", owner="test") as queue:
        found = accept_ready(Inbox(folder / "inbox", 0.0), Custody(home), queue)
        assert len(found.files) == files


def test_a_crowd_is_synced_before_its_rows_and_before_its_originals_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync = os.fsync

    class Spy:
        opened = classmethod(lambda cls, folders: cls())
        sync = staticmethod(lambda: seen.append("sync"))
        close = staticmethod(lambda: seen.append("close"))

    def said(word: str, what: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            if seen[-1:] != [word]:
                seen.append(word)
            return what(*given)

        return called

    def synced_one(descriptor: int) -> None:
        synced.append(descriptor)
        fsync(descriptor)

    synced: list[int] = []
    monkeypatch.setattr(accepting, "WholeSync", Spy)
    monkeypatch.setattr(Queue, "accept_many", said("rows", Queue.accept_many))
    monkeypatch.setattr(Custody, "done", said("done", Custody.done))
    monkeypatch.setattr(os, "fsync", synced_one)
    _accept(tmp_path, LEAST_FILES)
    assert seen == ["sync", "rows", "sync", "close", "done"]
    assert len(synced) < LEAST_FILES, "not each by itself"


def test_few_files_are_synced_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> None:
        raise AssertionError("a whole file system for a few files")

    monkeypatch.setattr(WholeSync, "opened", never)
    _accept(tmp_path, LEAST_FILES - 1)


def test_only_where_the_kernel_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local, others = ("ext4", "xfs", "btrfs"), ("fuse.sshfs", "nfs4", "overlay", "9p")
    for kind in (*local, *others):
        table = (Mount(mount_point="/", filesystem=kind, source="x", read_only=False),)
        monkeypatch.setattr(whole_sync, "read_mounts", lambda table=table: table)
        opened = WholeSync.opened([tmp_path, tmp_path / "not there"])
        assert (opened is not None) is (kind in local), kind
        if opened is not None:
            opened.sync()
            opened.close()
            with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
                opened.sync()
    monkeypatch.setattr(whole_sync, "read_mounts", lambda: None)
    assert WholeSync.opened([tmp_path]) is None
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "x", "5.4.0-generic", "x", "x")))
    monkeypatch.setattr(
        whole_sync, "read_mounts", lambda: (Mount(mount_point="/", filesystem="ext4", source="x", read_only=False),)
    )
    assert WholeSync.opened([tmp_path]) is None, "it would not say what could not be written"
