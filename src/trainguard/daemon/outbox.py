"""Alerts: from events into the outbox, and from there to each channel, at least once, with a key that never changes.

An alert is in the database before anybody tries to send it, under a key that is made of its event, so that no kill
loses or doubles it there. What is sent is marked for its channel at once. A kill between the two sends one alert a
channel once more, and the receiver can tell by the key: the header Idempotency-Key of the webhook
(draft-ietf-httpapi-idempotency-key-header-07) and "key" in its body, the last line elsewhere.

Of many alerts of a code the first is told by itself, the others together (thinning.py).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from trainguard.daemon.channels import WAIT_SECONDS, Channel, sent_together
from trainguard.daemon.reporting import without_custody
from trainguard.daemon.thinning import Digest, Thinning
from trainguard.durable import write_atomically
from trainguard.findings import SEVERITIES, Severity
from trainguard.queue.records import Event, OutboxEntry, QueuedFile
from trainguard.report.lineage_view import took
from trainguard.report.summary import counted
from trainguard.report.visible import masked, visible

# The pause before the next try: 30 s, 1 min, 2 min and so on up to an hour. Services that limit the rate do so by
# the minute (Slack: one message a second; Discord: 30 a minute); an outage of a day costs a few dozen tries.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 3600.0
# How long a sender has an alert for itself: longer than it lives (sending.py ends it after two minutes), so that one
# that was stopped and wakes up late is ended before it sends what another has sent meanwhile.
CLAIM_SECONDS = 130.0
_LONGEST_BODY = 2000  # characters: Discord refuses more
_LONGEST_TITLE = 200
_PAGE = 1000
_CURSOR = "outbox.json"
SUMMARY = "summary:"  # asked for by its hour, so it is told whatever severity is asked for
ALERTED = ("accepted", "transition", "paused", "recovered", "rebuilt")
_RANK: Mapping[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_SEVERITIES: Mapping[str, Severity] = {"failed": "error", "quarantined": "error", "held": "warn"}
_DO: Mapping[str, str] = {
    "failed": "`trainguard log {id}` shows why, `trainguard queue retry {id}` takes it up again",
    "quarantined": "`trainguard log {id}` shows each attempt, `trainguard queue retry {id}` takes it up again",
    "held": "it waits for a person: `trainguard queue release {id}` lets it go on, `... cancel {id}` ends it",
}
# How a digest says what happened, and where it is seen.
_MORE: Mapping[str, tuple[str, str]] = {
    "failed": ("{files} failed", "trainguard queue list --state failed"),
    "quarantined": ("{files} quarantined", "trainguard queue list --state quarantined"),
    "held": ("{files} held, waiting for a person", "trainguard queue list --state held"),
    "duplicate": ("{files} held, with content that came before", "trainguard queue list --state held"),
    "asked": ("{files} held or cancelled by a person", "trainguard queue list"),
    "recovered": ("{times} a file went on after a fault", "trainguard status"),
    "paused": ("{times} the queue was paused", "trainguard status"),
}
_KIND_SEVERITIES: Mapping[str, Severity] = {
    **_SEVERITIES,
    "recovered": "info",
    "paused": "warn",
    "duplicate": "info",
    "asked": "info",
}
_PERSON = "person:"  # how the owner of an event is called that a command of `trainguard queue` made
_CODE = re.compile(r"\b[A-Z]{2,8}[0-9]{3}\b")
_NO_CODE_LENGTH = 40
_MOST_IN_DIGEST = 20


class Happenings(Protocol):
    """The part of a queue from which alerts are made, and into which they are put."""

    def get(self, number: int) -> QueuedFile | None: ...
    def events(
        self,
        file_id: int | None = None,
        after: int = 0,
        limit: int | None = None,
        *,
        kinds: Collection[str] | None = None,
    ) -> Sequence[Event]: ...
    def alert(
        self,
        key: str,
        severity: str,
        title: str,
        body: str,
        file_id: int | None = None,
        after_seconds: float = 0,
    ) -> object: ...


class Outbox(Happenings, Protocol):
    """The part of a queue that is used here."""

    def clock(self) -> float: ...
    def outbox(self, now: float | None = None) -> Sequence[OutboxEntry]: ...
    def claim_alert(self, entry: OutboxEntry, seconds: float) -> OutboxEntry | None: ...
    def delivered(self, number: int, channel: str) -> object: ...
    def undelivered(self, number: int, next_try: float) -> object: ...
    def close_alert(self, number: int) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is to be told. `key` is the same for the same alert, for ever."""

    key: str
    severity: Severity
    title: str
    body: str
    file_id: int | None = None


class _Place(msgspec.Struct, kw_only=True):
    """How far the events are told, what is counted, and digests that may not be in the outbox yet."""

    after: int = 0
    thinning: Thinning = msgspec.field(default_factory=Thinning)
    digests: list[Digest] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What came of one round: how many alerts were sent (one a channel), and what stopped which channel."""

    sent: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


def alert_of(event: Event, name: str | None = None) -> Alert | None:
    """The alert of an event, None where nobody needs to hear of it. `name` is that of its file."""
    file = f"file {event.file_id}" + (f" ({name})" if name else "")
    cause = event.cause or "no cause was given"
    state = event.to_state or ""
    if event.kind == "transition" and state in _SEVERITIES and event.from_state != state:
        words = _DO[state].format(id=event.file_id)
        severity = "info" if _asked(event) else _SEVERITIES[state]
        return _alert(event, severity, f"{file} is {state}", f"{cause}; {words}")
    if event.kind == "accepted" and state == "held":
        return _alert(event, "info", f"{file} is held", cause)
    if event.kind == "paused":
        return _alert(event, "warn", "the queue is paused", f"{cause}; `trainguard status` shows what it waits for")
    if event.kind == "rebuilt":
        return _alert(event, "error", "the queue was rebuilt", f"{cause}; `trainguard queue list` shows what it holds")
    if event.kind == "recovered":
        lost, seconds = event.data.get("lost_steps"), event.data.get("seconds")
        figures = [f"{seconds:.0f} s after the fault"] if isinstance(seconds, int | float) else []
        figures += [counted(lost, "step") + " made again"] if isinstance(lost, int) else []
        return _alert(event, "info", f"{file} goes on", "; ".join([*figures, *([event.cause] if event.cause else [])]))
    return None


def _alert(event: Event, severity: Severity, title: str, body: str) -> Alert:
    return Alert(
        key=f"event:{event.id}",
        severity=severity,
        title=_safe(title, _LONGEST_TITLE),
        body=_safe(body, _LONGEST_BODY),
        file_id=event.file_id,
    )


def kind_of(event: Event) -> tuple[str, str] | None:
    """What an event's alert is one of many of, and its code there; None for one that is always told by itself."""
    if event.kind == "accepted" and event.to_state == "held":
        return "duplicate", _code_of(event.cause)
    if event.kind == "transition" and event.to_state in _SEVERITIES and _asked(event):
        return "asked", event.to_state or ""
    if event.kind == "transition" and event.to_state is not None and event.to_state in _SEVERITIES:
        return event.to_state, _code_of(event.cause)
    if event.kind == "paused":
        return "paused", _code_of(event.cause)
    if event.kind == "recovered":
        return "recovered", str(event.data.get("fault") or event.data.get("kind") or "a fault")[:_NO_CODE_LENGTH]
    return None


def _asked(event: Event) -> bool:
    """Whether a person did it, who need not be told in haste."""
    return (event.owner or "").startswith(_PERSON)


def _code_of(cause: str | None) -> str:
    """The code in a cause, or how it begins: numbers and names make no other cause of the same one."""
    found = _CODE.search(cause or "")
    if found is not None:
        return found[0]
    words = re.split(r"[:;,(/]|\d", _safe(cause or "", 200), maxsplit=1)[0]
    return " ".join(words.split())[:_NO_CODE_LENGTH] or "no cause"


def digest_alert(digest: Digest) -> Alert:
    """What came after the first alert of each code, in one."""
    total = sum(digest.counts.values())
    words, see = _MORE[digest.kind]
    files = f"{total:,} more file{'' if total == 1 else 's'}"
    said = words.format(files=files, times=f"{total:,} more time{'' if total == 1 else 's'}")
    codes = sorted(digest.counts.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{code} {number:,}" for code, number in codes[:_MOST_IN_DIGEST])
    if len(codes) > _MOST_IN_DIGEST:
        shown += f" and {sum(number for _, number in codes[_MOST_IN_DIGEST:]):,} of {len(codes) - _MOST_IN_DIGEST} more"
    return Alert(
        key=f"digest:{digest.kind}:{digest.first}",
        severity=_KIND_SEVERITIES[digest.kind],
        title=_safe(f"{said} in {took(digest.seconds)}", _LONGEST_TITLE),
        body=_safe(f"{shown}; `{see}` shows them", _LONGEST_BODY),
    )


class Raiser:
    """Puts what is new in the queue into the outbox: each code at once, then no oftener than `window_seconds`.

    How far it came is kept in the daemon's folder; where that is lost, the keys keep alerts from being told twice.
    """

    def __init__(self, home: Path, *, window_seconds: float = 0.0) -> None:
        self._path = home / _CURSOR
        self._window = window_seconds
        self._place = _read_place(self._path)
        self._again = True  # a kill may have come between the writing of the digests and their way into the outbox

    def look(self, queue: Happenings, now: float | None = None, *, last: bool = False) -> int:
        """How many alerts there were. `last`: digests are told now, whatever their time.

        Raises what the database raises, and OSError where the folder cannot be written: then the same alerts are raised
        again, and are there already.
        """
        if self._again:
            for each in self._place.digests:
                self._raise(queue, digest_alert(each))
            self._again = False
        # Worked on as a copy: what is not written down has not happened.
        place = msgspec.convert(msgspec.to_builtins(self._place), _Place)
        raised, due = 0, list[Digest]()
        while page := queue.events(after=place.after, limit=_PAGE, kinds=ALERTED):
            for event in page:
                place.after = event.id
                due += place.thinning.ended(event.time, window_seconds=self._window)
                alert = self._alert_of(queue, event, place.thinning)
                if alert is not None:
                    self._raise(queue, alert)
                    raised += 1
        due += place.thinning.ended(time.time() if now is None else now, window_seconds=self._window, every=last)
        if place.after != self._place.after or due:
            place.digests = due
            write_atomically(self._path, msgspec.json.encode(place))
            self._place, self._again = place, True
            for each in due:
                self._raise(queue, digest_alert(each))
            self._again = False
        return raised + len(due)

    def _alert_of(self, queue: Happenings, event: Event, thinning: Thinning) -> Alert | None:
        alert = alert_of(event)
        kind = kind_of(event) if alert is not None else None
        if kind is not None and not thinning.passes(
            kind[0], kind[1], event=event.id, time=event.time, window_seconds=self._window
        ):
            return None
        name = self._name(queue, event) if alert is not None else None
        return alert if name is None else alert_of(event, name)

    @staticmethod
    def _raise(queue: Happenings, alert: Alert) -> None:
        queue.alert(alert.key, alert.severity, alert.title, alert.body, file_id=alert.file_id)

    @staticmethod
    def _name(queue: Happenings, event: Event) -> str | None:
        file = queue.get(event.file_id) if event.file_id is not None else None
        return file.name if file is not None else None


def _read_place(path: Path) -> _Place:
    try:
        place = msgspec.json.decode(path.read_bytes(), type=_Place)
    except (OSError, ValueError, msgspec.DecodeError):
        return _Place()
    place.after = max(place.after, 0)
    place.digests = [each for each in place.digests if each.kind in _MORE]
    place.thinning.kinds = {kind: each for kind, each in place.thinning.kinds.items() if kind in _MORE}
    return place


def deliver(
    queue: Outbox,
    channels: Sequence[Channel],
    *,
    least: Severity = "warn",
    clock: Callable[[], float] | None = None,
    limit: int = 200,
    wait_seconds: float = WAIT_SECONDS,
    claim_seconds: float = CLAIM_SECONDS,
) -> Delivered:
    """Sends what is due to each channel that does not have it yet, the oldest first, and marks it at once.

    What another daemon sends is left to it. A channel that fails is left out for the rest of the round, and the others
    go on. `clock` is the database's if not given. Never raises for what a channel does; what the database raises is the
    caller's.
    """
    sent, broken = 0, dict[str, str]()
    clock = clock or queue.clock
    for seen in queue.outbox(clock())[:limit]:
        entry = queue.claim_alert(seen, claim_seconds)
        if entry is None:
            continue
        if _RANK.get(entry.severity, 0) > _RANK[least] and not entry.key.startswith(SUMMARY):
            queue.close_alert(entry.id)
            continue
        missing = [each for each in channels if each.name not in entry.delivered]
        for channel, problem in sent_together(
            entry, [each for each in missing if each.name not in broken], wait_seconds=wait_seconds
        ):
            if problem is None:
                queue.delivered(entry.id, channel.name)
                sent += 1
            else:
                broken[channel.name] = problem
        if any(each.name in broken for each in missing):
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(entry.tries, 20), _LONGEST_PAUSE_SECONDS)
            queue.undelivered(entry.id, clock() + pause)
        else:
            queue.close_alert(entry.id)
    return Delivered(sent=sent, failed=broken)


def _safe(text: str, most: int) -> str:
    """Text of names and logs, for a message: control characters visible, tokens starred out, cut to `most`. Of a file
    in custody its name says enough."""
    shown = masked(visible(without_custody(text)))
    return shown if len(shown) <= most else shown[: most - 1] + "…"
