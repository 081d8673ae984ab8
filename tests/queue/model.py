"""What a queue must be, as plain lists and dictionaries: Hypothesis compares the real one with it, step by step."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.queue.backends import Backend

from trainguard.queue.base import RefusedError
from trainguard.queue.records import ENDED, LEASED, PRIORITIES, STATES, TRANSITIONS, Lease, LostLeaseError
from trainguard.queue.store import Incoming, Queue

OWNERS = ("one", "two")
_ASIDE = ("failed", "quarantined")


@dataclass(kw_only=True)
class Wanted:
    """A file as it must be."""

    id: int
    origin: int
    content: int
    priority: str
    state: str
    held_from: str | None = None
    owner: str | None = None
    fence: int = 0
    expired: bool = False
    attempts: int = 0
    wanted: str | None = None
    same_as: int | None = None
    trained: int = 0


class QueueMachine(RuleBasedStateMachine):
    """Two owners work on one queue. `url` is a PostgreSQL address; None is SQLite."""

    url: ClassVar[str | None] = None
    _count: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        QueueMachine._count += 1
        self.folder = Path(tempfile.mkdtemp(prefix="trainguard-model-"))
        self.backend = Backend(home=self.folder / "queue", url=self.url)
        self.lineage = f"lineage {self._count}"
        self.queues: dict[str, Queue] = {}
        self.files: dict[int, Wanted] = {}
        self.order: list[int] = []  # numbers, in the order in which they must be taken
        self.leases: list[Lease] = []
        self.known: dict[str, set[int]] = {owner: set() for owner in OWNERS}
        self.fence = 0
        self.paused = False

    @initialize()
    def begin(self) -> None:
        for owner in OWNERS:
            self.reopen(owner)

    def teardown(self) -> None:
        if self.queues:
            self._histories()
        self.backend.close()
        shutil.rmtree(self.folder)

    # What is done

    @rule(
        who=st.sampled_from(OWNERS),
        files=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9), st.sampled_from(PRIORITIES)), max_size=4),
    )
    def accept(self, who: str, files: list[tuple[int, int, str]]) -> None:
        answers = self.queues[who].accept_many(
            Incoming(name=f"n{o}", sha256=f"{c:064x}", size=c, origin=f"o{o}", priority=p)  # type: ignore[arg-type]
            for o, c, p in files
        )
        assert len(answers) == len(files)
        for (origin, content, priority), (file, new) in zip(files, answers, strict=True):
            before = [one for one in self.files.values() if one.origin == origin]
            assert new == (not before)
            if before:
                assert file.id == before[0].id
                continue
            same = [one for one in self.files.values() if one.content == content]
            alive = [one for one in same if one.state not in _ASIDE]
            state, held_from = ("held", "accepted") if alive else ("accepted", None)
            first = alive[0].id if alive else same[0].id if same else None
            assert file.id not in self.files
            self.files[file.id] = Wanted(
                id=file.id, origin=origin, content=content, priority=priority, state=state, held_from=held_from,
                same_as=first,
            )  # fmt: skip
            self._into_order(file.id)

    @rule(who=st.sampled_from(OWNERS))
    def take_to_check(self, who: str) -> None:
        self._take(who, ("accepted",), "checking", blocked=False)

    @rule(who=st.sampled_from(OWNERS))
    def check_all(self, who: str) -> None:
        for _ in range(3):
            self._take(who, ("accepted",), "checking", blocked=False)
            for lease in [one for one in self.leases if self._holds(one)]:
                file = self.files[lease.file.id]
                if file.state == "checking" and file.wanted is None:
                    self.queues[lease.owner].move_to(lease, "waiting", cause="clean")
                    file.state, file.owner = "waiting", None

    @rule(who=st.sampled_from(OWNERS))
    def take_to_train(self, who: str) -> None:
        busy = any(one.state in ("training", "verifying") for one in self.files.values())
        self._take(who, ("waiting",), "training", blocked=busy or self.paused)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if self._holds(lease):
            assert self.queues[lease.owner].renew(lease).until >= lease.until
            self.files[lease.file.id].expired = False
        else:
            self._refused(lambda: self.queues[lease.owner].renew(lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), step=st.integers(0, 9))
    def write(self, data: st.DataObject, step: int) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        queue = self.queues[lease.owner]
        if self._holds(lease):
            assert queue.update(lease, memory={"step": step}).memory == {"step": step}
        else:
            self._refused(lambda: queue.update(lease, memory={"step": -1}))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), valid=st.sampled_from((True, True, True, False)))
    def move_on(self, data: st.DataObject, valid: bool) -> None:
        mine = [lease for lease in self.leases if self._holds(lease)]
        lease = data.draw(st.sampled_from(mine if valid and mine else self.leases))
        queue = self.queues[lease.owner]
        states = sorted(TRANSITIONS[self.files[lease.file.id].state]) if valid else STATES  # type: ignore[index]
        state: Any = data.draw(st.sampled_from(states or STATES))
        if not self._holds(lease):
            self._refused(lambda: queue.move_to(lease, state, cause="late"))
            return
        one = self.files[lease.file.id]
        if state not in TRANSITIONS[one.state]:  # type: ignore[index]
            try:
                queue.move_to(lease, state, cause="wrong")
            except RefusedError:
                return
            raise AssertionError(f"{one.state} became {state}")
        queue.move_to(lease, state, cause="on")
        one.state = state
        if state in LEASED:
            return
        one.owner = None
        if one.wanted is not None and state not in ENDED and state != one.wanted:
            one.held_from = state if one.wanted == "held" else one.held_from
            one.state = one.wanted
        one.wanted = None

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if self._holds(lease):
            self.backend.write(self.queues[lease.owner], lease.file.id, {"lease_until": 1.0})
            self.files[lease.file.id].expired = True

    @rule(who=st.sampled_from(OWNERS))
    def reopen(self, who: str) -> None:
        """As after a kill: the leases stand in the database, and nobody knows of them. The old process may live on."""
        self.queues[who] = self.backend.open(who, lineage=self.lineage, lease_seconds=1000.0)
        self.known[who] = set()

    @rule(who=st.sampled_from(OWNERS))
    def adopt(self, who: str) -> None:
        expected = {
            one.id
            for one in self.files.values()
            if one.state in LEASED
            and not (one.owner == who and one.fence in self.known[who])
            and (self.url is None or one.owner == who or one.expired)
        }
        # A lease that ran out is the holder's own until another takes it up.
        leases = self.queues[who].adopt()
        assert {lease.file.id for lease in leases} == expected
        for lease in leases:
            assert lease.file.state == self.files[lease.file.id].state
            self._leased(who, lease)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), who=st.sampled_from(OWNERS), what=st.sampled_from(("hold", "cancel", "release", "retry")))
    def person(self, data: st.DataObject, who: str, what: str) -> None:
        one = self.files[data.draw(st.sampled_from(sorted(self.files)))]
        queue = self.queues[who]
        state = {"hold": "held", "cancel": "failed", "release": "held", "retry": "failed"}[what]
        try:
            if what in ("hold", "cancel"):
                getattr(queue, what)(one.id, "a person")
            else:
                getattr(queue, what)(one.id)
        except RefusedError:
            if what in ("hold", "cancel"):
                assert one.state != state
                assert state not in TRANSITIONS[one.state]  # type: ignore[index]
                assert one.state not in LEASED
            else:
                assert one.state not in (("held", *LEASED) if what == "release" else _ASIDE)
            return
        if what in ("hold", "cancel"):
            if one.state in LEASED:
                one.wanted = state
            elif one.state != state:
                assert state in TRANSITIONS[one.state]  # type: ignore[index]
                one.held_from = one.state if what == "hold" else None
                one.state = state
        elif what == "release":
            if one.state in LEASED:
                one.wanted = None
                return
            assert one.state == "held"
            one.state = "waiting" if one.held_from in ("waiting", "training", "verifying") else "accepted"
            one.held_from = None
        else:
            assert one.state in _ASIDE
            one.state, one.held_from = "accepted", None

    @precondition(lambda self: self.files)
    @rule(data=st.data(), who=st.sampled_from(OWNERS), priority=st.sampled_from(PRIORITIES))
    def set_priority(self, data: st.DataObject, who: str, priority: Any) -> None:
        one = self.files[data.draw(st.sampled_from(sorted(self.files)))]
        self.queues[who].set_priority(one.id, priority)
        one.priority = priority
        self._read_order(one.id)

    @precondition(lambda self: len(self.files) > 1)
    @rule(data=st.data(), who=st.sampled_from(OWNERS), first=st.booleans())
    def move(self, data: st.DataObject, who: str, first: bool) -> None:
        queued = [one.id for one in self.files.values() if one.state in ("accepted", "checking", "waiting", "held")]
        if len(queued) < 2:
            return
        moving, before = data.draw(st.permutations(queued))[:2]
        self.queues[who].move(moving, **({"first": True} if first else {"before": before}))
        self._read_order(moving)
        mine = [number for number in self.order if number in queued]
        assert mine.index(moving) == (0 if first else mine.index(before) - 1)

    @rule(who=st.sampled_from(OWNERS))
    def pause_or_resume(self, who: str) -> None:
        self.paused = not self.paused
        if self.paused:
            self.queues[who].pause("a test")
        else:
            self.queues[who].resume()

    # What must hold

    @invariant()
    def is_as_modelled(self) -> None:
        for who, queue in self.queues.items():
            files = queue.list()
            assert [file.id for file in files] == self.order, who
            for file in files:
                one = self.files[file.id]
                seen = (file.state, file.owner, file.held_from, file.attempts, file.same_as, file.priority)
                must = (one.state, one.owner, one.held_from, one.attempts, one.same_as, one.priority)
                assert seen == must, file
            assert (queue.paused is not None) == self.paused
            counts = queue.counts()
            assert sum(counts.values()) == len(self.files)
            assert counts["training"] + counts["verifying"] <= 1

    def _histories(self) -> None:
        """The events of each file are one chain of allowed transitions that ends in its state."""
        queue = self.queues["one"]
        for one in self.files.values():
            events = [event for event in queue.events(one.id) if event.kind in ("accepted", "transition")]
            state = events[0].to_state
            for event in events[1:]:
                assert event.from_state == state
                assert event.to_state in TRANSITIONS[event.from_state]
                state = event.to_state
            assert state == one.state
            assert sum(event.to_state == "training" for event in events) == one.attempts

    def _take(self, who: str, states: tuple[Any, ...], to: Any, *, blocked: bool) -> None:
        due = [number for number in self.order if self.files[number].state in states]
        lease = self.queues[who].take(states, to)
        if blocked or not due:
            assert lease is None
            return
        assert lease is not None
        assert lease.file.id == due[0]
        one = self.files[due[0]]
        one.state = to
        one.attempts += to == "training"
        self._leased(who, lease)

    def _leased(self, who: str, lease: Lease) -> None:
        assert lease.fence > self.fence, "a number was handed out twice"
        self.fence = lease.fence
        one = self.files[lease.file.id]
        one.owner, one.fence, one.expired = who, lease.fence, False
        self.known[who].add(lease.fence)
        self.leases.append(lease)

    def _holds(self, lease: Lease) -> bool:
        one = self.files[lease.file.id]
        return one.state in LEASED and one.owner == lease.owner and one.fence == lease.fence

    def _refused(self, write: Any) -> None:
        before = self.queues["one"].list()
        try:
            write()
        except LostLeaseError:
            assert self.queues["one"].list() == before
            return
        raise AssertionError("a write without a lease was taken")

    def _into_order(self, number: int) -> None:
        """A new file: its place among the others, who keep theirs."""
        self._read_order(number)
        rank = PRIORITIES.index(self.files[number].priority)  # type: ignore[arg-type]
        rows = {file.id: file for file in self.queues["one"].list()}
        for other in self.files.values():
            if other.id != number and not self._moved(other.id) and other.priority in PRIORITIES[: rank + 1]:
                assert self.order.index(other.id) < self.order.index(number)
            if other.id != number and not self._moved(other.id) and other.priority in PRIORITIES[rank + 1 :]:
                assert self.order.index(other.id) > self.order.index(number)
        assert rows[number].due_at >= rows[number].accepted_at - 1.0

    def _read_order(self, number: int) -> None:
        """The order after `number` got another place: all others stand to each other as before."""
        now = [file.id for file in self.queues["one"].list() if file.id in self.files]
        assert [other for other in now if other != number] == [other for other in self.order if other != number]
        self.order = now

    def _moved(self, number: int) -> bool:
        return any(event.kind == "moved" for event in self.queues["one"].events(number, kinds=["moved"]))
