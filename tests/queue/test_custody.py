"""Custody: what ended is shown to people, what is retried comes back, what crashed is put right, what is old goes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trainguard.queue import intake, settled
from trainguard.queue.codes import QUEUE_CODES, duplicate_cause, queue_finding
from trainguard.queue.custody import AwayError, Custody
from trainguard.queue.engine import QueueError
from trainguard.queue.names import is_training_name, safe_name, shown, text_of
from trainguard.queue.place import MARK, Place
from trainguard.queue.reasons import reason_text
from trainguard.queue.records import Event, QueuedFile, State
from trainguard.queue.retention import prune
from trainguard.queue.sidecars import read_sidecars
from trainguard.queue.store import open_queue

from .test_accepting import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.queue.close()


def accept(desk: Desk, name: str, content: bytes) -> QueuedFile:
    desk.put(name, content)
    return desk.accept().files[0]


def end(desk: Desk, state: State, *, cause: str | None = None) -> QueuedFile:
    """Brings the next file to its end, as the daemon does, and settles it."""
    lease = desk.queue.take(("accepted",), "checking")
    assert lease is not None
    if state == "failed":
        file = desk.queue.move_to(lease, "failed", cause=cause)
    else:
        desk.queue.move_to(lease, "waiting", cause=None)
        lease = desk.queue.take()
        assert lease is not None
        if state == "quarantined":
            file = desk.queue.move_to(lease, state, cause=cause)
        else:
            desk.queue.move_to(lease, "verifying", cause=None)
            file = desk.queue.move_to(lease, "done", cause=cause)
    desk.custody.settle(file, events=desk.queue.events(file.id))
    return file


def test_a_file_that_failed_lies_with_its_reason_and_comes_back_at_a_retry(desk: Desk) -> None:
    accept(desk, "a b.jsonl", b"one")
    file = end(desk, "failed", cause="DATA004: line 1 is no JSON")
    folder = desk.home / "failed" / f"{file.id}-a_b.jsonl"
    assert sorted(os.listdir(folder)) == ["REASON.md", "a_b.jsonl"]
    assert (folder / "a_b.jsonl").read_bytes() == b"one"
    text = (folder / "REASON.md").read_text()
    for words in ("DATA004: line 1 is no JSON", "'a b.jsonl'", f"trainguard queue retry {file.id}", "never trained"):
        assert words in text
    assert [each.state for each in read_sidecars(desk.home)] == ["failed"]
    (folder / "my-notes.txt").write_text("mine")
    back = desk.custody.restore(desk.queue.retry(file.id))
    assert back is not None
    assert back.read_bytes() == b"one"
    assert os.listdir(folder) == ["my-notes.txt"]
    assert [each.state for each in read_sidecars(desk.home)] == ["accepted"]


def test_a_content_that_somebody_removed_from_custody_comes_back_from_where_people_see_it(desk: Desk) -> None:
    accept(desk, "a.jsonl", b"one")
    file = end(desk, "failed", cause="x")
    shutil.rmtree(desk.home / "files" / file.sha256)
    assert "is not in custody any more" in str(desk.custody.verify(file))
    assert desk.custody.restore(desk.queue.retry(file.id)) is not None
    assert desk.custody.verify(file) is None
    assert not (desk.home / "failed" / f"{file.id}-a.jsonl").exists()


def test_a_content_that_changed_in_custody_is_told(desk: Desk) -> None:
    file = accept(desk, "a.jsonl", b"one")
    assert desk.custody.verify(file) is None
    path = desk.custody.find(file)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"two")
    problem = desk.custody.verify(file)
    assert problem is not None
    assert "changed in custody" in problem
    # The right content again puts it right, since its folder is named by its hash.
    accept(desk, "a.jsonl", b"one")
    assert desk.custody.verify(file) is None


def test_a_crash_after_the_transition_and_before_the_folder_is_put_right(desk: Desk) -> None:
    accept(desk, "a.jsonl", b"one")
    lease = desk.queue.take(("accepted",), "checking")
    assert lease is not None
    file = desk.queue.move_to(lease, "failed", cause="DATA004: broken")
    done = desk.custody.reconcile(desk.queue)
    assert [each.id for each in done.settled] == [file.id]
    assert "DATA004: broken" in (desk.home / "failed" / f"{file.id}-a.jsonl" / "REASON.md").read_text()
    assert desk.custody.reconcile(desk.queue).settled == ()


def test_a_content_without_a_row_is_accepted_as_found_and_an_ended_one_is_not(desk: Desk) -> None:
    accept(desk, "a.jsonl", b"one")
    accept(desk, "b.jsonl", b"two")
    first = end(desk, "done")
    assert first.state == "done"
    folder = desk.home / "files" / _sha(b"three")
    folder.mkdir()
    (folder / "c.jsonl").write_bytes(b"three")
    (desk.home / "files" / ("0" * 64)).mkdir()
    (desk.home / "files" / ("0" * 64) / "d.jsonl").write_bytes(b"not what it says")
    desk.queue.close()
    # A database from before: it knows nothing.
    (desk.home.parent / "restored").mkdir()
    desk.queue = open_queue(desk.home.parent / "restored", lineage="test", owner="other")
    done = desk.custody.reconcile(desk.queue)
    assert {file.name for file in done.found} == {"b.jsonl", "c.jsonl"}
    assert sorted(finding.code or "" for finding in done.findings) == ["QUEUE002", "QUEUE008", "QUEUE008", "QUEUE008"]
    assert desk.custody.reconcile(desk.queue).found == ()


def _sha(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def test_a_row_without_a_content_fails_and_the_others_go_on(desk: Desk) -> None:
    gone, other = accept(desk, "a.jsonl", b"one"), accept(desk, "b.jsonl", b"two")
    shutil.rmtree(desk.home / "files" / gone.sha256)
    done = desk.custody.reconcile(desk.queue)
    assert [file.id for file in done.missing] == [gone.id]
    assert [(finding.code, finding.severity) for finding in done.findings] == [("QUEUE001", "error")]
    states = {file.id: file.state for file in desk.queue.list()}
    assert states == {gone.id: "failed", other.id: "accepted"}


def test_a_batch_that_lost_its_journal_is_accepted_by_its_names(desk: Desk) -> None:
    folder = desk.home / intake.INCOMING / "abc"
    folder.mkdir(parents=True)
    (folder / "0-a.jsonl").write_bytes(b"one")
    (folder / "1-b.jsonl.part").write_bytes(b"half")
    done = desk.custody.reconcile(desk.queue)
    assert [file.name for file in done.redone] == ["a.jsonl"]
    assert os.listdir(desk.home / intake.INCOMING) == []


def test_a_damaged_journal_loses_nothing(desk: Desk) -> None:
    incoming = desk.home / intake.INCOMING
    (incoming / "abc").mkdir(parents=True)
    (incoming / "abc" / "0-a.jsonl").write_bytes(b"one")
    (incoming / "abc.json").write_bytes(b"\x00\xff{")
    assert [file.name for file in desk.custody.reconcile(desk.queue).redone] == ["a.jsonl"]
    assert os.listdir(incoming) == []


def test_a_batch_of_a_living_process_is_let_be(desk: Desk) -> None:
    path = desk.put("a.jsonl", b"one")
    wanted = intake.Wanted(path=path, identity=intake.Identity.of(path.lstat()), origin="x")
    batch = intake.begin(desk.home, [wanted])
    intake.fetch(batch, batch.entries[0])
    assert desk.custody.reconcile(desk.queue).redone == ()
    assert intake.live(desk.home)
    batch.close()
    assert [file.name for file in desk.custody.reconcile(desk.queue).redone] == ["a.jsonl"]


def test_taking_in_one_file_keeps_it(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one")
    kept = desk.custody.take_in(path, remove=False)
    assert path.exists()
    assert (kept.size, kept.path.read_bytes(), kept.path) == (3, b"one", desk.custody.path_of(kept.sha256, "a.jsonl"))
    assert desk.custody.take_in(path).path == kept.path
    assert not path.exists()


def test_only_old_trained_files_beyond_the_newest_are_removed(desk: Desk) -> None:
    for number in range(4):
        accept(desk, f"{number}.jsonl", b"%d" % number * 1000)
    files = [end(desk, state) for state in ("done", "done", "quarantined", "done")]
    twin = accept(desk, "twin.jsonl", b"0" * 1000)
    assert twin.same_as == files[0].id
    later = max(file.state_since for file in files) + 10 * 86_400
    assert prune(desk.custody, desk.queue, keep=0, now=later).files == ()
    assert prune(desk.custody, desk.queue, keep=3, days=1, now=later).files == ()
    pruned = prune(desk.custody, desk.queue, keep=1, days=1, now=later)
    # The content of the first is needed by a file that is held, the newest is kept, the quarantined one always is.
    assert ([file.id for file in pruned.files], pruned.bytes) == ([files[1].id], 1000)
    assert [desk.custody.find(file) is not None for file in files] == [True, False, True, True]
    assert (desk.home / "quarantined" / f"{files[2].id}-2.jsonl").exists()
    assert not (desk.home / "done" / f"{files[1].id}-1.jsonl").exists()
    assert desk.custody.verify(twin) is None
    assert desk.custody.reconcile(desk.queue).missing == ()
    assert len(list(read_sidecars(desk.home))) == 5
    more = prune(desk.custody, desk.queue, keep=0, gigabytes=0.0, now=later)
    assert [file.id for file in more.files] == [files[3].id]


def test_reason_shows_hostile_words_as_code() -> None:
    file = QueuedFile(
        id=7, lineage="l", name="a`b|\n# x.jsonl", sha256="0" * 64, bytes=3, origin="o", priority="normal",
        state="quarantined", state_since=1.0, accepted_at=0.0, due_at=0.0, cause="`<script>` | \n# broken", attempts=2,
    )  # fmt: skip
    failure = {"code": "RUN010", "why": "out of | memory", "step": 12}
    data = {
        "exit_code": None,
        "signal": 9,
        "failure": failure,
        "decision": {"act": "quarantine", "advice": "buy `RAM`"},
    }
    event = Event(id=1, time=1e300, kind="attempt-end", file_id=7, attempt=2, data=data)
    finding = queue_finding("QUEUE010", "tried 3 times", fix="use a smaller batch")
    text = reason_text(file, "quarantined", events=[event], finding=finding, config="my config.yaml")
    assert "\n# broken" not in text
    assert "\n# x" not in text
    assert "`` `<script>` |  # broken ``" in text
    assert "out of \\| memory" in text
    assert "`` buy `RAM` ``" in text
    assert "trainguard queue retry 7 --config 'my config.yaml'" in text
    assert "`signal 9`" in text


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.jsonl", "a.jsonl"),
        ("my file (1).jsonl.gz", "my_file_1.jsonl.gz"),
        ("..", "file"),
        ("\udcff\n.jsonl", "xff.jsonl"),
        ("日本.parquet", "file.parquet"),
        ("x" * 300 + ".jsonl", "x" * 114 + ".jsonl"),
        ("a/../b.jsonl", "a_.._b.jsonl"),
        (".hidden.jsonl", "hidden.jsonl"),
        ("v1.2 final", "v1.2_final"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert safe_name(safe) == safe


def test_names_as_people_see_them() -> None:
    assert text_of("\udcff\0a") == "\\xff\\x00a"
    assert text_of("\ud800") == "\\xed\\xa0\\x80"
    assert shown("a\n\x1b[31mb") == "a\\n\\x1b[31mb"
    assert shown("a b") == "'a b'"
    assert [is_training_name(name) for name in ("a.jsonl", "a.JSON", "a.gz", "a.csv.zst", "a.tar.gz", "a.md", "a")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_every_code_has_a_finding_and_a_row_is_written_as_it_is(desk: Desk) -> None:
    for code, (name, severity) in QUEUE_CODES.items():
        finding = queue_finding(code, "x")
        assert (finding.code, finding.name, finding.severity) == (code, name, severity)
    assert "queue release" in duplicate_cause("a", 1, "a", "done")
    file = accept(desk, "a.jsonl", b"one")
    (sidecar,) = read_sidecars(desk.home)
    for field in sidecar.__struct_fields__:
        assert getattr(sidecar, field) == getattr(file, field)
    path = next((desk.home / "files" / file.sha256).glob(".*.json"))
    path.write_bytes(msgspec.json.encode({"id": "x"}))
    assert list(read_sidecars(desk.home)) == []
    assert list(read_sidecars(desk.home / "nowhere")) == []
    assert Custody(desk.home).find(file) is not None


def test_a_custody_that_does_not_answer_is_no_fault_of_a_file(desk: Desk) -> None:
    file = accept(desk, "a.jsonl", b"one")
    assert desk.custody.verify(file) is None
    (desk.home / "files").rename(desk.home / "away")
    with pytest.raises(AwayError) as caught:
        desk.custody.verify(file)
    assert not caught.value.alone
    (desk.home / "files").mkdir()
    with pytest.raises(AwayError, match="another folder"):
        desk.custody.verify(file)
    (desk.home / "files").rmdir()
    (desk.home / "away").rename(desk.home / "files")
    assert desk.custody.verify(file) is None
    shutil.rmtree(desk.home / "files" / file.sha256)
    assert "somebody removed it" in str(desk.custody.verify(file))


def test_a_folder_has_one_mark_whoever_comes_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    numbers = {Place(home).claim() for _ in range(3)}
    assert len(numbers) == 1
    assert Place(home)._give() in numbers, "of two that come at once the first one stands"
    assert os.listdir(home) == [MARK]
    (home / MARK).write_text("no number")
    assert Place(home).claim() not in numbers
    assert os.listdir(home) == [MARK]


def test_a_folder_that_is_gone_or_another_one_is_away_and_nothing_is_made(desk: Desk) -> None:
    place = desk.custody.place
    assert place.away() is None, "of a folder that nobody has marked nothing is known"
    number = place.claim()
    file = accept(desk, "a.jsonl", b"one")
    assert desk.custody.away() is None
    os.rename(desk.home, desk.home.with_name("kept"))
    assert f"echo {number} > {desk.home / MARK}" in str(desk.custody.away())
    with pytest.raises(AwayError):
        desk.custody.verify(file)
    with pytest.raises(OSError, match="No such file"):
        desk.custody.settle(msgspec.structs.replace(file, state="failed"))
    desk.put("b.jsonl", b"two")
    with contextlib.suppress(OSError, QueueError):
        assert desk.accept().files == ()
    assert not desk.home.exists(), "nothing is made where a mount is gone"
    assert (desk.box / "b.jsonl").exists()
    desk.home.mkdir()  # as the mount point of another share
    assert desk.custody.away() is not None
    (desk.home / MARK).write_text("0" * 32)
    assert "the folder of another queue" in str(desk.custody.away())
    shutil.rmtree(desk.home)
    os.rename(desk.home.with_name("kept"), desk.home)
    assert desk.custody.away() is None
    assert desk.custody.verify(file) is None


def test_a_content_that_comes_again_while_it_is_removed_is_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(desk, "a.jsonl", b"one")
    end(desk, "done")
    remove = settled.remove

    def meanwhile(home: Path, file: QueuedFile) -> None:
        """Between the reading of the rows and the removal, as another thread or `queue add` may do."""
        remove(home, file)
        monkeypatch.setattr(settled, "remove", remove)
        accept(desk, "b.jsonl", b"one")

    monkeypatch.setattr(settled, "remove", meanwhile)
    prune(desk.custody, desk.queue, keep=0, days=0.0)
    again = desk.queue.list()[-1]
    assert (again.name, again.state) == ("b.jsonl", "held")
    assert desk.custody.verify(again) is None


_KEEP = """
import sys
from pathlib import Path
from trainguard.queue.custody import Custody
with Custody(Path(sys.argv[1])).keeping():
    print("kept", flush=True)
    sys.stdin.read()
"""


def test_nothing_is_removed_while_another_process_keeps_a_content(desk: Desk) -> None:
    accept(desk, "a.jsonl", b"one")
    file = end(desk, "done")
    with subprocess.Popen(
        [sys.executable, "-c", _KEEP, str(desk.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"kept\n"
        assert prune(desk.custody, desk.queue, keep=0, days=0.0).files == ()
        assert desk.custody.verify(file) is None
        other.communicate()
    assert [each.id for each in prune(desk.custody, desk.queue, keep=0, days=0.0).files] == [file.id]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o777, 0o000])
@pytest.mark.parametrize("copied", [False, True])
def test_nobody_may_read_in_custody_who_could_not_before(
    desk: Desk, mode: int, copied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if copied:
        monkeypatch.setattr(intake, "_rename", lambda *_, **__: False)
    desk.put("a.jsonl", b"one").chmod(mode)
    (file,) = desk.accept().files
    path = desk.custody.find(file)
    assert path is not None
    assert path.stat().st_mode & 0o777 == mode & 0o444 | 0o400
    shown = end(desk, "failed", cause="x")
    assert (desk.home / "failed" / f"{shown.id}-a.jsonl" / "a.jsonl").stat().st_mode & 0o777 == mode & 0o444 | 0o400


@pytest.mark.parametrize("where", ["intake", "custody"])
def test_where_modes_cannot_be_changed_files_are_taken_in(
    desk: Desk, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private file on a file system that cannot close one to others (Linux, fs/fat/file.c, fat_sanitize_mode)."""
    change = os.fchmod

    def fixed(descriptor: int, mode: int) -> None:
        if mode & 0o444 != 0o444:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        change(descriptor, mode)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if where == "intake":
        monkeypatch.setattr(intake, "_rename", lambda *_, **__: False)
    else:
        monkeypatch.setattr(os, "link", no_links)
    desk.put("a.jsonl", b"one").chmod(0o600)
    with monkeypatch.context() as there:
        there.setattr(os, "fchmod", fixed)
        (file,) = desk.accept().files
    path = desk.custody.find(file)
    assert path is not None
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o077 == 0, "nobody may read it who could not before"


def test_what_is_held_is_written_beside_its_content_at_a_start(desk: Desk) -> None:
    """Where a kill came between, or who held it did not write it."""
    desk.put("a.jsonl", b"one")
    (file,) = desk.accept().files
    desk.queue.hold(file.id, "the labels are wrong")
    desk.custody.reconcile(desk.queue)
    assert [(each.state, each.cause) for each in read_sidecars(desk.home)] == [("held", "the labels are wrong")]
