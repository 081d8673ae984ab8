"""The services that take alerts: each address of Apprise, a webhook, Trackio. Their addresses hold tokens, so a channel
has a name without them, and no error quotes them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import logging
import os
import queue
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trainguard.facts.config.schema_blocks import Alerts
from trainguard.queue.records import OutboxEntry

# Services that are slower than this are as good as down.
TIMEOUT_SECONDS = 10.0
# What a look-up of a name or a service may take beyond its own limits before it is given up.
WAIT_SECONDS = TIMEOUT_SECONDS + 5.0
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20})://", re.IGNORECASE)
_KINDS = {"error": "failure", "warn": "warning", "info": "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A service. `send` returns where it has taken the alert, and raises where it has not."""

    name: str
    send: Callable[[OutboxEntry], None]


def channels_of(
    alerts: Alerts, *, lineage: str = "", project: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[Channel]:
    """The channels that the configuration names. `lineage` is in each message, `project` the one of Trackio.

    Trackio is told where the configuration says so: a daemon has no run of its own that could log there.
    """
    channels = []
    if alerts.webhook:
        webhook = alerts.webhook
        channels.append(
            Channel(
                name=_name("webhook", webhook), send=lambda each: _to_webhook(webhook, each, lineage, timeout_seconds)
            )
        )
    for url in alerts.urls:
        scheme = found[1].lower() if (found := _SCHEME.match(url)) else "apprise"

        def send(entry: OutboxEntry, url: str = url) -> None:
            _to_apprise(url, entry, lineage, timeout_seconds)

        channels.append(Channel(name=_name(scheme, url), send=send))
    if alerts.trackio:
        name = project or os.environ.get("TRACKIO_PROJECT") or "trainguard"
        channels.append(Channel(name="trackio", send=lambda each: _to_trackio(name, each, lineage)))
    return channels


def preload(alerts: Alerts) -> None:
    """Imports what sends, which takes seconds on a busy machine: that is no time of a service's."""
    for name in [*(["apprise"] if alerts.urls else []), *(["trackio"] if alerts.trackio else [])]:
        with contextlib.suppress(ImportError):  # each send says it then
            importlib.import_module(name)


def sent_together(
    entry: OutboxEntry, channels: Sequence[Channel], *, wait_seconds: float = WAIT_SECONDS
) -> Iterator[tuple[Channel, str | None]]:
    """Sends to all channels at once, and gives each with what went wrong, None for nothing, as they end.

    A channel that does not end in time is given as late; its thread is left behind, so this belongs into a process that
    ends soon.
    """
    answers: queue.Queue[tuple[Channel, str | None]] = queue.Queue()

    def work(channel: Channel) -> None:
        try:
            channel.send(entry)
        except Exception as error:
            # The name of the error alone: its text may quote the address, and that the token.
            status = getattr(error, "code", None)
            answers.put((channel, f"{type(error).__name__}{f' {status}' if isinstance(status, int) else ''}"))
        else:
            answers.put((channel, None))

    for channel in channels:
        threading.Thread(target=work, args=(channel,), name=f"alert-{channel.name}", daemon=True).start()
    waiting = {channel.name: channel for channel in channels}
    while waiting:
        try:
            channel, problem = answers.get(timeout=wait_seconds)
        except queue.Empty:
            break
        if waiting.pop(channel.name, None) is not None:
            yield channel, problem
    for channel in waiting.values():
        yield channel, f"no answer in {wait_seconds:.0f} s"


def _name(kind: str, address: str) -> str:
    """Tells two addresses of a kind apart, and says nothing of them: 32 bits of a hash."""
    return f"{kind}-{hashlib.sha256(address.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _title(entry: OutboxEntry, lineage: str) -> str:
    return f"{lineage}: {entry.title}" if lineage else entry.title


def _to_webhook(address: str, entry: OutboxEntry, lineage: str, timeout_seconds: float) -> None:
    if not address.lower().startswith(("http://", "https://")):
        raise ValueError("a webhook is an http or https address")
    body = {
        "key": entry.key,
        "severity": entry.severity,
        "title": _title(entry, lineage),
        "text": entry.body,
        "time": entry.time,
        "file_id": entry.file_id,
        "lineage": lineage,
    }
    request = urllib.request.Request(
        address,
        data=json.dumps(body).encode("utf-8", "backslashreplace"),
        headers={
            "Content-Type": "application/json",
            "User-Agent": "trainguard",
            # A string of RFC 8941, so in quotes (draft-ietf-httpapi-idempotency-key-header-07, section 2.1).
            "Idempotency-Key": json.dumps(f"{lineage}:{entry.key}" if lineage else entry.key),
        },
        method="POST",
    )
    # urllib raises HTTPError for an answer that is no 2xx (urllib/request.py, HTTPErrorProcessor).
    with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
        answer.read(1024)


def _to_apprise(url: str, entry: OutboxEntry, lineage: str, timeout_seconds: float) -> None:
    apprise = importlib.import_module("apprise")
    # Apprise logs addresses that it cannot read, with all that is in them.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    sender = apprise.Apprise()
    # It takes the time limits of a service from its address (apprise 2.2, url.py: cto and rto).
    separator = "&" if "?" in url else "?"
    if not sender.add(f"{url}{separator}cto={timeout_seconds}&rto={timeout_seconds}"):
        raise ValueError("apprise cannot read this address")
    body = f"{entry.body}\n[{entry.key}]"
    if not sender.notify(title=_title(entry, lineage), body=body, notify_type=_KINDS.get(entry.severity, "info")):
        raise ConnectionError("the service has refused it")


def _to_trackio(project: str, entry: OutboxEntry, lineage: str) -> None:
    trackio: Any = importlib.import_module("trackio")
    levels = {"error": trackio.AlertLevel.ERROR, "warn": trackio.AlertLevel.WARN, "info": trackio.AlertLevel.INFO}
    # It speaks to people on stdout and stderr, where nobody reads here.
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        run = trackio.init(
            project=project,
            name="trainguard daemon",
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        trackio.alert(
            title=_title(entry, lineage), text=f"{entry.body}\n[{entry.key}]", level=levels.get(entry.severity)
        )
        run.finish()
