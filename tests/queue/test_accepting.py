"""From the inbox into custody: nothing is lost and nothing is taken twice, whenever the process is killed."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from trainguard.drills.inside import mount, own_mounts
from trainguard.drills.needs import unmet
from trainguard.errors import UsageError
from trainguard.findings import Finding
from trainguard.queue import intake
from trainguard.queue.accepting import Accepted, accept_path, accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.inbox import Inbox
from trainguard.queue.records import QueuedFile
from trainguard.queue.sidecars import read_sidecars
from trainguard.queue.store import Incoming, Queue, open_queue

KILLS = 20
ROWS = b'{"text": "a"}\n'


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Desk:
    """An inbox, a custody and a queue."""

    def __init__(self, folder: Path) -> None:
        self.box, self.home = folder / "inbox", folder / "out" / "queue"
        self.box.mkdir(exist_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)
        self.custody = Custody(self.home)
        self.inbox = Inbox(self.box, 0.0)
        self.queue: Queue = open_queue(self.home, lineage="test", owner="test")

    def put(self, name: str, content: bytes = ROWS) -> Path:
        path = self.box / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def accept(self) -> Accepted:
        return accept_ready(self.inbox, self.custody, self.queue)

    def whole(self) -> list[QueuedFile]:
        """The rows, whose contents are all in custody and have their sidecars."""
        rows = self.queue.list()
        assert [self.custody.verify(file) for file in rows] == [None] * len(rows)
        assert sorted(each.id for each in read_sidecars(self.home)) == sorted(file.id for file in rows)
        assert os.listdir(self.home / intake.INCOMING) == []
        return rows


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.queue.close()


def codes(findings: tuple[Finding, ...]) -> list[str | None]:
    return [finding.code for finding in findings]


def test_a_file_comes_into_custody_and_leaves_the_inbox(desk: Desk) -> None:
    desk.put("high/a.jsonl")
    desk.put("b.jsonl", b"other")
    accepted = desk.accept()
    assert [(file.name, file.priority, file.state) for file in accepted.files] == [
        ("a.jsonl", "high", "accepted"),
        ("b.jsonl", "normal", "accepted"),
    ]
    assert accepted.findings == ()
    rows = desk.whole()
    assert {file.sha256 for file in rows} == {digest(ROWS), digest(b"other")}
    path = desk.custody.find(rows[0])
    assert path is not None
    assert path.name == "a.jsonl"
    assert path.stat().st_mode & 0o222 == 0
    assert [each.name for each in desk.box.rglob("*")] == ["high"]
    assert desk.accept().files == ()


def test_the_same_content_again_is_held_and_said(desk: Desk) -> None:
    desk.put("a.jsonl")
    first = desk.accept().files[0]
    desk.put("b.jsonl")
    second = desk.accept()
    file = second.files[0]
    assert (file.state, file.same_as) == ("held", first.id)
    assert codes(second.findings) == ["QUEUE003"]
    assert "trainguard queue release" in second.findings[0].message
    assert len(desk.whole()) == 2


def test_the_same_name_with_another_content_goes_on_and_is_kept_apart(desk: Desk) -> None:
    desk.put("a.jsonl")
    desk.accept()
    desk.put("a.jsonl", b"other")
    second = desk.accept()
    assert [(finding.code, finding.severity) for finding in second.findings] == [("QUEUE003", "info")]
    assert [file.state for file in desk.whole()] == ["accepted", "accepted"]


def test_a_file_with_a_second_name_is_copied(desk: Desk, tmp_path: Path) -> None:
    path = desk.put("a.jsonl")
    os.link(path, tmp_path / "other-name")
    assert len(desk.accept().files) == 1
    (tmp_path / "other-name").write_bytes(b"changed later")
    assert not path.exists()
    assert desk.whole()[0].sha256 == digest(ROWS)


def test_a_name_with_any_bytes_just_works(desk: Desk) -> None:
    for number, name in enumerate([b"a b'\"\n.jsonl", b"\xff\xfe.jsonl", b"$(rm -rf x);*.jsonl", b"-rf.jsonl"]):
        Path(os.fsdecode(os.fsencode(desk.box) + b"/" + name)).write_bytes(b"%d" % number)
    accepted = desk.accept()
    assert codes(accepted.findings) == ["QUEUE005"] * 4
    told = [each.data["finding"]["code"] for each in desk.queue.events(kinds=["finding"])]
    assert told == ["QUEUE005"] * 4
    rows = desk.whole()
    assert len(rows) == 4
    assert "\\xff\\xfe.jsonl" in {file.name for file in rows}
    for file in rows:
        path = desk.custody.find(file)
        assert path is not None
        assert path.name.isascii()
        assert path.suffix == ".jsonl"
        assert not set(path.name) & set(" '\"\n$();*\\")


def test_a_file_that_vanishes_between_look_and_take_is_noted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("a.jsonl")
    gone, other = desk.put("b.jsonl", b"b"), desk.put("c.jsonl", b"c")
    begin = intake.begin

    def vanish(*arguments: object) -> intake.Batch:
        gone.unlink()
        return begin(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(intake, "begin", vanish)
    accepted = desk.accept()
    assert [file.name for file in accepted.files] == ["a.jsonl", "c.jsonl"]
    assert [(finding.code, finding.severity) for finding in accepted.findings] == [("QUEUE001", "info")]
    assert not other.exists()


def test_a_file_that_is_opened_again_in_the_last_moment_goes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.put("a.jsonl")
    begin = intake.begin
    handles = []

    def write(*arguments: object) -> intake.Batch:
        handles.append(path.open("ab"))
        return begin(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(intake, "begin", write)
    assert desk.accept().files == ()
    monkeypatch.undo()
    with handles[0] as file:
        file.write(b"more")
    assert path.read_bytes() == ROWS + b"more"
    assert desk.accept().files[0].sha256 == digest(ROWS + b"more")
    desk.whole()


def test_what_somebody_puts_under_the_name_while_it_is_copied_is_another_file(desk: Desk, tmp_path: Path) -> None:
    path = desk.put("a.jsonl")
    os.link(path, tmp_path / "other-name")  # so that it is copied
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"new")
    changed = []

    def replace() -> None:
        if fresh.exists():
            fresh.replace(path)
            changed.append(path.stat().st_ctime_ns)

    accepted = accept_ready(desk.inbox, desk.custody, desk.queue, tick=replace)
    assert codes(accepted.findings) == ["QUEUE002"]
    assert [path.stat().st_ctime_ns] == changed  # it was not even renamed for a moment
    assert accepted.files[0].sha256 == digest(ROWS)
    assert path.read_bytes() == b"new"
    assert desk.accept().files[0].sha256 == digest(b"new")
    desk.whole()


def test_a_database_that_fails_loses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        desk.put(f"{number}.jsonl", b"%d" % number)
    real = desk.queue.accept_many

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(desk.queue, "accept_many", fail)
    assert codes(desk.accept().findings) == ["SYS003"]
    monkeypatch.setattr(desk.queue, "accept_many", real)
    assert len(desk.accept().files) == 3
    assert len(desk.whole()) == 3


def test_a_file_that_a_person_names_is_copied_and_a_bad_one_refused(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(ROWS)
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    one = accept_path(link, "high", desk.custody, desk.queue)
    assert (one.files[0].name, one.files[0].priority, path.read_bytes()) == ("link.jsonl", "high", ROWS)
    again = accept_path(path, "low", desk.custody, desk.queue)
    assert (again.files[0].state, codes(again.findings)) == ("held", ["QUEUE003"])
    for bad in (tmp_path / "gone.jsonl", tmp_path, tmp_path / "a\0b.jsonl"):
        with pytest.raises(UsageError):
            accept_path(bad, "normal", desk.custody, desk.queue)
    with path.open("ab"), pytest.raises(UsageError, match=f"process {os.getpid()}"):
        accept_path(path, "normal", desk.custody, desk.queue)
    (tmp_path / "notes.md").write_bytes(ROWS)
    with pytest.raises(UsageError, match="ending"):
        accept_path(tmp_path / "notes.md", "normal", desk.custody, desk.queue)
    assert len(desk.whole()) == 2


def test_an_original_that_cannot_be_removed_is_accepted_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("a.jsonl")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", _refusing(desk.box, os.rename))
        first = desk.accept()
        assert codes(first.findings) == ["SYS003"]
        assert "stays in the inbox" in first.findings[0].message
        assert desk.accept().findings == ()
    # The next daemon looks at it anew, and knows it by its origin.
    desk.inbox = Inbox(desk.box, 0.0)
    second = desk.accept()
    assert (second.files, second.again) == ((), 1)
    assert len(desk.whole()) == 1


def _refusing(folder: Path, real: object) -> object:
    def rename(source: object, target: object) -> None:
        if str(source).startswith(str(folder)):
            raise PermissionError(errno.EACCES, "Permission denied")
        real(source, target)  # type: ignore[operator]

    return rename


@pytest.mark.parametrize("other_file_system", [False, True], ids=["rename", "copy"])
def test_a_process_that_is_killed_at_any_instant_loses_nothing(tmp_path: Path, other_file_system: bool) -> None:
    """Real processes, real SIGKILLs, twenty times; then one that is let be."""
    shared = Path("/dev/shm")
    if other_file_system:
        if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs /dev/shm on a file system of its own")
        folder = shared / f"trainguard-test-{os.getpid()}"
        folder.mkdir()
    else:
        folder = tmp_path
    try:
        _kills(folder / "inbox", tmp_path / "out" / "queue", random.Random(7), KILLS)
    finally:
        if other_file_system:
            shutil.rmtree(folder)


@pytest.mark.slow
def test_three_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    _kills(tmp_path / "inbox", tmp_path / "out" / "queue", random.Random(11), 300)


def _kills(inbox: Path, home: Path, chance: random.Random, kills: int) -> None:
    inbox.mkdir()
    home.mkdir(parents=True)
    put: set[str] = set()
    killed = halfway = 0
    command = [sys.executable, "-m", "tests.queue._accepting", str(inbox), str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        for kill in range(kills):
            for number in range(6):
                content = b"%d %d " % (kill, number) + chance.randbytes(20_000)
                put.add(digest(content))
                (inbox / f"file {kill} {number}.jsonl").write_bytes(content)
            killed += _run(server, chance.randint(1, 150)) == -signal.SIGKILL
            halfway += bool(intake_left(home))
        assert _run(server, 0) == 0
        assert server.stdin is not None
        server.stdin.close()
    assert killed > kills // 2
    assert halfway > kills // 8  # else the kills miss what they are for
    assert sorted(os.listdir(inbox)) == []
    assert intake_left(home) == []
    with open_queue(home, lineage="test", owner="test") as queue:
        rows = queue.list()
        assert sorted(file.sha256 for file in rows) == sorted(put)
        assert {file.state for file in rows} == {"accepted"}
        custody = Custody(home)
        assert [custody.verify(file) for file in rows] == [None] * len(rows)
        assert len(list(read_sidecars(home))) == len(rows)


def intake_left(home: Path) -> list[str]:
    incoming = home / intake.INCOMING
    return os.listdir(incoming) if incoming.exists() else []


def _run(server: subprocess.Popen[str], operations: int) -> int:
    """The exit code of one process that accepts, killed after so many operations on files (0: never)."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{operations}\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A real small file system for the queue; the files stay in the inbox, and come when there is room."""
    if (lacks := unmet(frozenset({"mount"}))) is not None:
        pytest.skip(lacks)
    code = "from tests.queue.test_accepting import fill; import sys; fill(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.stdout.split("\n")[-2:] == ["whole", ""], done.stdout + done.stderr


def fill(folder: str) -> None:
    """In a process with mounts of its own."""
    own_mounts()
    home = Path(folder) / "out"
    home.mkdir()
    mount("tmpfs", str(home), "tmpfs", options="size=2m")
    desk = Desk(Path(folder))
    put = set()
    for number in range(8):
        content = b"%d" % number * 400_000
        put.add(digest(content))
        desk.put(f"{number}.jsonl", content)
    first = desk.accept()
    assert 0 < len(first.files) < 8, first
    assert codes(first.findings) == ["SYS001"], first.findings
    assert "make room" in first.findings[0].message
    assert len(os.listdir(desk.box)) == 8 - len(first.files)
    assert desk.accept().findings == ()
    ballast = desk.custody.find(first.files[0])
    assert ballast is not None
    subprocess.run(["mount", "-o", "remount,size=20m", str(home)], check=True)
    desk.inbox = Inbox(desk.box, 0.0)
    desk.accept()
    assert {file.sha256 for file in desk.whole()} == put
    print("whole")


def test_a_mount_that_hangs_while_a_file_is_copied_loses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.inbox = Inbox(desk.box, 0.0, deadline_seconds=3.0, network=True)
    desk.put("a.jsonl")
    answers = threading.Event()
    fetch = intake.fetch

    def hang(*arguments: object, **options: object) -> None:
        answers.wait(60.0)
        fetch(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(intake, "fetch", hang)
    started = time.monotonic()
    assert desk.accept().files == ()
    assert codes(desk.accept().findings) == ["SYS012"]
    assert time.monotonic() - started < 30.0
    answers.set()
    while desk.inbox.patience.stuck:
        time.sleep(0.01)
    assert [file.sha256 for file in desk.accept().files] == [digest(ROWS)]
    assert len(desk.whole()) == 1
    assert os.listdir(desk.box) == []


def _linked(desk: Desk) -> Path:
    """A file of the inbox with a second name, so that it is copied and its original removed afterwards."""
    path = desk.put("a.jsonl")
    os.link(path, desk.home.parent / "other-name")
    return path


def _swapping(path: Path, fresh: Path, then: Callable[[], None] = lambda: None) -> Callable[[Path, Path], None]:
    """os.rename for a test: `fresh` comes under the name just before the original would be renamed aside."""
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        mine = os.path.realpath(source) == os.path.realpath(path)
        if mine and fresh.exists():
            os.replace(fresh, path)
        real(source, target)
        if mine:
            then()

    return rename


def test_a_file_that_comes_at_the_instant_of_removal_is_not_removed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fresh = _linked(desk), tmp_path / "fresh"
    fresh.write_bytes(b"new")
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", _swapping(path, fresh))
        accepted = desk.accept()
    assert not fresh.exists()
    assert [file.sha256 for file in accepted.files] == [digest(ROWS)]
    assert codes(accepted.findings) == ["QUEUE002"]
    assert (os.listdir(desk.box), path.read_bytes()) == (["a.jsonl"], b"new")
    assert [file.sha256 for file in desk.accept().files] == [digest(b"new")]
    assert len(desk.whole()) == 2
    assert os.listdir(desk.box) == []


@pytest.mark.parametrize("third", [False, True], ids=["name-free", "name-taken"])
def test_a_file_that_was_set_aside_by_a_process_that_was_killed_comes_back(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, third: bool
) -> None:
    """Another's file lies beside its name, and whoever put it there is dead: the next one gives it back."""
    path, fresh = _linked(desk), tmp_path / "fresh"
    fresh.write_bytes(b"new")
    desk.queue.close()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "rename", _swapping(path, fresh, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        with open_queue(desk.home, lineage="test", owner="other") as queue:
            accept_ready(Inbox(desk.box, 0.0), desk.custody, queue)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not path.exists()
    desk.queue = open_queue(desk.home, lineage="test", owner="test")
    put = {digest(ROWS), digest(b"new")}
    if third:
        desk.put("a.jsonl", b"newer")
        put.add(digest(b"newer"))
    desk.accept()
    assert {file.sha256 for file in desk.whole()} == put
    assert os.listdir(desk.box) == []


def test_what_was_renamed_is_out_of_the_inbox_for_certain_before_it_has_a_row(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder that the rename went into is synced between the rename and the row."""
    desk.put("a.jsonl")
    happened: list[tuple[str, str]] = []
    rename, fsync, accept_many = os.rename, os.fsync, desk.queue.accept_many

    def renamed(source: Path, target: Path) -> None:
        rename(source, target)
        happened.append(("rename", os.path.realpath(os.path.dirname(target))))

    def synced(descriptor: int) -> None:
        happened.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def written(incoming: Iterable[Incoming]) -> list[tuple[QueuedFile, bool]]:
        happened.append(("row", ""))
        return accept_many(incoming)

    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(desk.queue, "accept_many", written)
    assert len(desk.accept().files) == 1
    kinds = [kind for kind, _ in happened]
    row = kinds.index("row")
    last = max(number for number, kind in enumerate(kinds[:row]) if kind == "rename")
    assert os.path.dirname(happened[last][1]) == os.path.realpath(desk.home / intake.INCOMING)
    assert ("sync", happened[last][1]) in happened[last:row]
