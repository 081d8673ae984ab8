"""The durable queue, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.queue.backends import Backend, add, make_wait, taken, waiting

from trainguard.queue import engine
from trainguard.queue.base import RefusedError
from trainguard.queue.records import STATES, LostLeaseError
from trainguard.queue.store import Incoming


def test_a_file_goes_through_all_states(backend: Backend) -> None:
    queue = backend.open()
    file = add(queue, "a.jsonl")
    checking = queue.take(("accepted",), "checking")
    assert checking is not None
    assert checking.file.id == file.id
    queue.move_to(checking, "waiting", cause="clean")
    lease = taken(queue)
    assert lease.file.attempts == 1
    assert lease.fence > checking.fence
    queue.update(lease, step=7, memory={"loss": math.nan, "bytes": "\udcff\x00"})
    queue.move_to(lease, "verifying", cause="trained", step=10)
    done = queue.move_to(lease, "done", cause="verified", checkpoint="checkpoint-10")
    assert (done.state, done.step, done.checkpoint, done.owner) == ("done", 10, "checkpoint-10", None)
    assert done.memory == {"loss": None, "bytes": "\\xff\\x00"}
    assert [event.to_state for event in queue.events(file.id)] == [
        "accepted", "checking", "waiting", "training", "verifying", "done",
    ]  # fmt: skip
    assert queue.counts() == {state: int(state == "done") for state in STATES}
    with pytest.raises(LostLeaseError):
        queue.move_to(lease, "failed", cause="again")


def test_the_same_origin_is_the_same_file(backend: Backend) -> None:
    queue = backend.open()
    first, new = queue.accept("a", "0" * 64, 1, "inode 1")
    again, newly = queue.accept("b", "1" * 64, 2, "inode 1", "high")
    assert (new, newly, again) == (True, False, first)
    assert queue.accept("a", "2" * 64, 1, "inode \udc80")[1]
    assert queue.accept("a", "3" * 64, 1, "inode \\x80")[1]
    assert len(queue.events(kinds=["accepted"])) == 3


def test_the_same_content_is_held_in_the_same_transaction(backend: Backend) -> None:
    queue = backend.open()
    answers = queue.accept_many(
        Incoming(name=name, sha256=content * 64, size=1, origin=name) for name, content in ("a0", "b1", "c0", "d1")
    )
    files = [file for file, new in answers if new]
    assert [file.name for file in files] == ["a", "b", "c", "d"]
    assert [(file.state, file.same_as) for file in files] == [
        ("accepted", None), ("accepted", None), ("held", files[0].id), ("held", files[1].id),
    ]  # fmt: skip
    assert "QUEUE003" in (files[2].cause or "")
    assert queue.release(files[2].id).state == "accepted"
    queue.cancel(files[1].id, "no")
    queue.cancel(files[3].id, "no")
    retried, _ = queue.accept("e", "1" * 64, 1, "e")
    assert (retried.state, retried.same_as) == ("accepted", files[1].id)


AWKWARD = ["a b.jsonl", "x'\"; DROP TABLE files--", "\x00", "\ud800\udfff\udc80", "ä\n\t🚀%_", "", "'" * 9000]


@pytest.mark.parametrize("name", AWKWARD, ids=range(len(AWKWARD)))
def test_any_name_is_kept_and_found(backend: Backend, name: str) -> None:
    queue = backend.open(lineage=name)
    queue.accept("other", "f" * 64, 1, "other")
    file, _ = queue.accept(name, "0" * 64, 1, name, path_hint=name)
    assert queue.get(file.id) == file
    assert file.id in [found.id for found in queue.find(name)] or name == ""
    queue.hold(file.id, name)
    queue.event("note", cause=name, x=name)
    queue.alert(name, "warn", name, name)
    queue.announce(name)
    queue.remember_fit(name, 2, 8)
    assert queue.fit(name) == (2, 8)
    assert backend.open(lineage=name).get(file.id) == queue.get(file.id)


def test_numbers_that_are_no_files(backend: Backend) -> None:
    queue = backend.open()
    for number in (0, -1, 7, 2**63, 10**30):
        assert queue.get(number) is None
        with pytest.raises(RefusedError, match="no file"):
            queue.hold(number, "why")
    assert queue.find("9" * 400) == []


def test_priorities_and_fifo(backend: Backend) -> None:
    queue = backend.open()
    for name, priority in (("l1", "low"), ("n1", "normal"), ("h1", "high"), ("n2", "normal"), ("h2", "high")):
        add(queue, name, priority)
    make_wait(queue)
    order = []
    while (lease := queue.take()) is not None:
        order.append(lease.file.name)
        queue.move_to(lease, "failed", cause="next")
    assert order == ["h1", "h2", "n1", "n2", "l1"]
    assert queue.events(kinds=["finding"]) == []


def test_low_priority_ages_upward(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = backend.open(max_wait_hours=0.0002)  # 0.72 s
    low = add(queue, "low", "low")
    make_wait(queue)
    threading.Event().wait(0.8)
    urgent = [add(queue, f"urgent {number}", "high") for number in range(3)]
    make_wait(queue)
    assert taken(queue).file.id == low.id
    (event,) = queue.events(kinds=["finding"])
    finding = event.data["finding"]
    assert (event.file_id, finding["code"], finding["severity"]) == (low.id, "QUEUE009", "info")
    assert finding["evidence"]["before"] == urgent[0].id


def test_one_file_of_a_lineage_is_in_training(backend: Backend) -> None:
    queue, other = backend.open("one"), backend.open("two")
    waiting(queue, "a", "b")
    lease = taken(queue)
    assert queue.take() is None
    assert other.take() is None
    queue.move_to(lease, "verifying", cause=None)
    assert other.take() is None
    queue.move_to(lease, "waiting", cause="again", delay_seconds=3600)
    assert taken(other).file.name == "b"


def test_lineages_are_apart(backend: Backend) -> None:
    queue = backend.open(lineage="one")
    (file,) = waiting(queue, "a")
    if backend.sqlite:  # one file a lineage, under whatever name its folder goes by now
        assert backend.open(lineage="renamed").get(file.id) is not None
        return
    other = backend.open("two", lineage="other")
    assert other.get(file.id) is None
    assert other.take() is None
    (second,) = waiting(other, "a")
    assert second.state == "accepted"
    assert second.same_as is None
    assert taken(queue).file.id == file.id
    assert taken(other).file.id == second.id


def test_a_pause_and_a_delay(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = backend.open()
    waiting(queue, "a", "b")
    queue.pause("disk: 2 GB short")
    assert backend.open("cli").paused == "disk: 2 GB short"
    assert queue.take() is None
    queue.resume()
    lease = taken(queue)
    queue.move_to(lease, "waiting", cause="killed", delay_seconds=60.0)
    assert taken(queue).file.name == "b"
    assert [event.kind for event in queue.events(kinds=["paused", "resumed"])] == ["paused", "resumed"]


def test_two_owners_never_take_one_file(backend: Backend) -> None:
    queue = backend.open()
    queue.accept_many(Incoming(name=f"{n}", sha256=f"{n:064x}", size=1, origin=f"{n}") for n in range(40))
    owners = [backend.open(f"owner {number}") for number in range(4)]

    def work(mine: object) -> list[int]:
        numbers = []
        while (lease := mine.take(("accepted",), "checking")) is not None:  # type: ignore[attr-defined]
            numbers.append(lease.file.id)
        return numbers

    with ThreadPoolExecutor(4) as pool:
        took = [number for numbers in pool.map(work, owners) for number in numbers]
    assert sorted(took) == sorted(file.id for file in queue.list())
    fences = [file.fence for file in queue.list()]
    assert len(set(fences)) == 40


def test_a_dead_owners_file_is_taken_up_and_its_number_refused(backend: Backend) -> None:
    dead, living = backend.open("dead", lease_seconds=3.0), backend.open("living")
    waiting(dead, "a")
    lease = taken(dead)
    if not backend.sqlite:
        assert living.adopt() == []  # it may live
        threading.Event().wait(3.2)
    (taken_up,) = living.adopt()
    assert (taken_up.file.state, taken_up.owner) == ("training", "living")
    assert taken_up.fence > lease.fence
    for write in (
        lambda: dead.renew(lease),
        lambda: dead.update(lease, step=3),
        lambda: dead.move_to(lease, "verifying", cause="late"),
    ):
        with pytest.raises(LostLeaseError):
            write()
    assert living.adopt() == []
    assert living.move_to(taken_up, "waiting", cause="its daemon died").step is None


def test_a_late_renewal_is_no_loss_while_nobody_took_the_file(backend: Backend) -> None:
    queue = backend.open(lease_seconds=0.1)
    waiting(queue, "a")
    lease = taken(queue)
    threading.Event().wait(0.2)
    assert queue.renew(lease).until > lease.until


def test_a_restarted_owner_finds_its_own_file(backend: Backend) -> None:
    before = backend.open("one")
    waiting(before, "a")
    old = taken(before)
    before.close()
    after = backend.open("one")
    (lease,) = after.adopt()
    assert lease.fence > old.fence
    with pytest.raises(LostLeaseError):  # the name alone is no right
        before.move_to(old, "verifying", cause="late")
    with pytest.raises(LostLeaseError):
        before.update(old, step=9)
    assert after.renew(lease).file.step is None


def test_what_a_person_wants_of_a_file_in_training(backend: Backend) -> None:
    queue, person = backend.open(), backend.open("cli")
    waiting(queue, "a", "b", "c")
    lease = taken(queue)
    assert person.hold(lease.file.id, "wait for me").state == "training"
    (wish,) = queue.wishes()
    assert (wish.data["wish"], wish.data["file_id"]) == ("stop-attempt", lease.file.id)
    assert queue.wishes() == []
    held = queue.move_to(lease, "waiting", cause="stopped")
    assert (held.state, held.cause, held.held_from) == ("held", "wait for me", "waiting")
    assert person.release(held.id).state == "waiting"
    second = taken(queue)
    person.cancel(second.file.id, "wrong file")
    queue.move_to(second, "verifying", cause="too late")
    assert queue.move_to(second, "done", cause="verified").state == "done"
    third = taken(queue)
    person.cancel(third.file.id, "wrong file")
    (orphan,) = backend.open("one").adopt()
    assert queue.move_to(orphan, "waiting", cause="daemon died").state == "failed"
    assert queue.retry(third.file.id).state == "accepted"


def test_refusals_name_the_state(backend: Backend) -> None:
    queue = backend.open()
    (file,) = waiting(queue, "a")
    with pytest.raises(RefusedError, match="is waiting, not held"):
        queue.release(file.id)
    with pytest.raises(RefusedError, match="is waiting; only what failed"):
        queue.retry(file.id)
    with pytest.raises(RefusedError, match="no priority 'urgent'"):
        queue.set_priority(file.id, "urgent")  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="say where to"):
        queue.move(file.id)
    lease = taken(queue)
    with pytest.raises(RefusedError, match="is training and cannot become done"):
        queue.move_to(lease, "done", cause="skipped the check")
    assert queue.get(file.id) == lease.file


def test_moving(backend: Backend) -> None:
    queue = backend.open()
    a, b, c, d = (file.id for file in waiting(queue, "a", "b", "c", "d"))
    queue.move(d, before=b)
    queue.move(c, first=True)
    queue.move(a, before=d)
    queue.move(b, before=d)
    assert [file.id for file in queue.list()] == [c, a, b, d]
    queue.set_priority(d, "high")
    assert [file.id for file in queue.list(limit=2)] == [c, d]


def test_a_row_that_makes_no_sense_blocks_nobody(backend: Backend) -> None:
    queue = backend.open()
    poison, good = waiting(queue, "poison", "good")
    backend.write(queue, poison.id, {"memory": "{not json", "priority": "urgent"})
    assert [file.name for file in queue.list(("waiting",))] == ["poison", "good"]
    assert taken(queue).file.id == good.id
    held = queue.get(poison.id)
    assert held is not None
    assert (held.state, held.priority, held.memory) == ("held", "normal", {})
    assert "damaged" in (held.cause or "")
    assert queue.events(poison.id)[-1].data["damaged"]["memory"] == "{not json"


def test_a_damaged_row_in_training_does_not_block_its_lineage(backend: Backend) -> None:
    queue = backend.open("dead")
    waiting(queue, "poison", "good")
    lease = taken(queue)
    backend.write(queue, lease.file.id, {"memory": "[]"})
    assert backend.open("next").adopt() == []
    assert taken(queue).file.name == "good"


@pytest.mark.parametrize("jump", [-3600.0 * 24 * 365, 3600.0 * 24 * 365])
def test_a_clock_that_jumps_changes_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    queue = backend.open()
    waiting(queue, "before")
    wall = engine.wall_clock
    monkeypatch.setattr(engine, "wall_clock", lambda: wall() + jump)
    waiting(queue, "jumped")
    lease = taken(queue)
    assert lease.file.name == "before"
    queue.renew(lease)
    queue.move_to(lease, "waiting", cause="preempted", delay_seconds=0.0)
    monkeypatch.setattr(engine, "wall_clock", wall)
    waiting(queue, "after")
    order = []
    while (lease := queue.take()) is not None:
        order.append(lease.file.name)
        queue.move_to(lease, "failed", cause="next")
    assert order == ["before", "jumped", "after"]


def test_a_pause_set_by_a_clock_that_was_ahead_ends(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    if not backend.sqlite:
        return  # the server's clock is no test's to move
    queue = backend.open()
    waiting(queue, "a")
    wall = engine.wall_clock
    monkeypatch.setattr(engine, "wall_clock", lambda: wall() + 1e9)
    queue.move_to(taken(queue), "waiting", cause="network", delay_seconds=60)
    monkeypatch.setattr(engine, "wall_clock", wall)
    assert taken(queue).file.name == "a"


def test_the_outbox_takes_each_alert_once(backend: Backend) -> None:
    queue = backend.open()
    now = engine.wall_clock()
    assert queue.alert("failed:3", "error", "a failed", "why", file_id=3)
    assert not queue.alert("failed:3", "error", "another title", "why")
    assert queue.alert("later", "info", "later", "", after_seconds=3600)
    (entry,) = queue.outbox(now + 5)
    assert (entry.title, entry.tries, entry.delivered) == ("a failed", 0, {})
    queue.delivered(entry.id, "mail")
    queue.undelivered(entry.id, now + 600)
    assert queue.outbox(now + 5) == []
    (entry,) = queue.outbox(now + 601)
    assert (list(entry.delivered), entry.tries) == (["mail"], 1)
    queue.close_alert(entry.id)
    assert [entry.key for entry in queue.outbox(now + 9999)] == ["later"]
    assert not queue.alert("failed:3", "error", "again", "")


def test_workers_and_events(backend: Backend) -> None:
    queue = backend.open("one")
    queue.announce()
    queue.announce("training 3")
    backend.open("two").announce()
    assert {worker.owner: worker.doing for worker in queue.workers()} == {"one": "training 3", "two": "idle"}
    queue.event("finding", file_id=4, finding={"code": "RUN001"})
    queue.event("note")
    assert [event.kind for event in queue.events(newest_first=True, limit=1)] == ["note"]
    (event,) = queue.events(4)
    assert queue.events(after=event.id)[0].kind == "note"


def test_a_wish_before_the_daemon_is_none_of_its(backend: Backend) -> None:
    person = backend.open("cli")
    person.wish("stop")
    daemon = backend.open("daemon")
    assert daemon.wishes() == []
    person.wish("drain", deadline=3)
    assert [event.data for event in daemon.wishes()] == [{"wish": "drain", "deadline": 3}]


def test_a_worker_writes_its_own_columns_only(backend: Backend) -> None:
    queue = backend.open()
    waiting(queue, "a")
    lease = taken(queue)
    with pytest.raises(TypeError, match="fence"):
        queue.update(lease, fence=99)


def test_fences_begin_above_the_runs_own(backend: Backend) -> None:
    folder = backend.home.parent / "trainguard"
    folder.mkdir(parents=True)
    (folder / "fence").write_text("41\n")
    queue = backend.open()
    waiting(queue, "a")
    assert taken(queue).fence == 43


def test_opening_loads_nothing_heavy() -> None:
    code = (
        "import sys, trainguard.queue.store, trainguard.queue.rebuild; "
        "print(*sorted({'torch','numpy','transformers','pyarrow','psycopg','sqlite3.dbapi2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sqlite3.dbapi2"]
