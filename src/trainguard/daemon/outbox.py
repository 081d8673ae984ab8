"""Alerts: from events into the outbox, and from there to each channel, at least once, with a key that never changes.

An alert is in the database before anybody tries to send it, under a key that is made of its event, so that no kill
loses or doubles it there. What is sent is marked for its channel at once. A kill between the two sends one alert a
channel once more, and the receiver can tell by the key: the header Idempotency-Key of the webhook
(draft-ietf-httpapi-idempotency-key-header-07) and "key" in its body, the last line elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from trainguard.daemon.channels import WAIT_SECONDS, Channel, sent_together
from trainguard.durable import write_atomically
from trainguard.findings import SEVERITIES, Severity
from trainguard.queue.records import Event, OutboxEntry, QueuedFile
from trainguard.report.summary import counted
from trainguard.report.visible import masked, visible

# The pause before the next try: 30 s, 1 min, 2 min and so on up to an hour. Services that limit the rate do so by
# the minute (Slack: one message a second; Discord: 30 a minute); an outage of a day costs a few dozen tries.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 3600.0
_LONGEST_BODY = 2000  # characters: Discord refuses more
_LONGEST_TITLE = 200
_PAGE = 1000
_CURSOR = "outbox.json"
SUMMARY = "summary:"  # asked for by its hour, so it is told whatever severity is asked for
ALERTED = ("transition", "paused", "recovered", "rebuilt")
_RANK: Mapping[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_SEVERITIES: Mapping[str, Severity] = {"failed": "error", "quarantined": "error", "held": "warn"}
_DO: Mapping[str, str] = {
    "failed": "`trainguard log {id}` shows why, `trainguard queue retry {id}` takes it up again",
    "quarantined": "`trainguard log {id}` shows each attempt, `trainguard queue retry {id}` takes it up again",
    "held": "it waits for a person: `trainguard queue release {id}` lets it go on, `... cancel {id}` ends it",
}


class Outbox(Protocol):
    """The part of a queue that is used here."""

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
    def outbox(self, now: float) -> Sequence[OutboxEntry]: ...
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
        return _alert(event, _SEVERITIES[state], f"{file} is {state}", f"{cause}; {words}")
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


class Raiser:
    """Puts what is new in the queue into the outbox.

    How far it came is kept in the daemon's folder; where that is lost, the keys keep alerts from being told twice.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / _CURSOR
        self._after = _read_cursor(self._path)

    def look(self, queue: Outbox) -> int:
        """How many alerts there were. Raises what the database raises, and OSError where the folder cannot be written:
        then the same alerts are raised again, and are there already."""
        raised, last = 0, self._after
        while page := queue.events(after=last, limit=_PAGE, kinds=ALERTED):
            for event in page:
                last = event.id
                alert = alert_of(event, self._name(queue, event))
                if alert is not None:
                    queue.alert(alert.key, alert.severity, alert.title, alert.body, file_id=alert.file_id)
                    raised += 1
        if last != self._after:
            write_atomically(self._path, msgspec.json.encode({"after": last}))
            self._after = last
        return raised

    @staticmethod
    def _name(queue: Outbox, event: Event) -> str | None:
        if event.file_id is None or (event.kind == "transition" and event.to_state not in _SEVERITIES):
            return None
        file = queue.get(event.file_id)
        return file.name if file is not None else None


def _read_cursor(path: Path) -> int:
    try:
        return max(int(msgspec.json.decode(path.read_bytes(), type=dict[str, int])["after"]), 0)
    except (OSError, ValueError, KeyError, msgspec.DecodeError):
        return 0


def deliver(
    queue: Outbox,
    channels: Sequence[Channel],
    *,
    least: Severity = "warn",
    clock: Callable[[], float] = time.time,
    limit: int = 200,
    wait_seconds: float = WAIT_SECONDS,
) -> Delivered:
    """Sends what is due to each channel that does not have it yet, the oldest first, and marks it at once.

    A channel that fails is left out for the rest of the round, and the others go on. Never raises for what a channel
    does; what the database raises is the caller's.
    """
    sent, broken = 0, dict[str, str]()
    for entry in queue.outbox(clock())[:limit]:
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
    """Text of names and logs, for a message: control characters visible, tokens starred out, cut to `most`."""
    shown = masked(visible(text))
    return shown if len(shown) <= most else shown[: most - 1] + "…"
