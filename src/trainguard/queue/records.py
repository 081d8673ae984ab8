"""What the queue knows: a file and where it stands, what happened to it, and who works on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from msgspec import Struct, field

DATABASE = "queue.sqlite"  # in the daemon's folder, where no server is named
SCHEMA_VERSION = 1  # the form of the tables

State: TypeAlias = Literal[
    "accepted", "checking", "waiting", "training", "verifying", "done", "failed", "quarantined", "held"
]
Priority: TypeAlias = Literal["high", "normal", "low"]

STATES: tuple[State, ...] = get_args(State)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

# From where to where a file may go. What is not here is a bug of the caller, and is refused.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    "accepted": frozenset({"checking", "held", "failed"}),
    "checking": frozenset({"accepted", "waiting", "failed", "held"}),
    "waiting": frozenset({"training", "held", "failed", "quarantined"}),
    "training": frozenset({"waiting", "verifying", "failed", "quarantined", "held"}),
    "verifying": frozenset({"waiting", "done", "failed", "quarantined", "held"}),
    "held": frozenset({"accepted", "waiting", "failed"}),
    # Asked for by a person: `trainguard queue retry`.
    "failed": frozenset({"accepted"}),
    "quarantined": frozenset({"accepted"}),
    "done": frozenset(),
}
# States in which a daemon works on the file and holds a lease on it.
LEASED: frozenset[State] = frozenset({"checking", "training", "verifying"})
# In a file's memory: the number of its last attempt when a person released it.
RELEASED = "released"
ENDED: frozenset[State] = frozenset({"done", "failed", "quarantined"})


class QueuedFile(Struct, frozen=True, kw_only=True):
    """A file that trainguard has accepted. Times are unix seconds, sizes bytes.

    `name` is for people: bytes of the name that are no UTF-8 are written as escapes. `lineage` names the chain of
    checkpoints that the file is trained into; of one lineage one file is trained at a time. `due_at` decides the order:
    the time of acceptance, and for a lower priority a later one, so that whoever waits rises. `not_before` is the end
    of a pause before the next attempt. `memory` is what the recovery remembers between attempts (plain JSON values).
    `same_as` is the number of an earlier file of the same content.
    """

    id: int
    lineage: str
    name: str
    sha256: str
    bytes: int
    origin: str
    priority: Priority
    state: State
    state_since: float
    accepted_at: float
    due_at: float
    held_from: State | None = None
    cause: str | None = None
    attempts: int = 0
    not_before: float | None = None
    owner: str | None = None
    fence: int = 0
    lease_until: float | None = None
    step_before: int | None = None
    step: int | None = None
    planned_steps: int | None = None
    checkpoint: str | None = None
    same_as: int | None = None
    memory: dict[str, Any] = field(default_factory=dict)


class Counted(NamedTuple):
    """Of a file only what is compared with the folders; as it stands in the database, unchecked."""

    id: int
    sha256: str
    state: State


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened: a transition (`from_state` to `to_state`), or a finding, an attempt, a wish of a person.

    `file_id` None is an event of the daemon. `time` is unix seconds, `data` plain JSON values.
    """

    id: int
    time: float
    kind: str
    file_id: int | None = None
    from_state: State | None = None
    to_state: State | None = None
    cause: str | None = None
    attempt: int | None = None
    owner: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Happened(Struct, frozen=True, kw_only=True):
    """An event that is written together with a transition: both are there, or neither is. `data` as in Event."""

    kind: str
    cause: str | None = None
    attempt: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


class Lease(Struct, frozen=True, kw_only=True):
    """The right to work on a file until `until` (unix seconds of the database). `fence` grows with every taking: a
    write with a lower one is refused."""

    file: QueuedFile
    owner: str
    fence: int
    until: float


class Worker(Struct, frozen=True, kw_only=True):
    """A daemon that has announced itself. `seen` is the last sign of life, by the database's clock."""

    owner: str
    lineage: str
    host: str
    pid: int
    started: float
    seen: float
    doing: str = "idle"


class OutboxEntry(Struct, frozen=True, kw_only=True):
    """An alert that is to be delivered. `key` makes it unique: the same alert is put into the outbox once.

    `delivered` maps a channel to the time at which it took the alert.
    """

    id: int
    key: str
    time: float
    severity: str
    title: str
    body: str
    file_id: int | None = None
    tries: int = 0
    next_try: float = 0.0
    delivered: dict[str, float] = field(default_factory=dict)


class LostLeaseError(Exception):
    """Somebody else has the file now: whoever gets this must stop at once and write nothing more."""
