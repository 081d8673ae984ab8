"""The inbox: what is ready, what is still written, what is left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainguard.facts.machine.mounts import Mount
from trainguard.queue.inbox import Inbox, Look

ROW = b'{"text": "a"}\n'


class Clock:
    """A monotonic clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Box:
    """An inbox with a clock of its own that settles in five seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.clock = Clock()
        self.inbox = Inbox(folder, 5.0, 30.0, clock=self.clock)

    def put(self, name: str, content: bytes = ROW) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def look(self, *, after: float = 0.0) -> Look:
        self.clock.now += after
        return self.inbox.look()

    def settled(self) -> Look:
        self.look()
        return self.look(after=5.0)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "inbox")
    yield made
    made.inbox.close()


def names(look: Look) -> list[str]:
    return [each.path.name for each in look.ready]


def codes(look: Look) -> list[str | None]:
    return [finding.code for finding in look.findings]


def test_a_file_is_ready_once_it_has_not_changed_for_the_settling(box: Box) -> None:
    path = box.put("a.jsonl")
    assert names(box.look()) == []
    assert names(box.look(after=4.9)) == []
    with path.open("ab") as file:
        file.write(ROW)
    look = box.look(after=1.0)
    assert (names(look), look.growing) == ([], (path,))
    assert names(box.look(after=4.9)) == []
    assert names(box.look(after=0.2)) == ["a.jsonl"]


def test_a_wall_clock_that_jumps_changes_nothing(box: Box) -> None:
    path = box.put("a.jsonl")
    os.utime(path, (2**33, 2**33))
    assert names(box.look()) == []
    assert names(box.look(after=5.0)) == ["a.jsonl"]
    os.utime(path, (1.0, 1.0))
    assert names(box.look(after=1.0)) == []
    assert names(box.look(after=5.0)) == ["a.jsonl"]


def test_a_file_that_somebody_has_open_for_writing_is_not_ready(box: Box) -> None:
    path = box.put("a.jsonl")
    code = "import sys, time; file = open(sys.argv[1], 'ab'); print('open', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            assert names(box.settled()) == []
            long = box.look(after=700.0)
            assert codes(long) == ["QUEUE011"]
            assert f"process {writer.pid} (" in long.findings[0].message
            assert "NAME.part" in long.findings[0].message
            assert codes(box.look(after=700.0)) == []
        finally:
            writer.kill()
    assert names(box.look(after=1.0)) == ["a.jsonl"]


def test_a_file_that_is_only_read_is_ready(box: Box) -> None:
    path = box.put("a.jsonl")
    with path.open("rb"):
        assert names(box.settled()) == ["a.jsonl"]


def test_the_folders_of_priorities_and_the_order_of_coming(box: Box) -> None:
    box.put("part-10.jsonl")
    box.look()
    for name in ("b/part-1.jsonl", "high/x.jsonl", "low/y.parquet", "normal/part-2.jsonl", "part-3.csv.gz"):
        path = box.put(name)
        os.utime(path, (5000.0, 5000.0))
    box.look(after=1.0)
    look = box.look(after=5.0)
    assert [(each.path.name, each.priority) for each in look.ready] == [
        ("part-10.jsonl", "normal"),
        ("part-2.jsonl", "normal"),
        ("part-3.csv.gz", "normal"),
        ("x.jsonl", "high"),
        ("y.parquet", "low"),
    ]


def test_a_folder_is_said_once_and_not_walked(box: Box) -> None:
    box.put("b/part-1.jsonl")
    first = box.settled()
    assert names(first) == []
    assert codes(box.inbox.look()) == []
    again = Inbox(box.folder, 0.0).look()
    assert codes(again) == ["QUEUE006"]
    assert "high, normal and low" in again.findings[0].message


def test_names_that_writers_use_until_a_file_is_whole_are_left_alone_quietly(box: Box) -> None:
    for name in (".hidden.jsonl", "a.jsonl.part", "a.jsonl.tmp", "a.jsonl~", "#a.jsonl#", "b.jsonl.crdownload"):
        box.put(name)
    look = box.settled()
    assert (look.ready, look.growing, look.findings) == ((), (), ())


def test_what_is_no_training_file_is_said_once_for_as_long_as_it_lies_there(box: Box) -> None:
    path = box.put("notes.md")
    first = box.look()
    assert codes(first) == ["QUEUE006"]
    assert "'.md'" in first.findings[0].message or ".md" in first.findings[0].message
    assert codes(box.look(after=100.0)) == []
    path.unlink()
    assert codes(box.look()) == []
    box.put("notes.md")
    assert codes(box.look()) == ["QUEUE006"]


def test_links_are_never_followed(box: Box, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_bytes(ROW)
    (box.folder / "loop.jsonl").symlink_to("loop.jsonl")
    (box.folder / "a.jsonl").symlink_to(outside)
    (box.folder / "nowhere.jsonl").symlink_to("gone.jsonl")
    (box.folder / "high").symlink_to(tmp_path, target_is_directory=True)
    look = box.look()
    texts = " ".join(finding.message for finding in look.findings)
    assert codes(look) == ["QUEUE004"] * 4
    for words in ("leads back to itself", "leads out of the inbox, to", "leads nowhere"):
        assert words in texts
    again = box.look(after=100.0)
    assert (again.ready, again.findings) == ((), ())


def test_fifos_and_sockets_are_never_opened(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(box.folder / "a.jsonl")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(box.folder)
        server.bind("b.jsonl")
        look = box.settled()
    assert look.ready == ()
    kinds = " ".join(finding.message for finding in Inbox(box.folder, 0.0).look().findings)
    assert "a FIFO" in kinds
    assert "a socket" in kinds


def test_names_with_any_bytes(box: Box) -> None:
    raw = os.fsencode(box.folder) + b"/\xff\xfe\n'\"; $(x).jsonl"
    with open(raw, "wb") as file:
        file.write(ROW)
    look = box.settled()
    assert [os.fsencode(each.path) for each in look.ready] == [raw]
    assert "\\xff" in look.ready[0].origin
    look.ready[0].origin.encode()


def test_another_file_of_the_same_name_is_another_drop(box: Box) -> None:
    path = box.put("a.jsonl")
    one = box.settled().ready[0]
    assert box.look().ready[0].origin == one.origin
    stamp = path.stat().st_mtime_ns
    path.unlink()
    box.put("a.jsonl")
    os.utime(path, ns=(stamp, stamp))
    look = box.settled()
    assert look.ready[0].origin != one.origin


def test_a_file_that_cannot_be_read_is_said_once_with_its_mode_and_tried_again() -> None:
    # Root reads everything, and pytest's folders are for their owner: another user in a folder that all may enter.
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom trainguard.queue.inbox import Inbox\n"
        "folder = Path(sys.argv[1])\nInbox(folder, 0.0).look()\n"
        "path = folder / 'a.jsonl'\npath.write_text('{}'); path.chmod(0)\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "box = Inbox(folder, 0.0); one = box.look(); two = box.look()\n"
        "print([f.code for f in one.findings], 'mode 0000' in one.findings[0].message, two.findings, two.ready)"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        command = [sys.executable, "-c", code, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.stdout.strip() == "['SYS003'] True () ()", done.stderr


def test_a_folder_that_is_gone_is_said_once_and_taken_up_again(box: Box) -> None:
    box.folder.rmdir()
    assert codes(box.look()) == ["SYS003"]
    assert codes(box.look(after=1.0)) == []
    box.put("a.jsonl")
    assert codes(box.look(after=1.0)) == []
    assert names(box.look(after=5.0)) == ["a.jsonl"]


def test_a_network_mount_that_hangs_is_given_up_and_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROW)
    inbox = Inbox(tmp_path, 0.0, deadline_seconds=3.0, network=True)
    answers = threading.Event()
    scandir = os.scandir

    def hang(path: object) -> object:
        answers.wait(60.0)
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", hang)
    started = time.monotonic()
    first = inbox.look()
    assert time.monotonic() - started < 30.0
    assert (codes(first), first.answered) == (["SYS012"], False)
    second = inbox.look()
    assert (codes(second), second.answered) == ([], False)
    answers.set()
    while inbox.patience.stuck:
        time.sleep(0.01)
    assert names(inbox.look()) == ["a.jsonl"]


def test_waiting_ends_soon_after_a_file_comes_and_at_the_stop(box: Box) -> None:
    inbox = Inbox(box.folder, 0.1)
    stop = threading.Event()
    inbox.look()
    assert inbox.wait(stop, 60.0)  # a new watch asks for a look, since events may have come before it
    inbox.look()
    started = time.monotonic()
    assert not inbox.wait(stop, 0.5)
    threading.Timer(0.2, lambda: box.put("a.jsonl")).start()
    assert inbox.wait(stop, 60.0)
    assert time.monotonic() - started < 30.0
    inbox.look()
    assert inbox.wait(stop, 60.0)  # the settling
    threading.Timer(0.2, stop.set).start()
    box.folder.joinpath("a.jsonl").unlink()
    inbox.look()
    started = time.monotonic()
    assert not inbox.wait(stop, 60.0)
    assert time.monotonic() - started < 30.0
    inbox.close()


def test_waiting_hears_of_folders_that_come_later(box: Box) -> None:
    inbox = Inbox(box.folder, 0.1)
    stop = threading.Event()
    inbox.look()
    assert inbox.wait(stop, 60.0)
    threading.Timer(0.2, lambda: box.put("high/a.jsonl")).start()
    assert inbox.wait(stop, 60.0)
    while not names(inbox.look()):
        assert inbox.wait(stop, 60.0)
    inbox.close()


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("fuse.sshfs", True),
        ("fuse", True),
        ("fuse.unheard-of", True),
        ("nfs4", True),
        ("fuseblk", False),
        ("ext4", False),
    ],
)
def test_what_a_process_or_another_machine_serves_is_asked_with_a_deadline(
    tmp_path: Path, kind: str, network: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = Mount(mount_point=str(tmp_path), filesystem=kind, source="x", read_only=False)
    monkeypatch.setattr("trainguard.queue.inbox.read_mounts", lambda: (mount,))
    assert Inbox(tmp_path, 0.0).network is network


def test_what_the_configuration_itself_needs_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/eval.jsonl").write_bytes(b"{}")
    (tmp_path / "config.json").write_bytes(b"{}")
    os.link(tmp_path / "config.json", tmp_path / "data/linked.json")
    (tmp_path / "data/train.jsonl").write_bytes(b"{}")
    own = {
        tmp_path / "config.json": "the configuration of this daemon",
        tmp_path / "data/../data/eval.jsonl": "its evaluation data of config.json",
        tmp_path / "gone": "its model of config.json",
    }
    inbox = Inbox(tmp_path / "data", 0.0, own=own)
    look = inbox.look()
    assert [each.path.name for each in look.ready] == ["train.jsonl"]
    words = sorted(finding.message for finding in look.findings)
    assert "eval.jsonl" in words[0]
    assert "is its evaluation data of config.json and lies in the inbox" in words[0]
    assert "linked.json" in words[1]
    assert inbox.look().findings == (), "said once"
