"""Tells somebody: Trackio, Apprise's services and a plain webhook, from a thread of its own with a time limit.

The addresses hold tokens, so they are in no message and no log, not even in the text of an error.
"""

from __future__ import annotations

import contextvars
import json
import logging
import queue
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trainguard.errors import UsageError
from trainguard.facts.config.schema_blocks import Alerts
from trainguard.findings import Finding
from trainguard.train.events import plain

logger = logging.getLogger(__name__)

# Services that are slower than this are as good as down; one alert must not keep the next ones waiting.
_TIMEOUT_SECONDS = 10.0
# Alerts of different codes that wait for a service that is down; more would only be told too late.
_WAITING = 100


def alert_settings(given: Alerts | Mapping[str, Any] | Sequence[str] | None) -> Alerts:
    """Where alerts go: the settings themselves, a mapping of them, or a list of Apprise's addresses.

    Raises UsageError for another shape; its message holds no address.
    """
    if given is None:
        return Alerts()
    if isinstance(given, Alerts):
        return given
    try:
        if isinstance(given, Mapping):
            return msgspec.convert(dict(given), type=Alerts)
        return msgspec.convert({"urls": [given] if isinstance(given, str) else list(given)}, type=Alerts)
    except (msgspec.ValidationError, TypeError):
        fields = ", ".join(Alerts.__struct_fields__)
        raise UsageError(f"alerts is a {type(given).__name__} that does not fit; expected {fields}") from None


class Alerter:
    """Sends alerts in the background, at most one of a code in a window. `failures` counts those that did not arrive.

    `run` names the run in the messages. Nothing is sent, and no thread started, where no service is set.
    """

    def __init__(
        self,
        settings: Alerts,
        *,
        run: str = "",
        trackio: bool = False,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._run = run
        self._trackio = settings.trackio if settings.trackio is not None else trackio
        self._timeout = timeout_seconds
        self._clock = clock
        self._told: dict[str, float] = {}
        self._queue: queue.Queue[tuple[contextvars.Context, Finding] | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self.failures = 0

    @property
    def enabled(self) -> bool:
        return bool(self._settings.urls or self._settings.webhook or self._trackio)

    def send(self, finding: Finding) -> bool:
        """Tells of a finding, unless it is not severe enough or its code was told of a while ago. Never waits."""
        if not self.enabled or not finding.at_least(self._settings.min_severity):
            return False
        # What gets worse is told again: a warning must not hide the error that follows it.
        key = f"{finding.code}:{finding.severity}"
        now = self._clock()
        last = self._told.get(key)
        if last is not None and now - last < self._settings.window_seconds:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trainguard-alerts", daemon=True)
            self._thread.start()
        try:
            # Trackio keeps its run in a context variable, which a thread does not inherit (trackio 0.43,
            # context_vars.py).
            self._queue.put_nowait((contextvars.copy_context(), finding))
        except queue.Full:
            self.failures += 1
            return False
        self._told[key] = now
        return True

    def close(self, timeout_seconds: float | None = None) -> None:
        """Waits for the alerts that are on their way, so long and no longer."""
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(self._timeout if timeout_seconds is None else timeout_seconds)
        self._thread = None

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            context, finding = item
            for service, tell in self._services():
                try:
                    arrived = context.run(tell, finding)
                    problem = "it was refused"
                except Exception as error:
                    # The name of the error alone: its text may quote the address, and that the token.
                    arrived, problem = False, type(error).__name__
                if not arrived:
                    self.failures += 1
                    logger.warning("the alert of %s did not reach %s: %s", finding.code, service, problem)

    def _services(self) -> list[tuple[str, Callable[[Finding], bool]]]:
        services: list[tuple[str, Callable[[Finding], bool]]] = []
        if self._trackio:
            services.append(("Trackio", self._to_trackio))
        if self._settings.urls:
            services.append(("Apprise", self._to_apprise))
        if self._settings.webhook:
            services.append(("the webhook", self._to_webhook))
        return services

    def _title(self, finding: Finding) -> str:
        where = f" at step {finding.step}" if finding.step is not None else ""
        run = f"{self._run}: " if self._run else ""
        return f"{run}{finding.code} {finding.name or ''}".rstrip() + where

    def _to_trackio(self, finding: Finding) -> bool:
        trackio = sys.modules.get("trackio")
        if trackio is None:
            import importlib

            trackio = importlib.import_module("trackio")
        levels = {"error": trackio.AlertLevel.ERROR, "warn": trackio.AlertLevel.WARN, "info": trackio.AlertLevel.INFO}
        trackio.alert(title=self._title(finding), text=finding.message, level=levels[finding.severity])
        return True

    def _to_apprise(self, finding: Finding) -> bool:
        import importlib

        apprise = importlib.import_module("apprise")
        kinds = {"error": "failure", "warn": "warning", "info": "info"}
        sender = apprise.Apprise()
        # Apprise logs addresses that it cannot read, with all that is in them.
        own, level = logging.getLogger("apprise"), logging.getLogger("apprise").level
        own.setLevel(logging.CRITICAL + 1)
        try:
            for url in self._settings.urls:
                # It takes the time limits of a service from its address (apprise 2.2, url.py: cto and rto).
                separator = "&" if "?" in url else "?"
                if not sender.add(f"{url}{separator}cto={self._timeout}&rto={self._timeout}"):
                    return False
            return bool(
                sender.notify(title=self._title(finding), body=finding.message, notify_type=kinds[finding.severity])
            )
        finally:
            own.setLevel(level)

    def _to_webhook(self, finding: Finding) -> bool:
        address = self._settings.webhook or ""
        if not address.lower().startswith(("http://", "https://")):
            raise ValueError("a webhook is an http or https address")
        body = {"run": self._run, "title": self._title(finding), "text": finding.message, "finding": finding.to_dict()}
        request = urllib.request.Request(
            address,
            data=json.dumps(plain(body), default=str).encode("utf-8", "backslashreplace"),
            headers={"Content-Type": "application/json", "User-Agent": "trainguard"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=self._timeout) as answer:
            return 200 <= int(answer.status) < 300
