"""Alerts reach their services from a thread, once a window, and never tell an address."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.train.tiny_runs import trainer

from trainguard.errors import UsageError
from trainguard.facts.config.schema_blocks import Alerts
from trainguard.findings import Finding
from trainguard.signals.codes import run_finding
from trainguard.train.alerts import Alerter, alert_settings
from trainguard.train.callback import GuardCallback

# Of apprise's own services, which are all imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TOKEN = "s3cret-token"


class Service:
    """A webhook on this machine: what came in, and how it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status, self.delay = 200, 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(json.loads(body))
                time.sleep(outer.delay)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *given: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}/hook/{TOKEN}"


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


def finding(code: str = "RUN003", severity: Any = "warn") -> Finding:
    return run_finding(code, "the loss diverges", step=7, severity=severity)


def test_one_alert_of_a_code_in_a_window(service: Service) -> None:
    now = 0.0
    settings = Alerts(webhook=f"http://{service.address}", window_seconds=60)
    alerter = Alerter(settings, run="a run", clock=lambda: now)
    assert alerter.send(finding())
    assert not alerter.send(finding())
    assert alerter.send(finding("RUN004"))
    # What gets worse is told although the window is not over.
    assert alerter.send(finding(severity="error"))
    assert not alerter.send(finding("RUN005", severity="info"))
    now = 61.0
    assert alerter.send(finding())
    alerter.close()
    assert [(each["finding"]["code"], each["finding"]["severity"]) for each in service.got] == [
        ("RUN003", "warn"),
        ("RUN004", "warn"),
        ("RUN003", "error"),
        ("RUN003", "warn"),
    ]
    assert service.got[0]["title"] == "a run: RUN003 divergence at step 7"
    assert alerter.failures == 0


@pytest.mark.parametrize("kind", ["refused", "closed", "slow", "no address", "apprise", "no service"])
def test_failures_are_told_without_the_address(service: Service, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    address = f"http://{service.address}"
    if kind == "refused":
        service.status = 500
    elif kind == "closed":
        address = f"http://127.0.0.1:1/{TOKEN}"
    elif kind == "slow":
        service.delay = 5
    elif kind == "no address":
        address = f"file:///{TOKEN}"
    settings = Alerts(webhook=address)
    if kind in ("apprise", "no service"):
        scheme = "json" if kind == "apprise" else "carrier-pigeon"
        settings = Alerts(urls=[f"{scheme}://127.0.0.1:1/{TOKEN}"])
    alerter = Alerter(settings, timeout_seconds=0.5)
    with caplog.at_level(logging.WARNING, logger="trainguard"):
        began = time.monotonic()
        assert alerter.send(finding())
        assert time.monotonic() - began < 0.2
        alerter.close(60)  # the first import of apprise and its services takes seconds
    assert alerter.failures == 1
    assert "did not reach" in caplog.text
    assert TOKEN not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("trainguard")
    )


def test_apprise(service: Service) -> None:
    alerter = Alerter(Alerts(urls=[f"json://{service.address}"]), run="a run")
    alerter.send(finding())
    alerter.close()
    assert service.got[0]["title"] == "a run: RUN003 divergence at step 7"
    assert service.got[0]["type"] == "warning"


def test_trackio(monkeypatch: pytest.MonkeyPatch) -> None:
    import trackio
    from trackio import context_vars

    told: list[tuple[Any, ...]] = []

    class Run:
        def alert(self, **given: Any) -> None:
            told.append((given["title"], given["text"], given["level"]))

    token = context_vars.current_run.set(Run())  # type: ignore[arg-type]
    try:
        alerter = Alerter(Alerts(), trackio=True)
        alerter.send(finding(severity="error"))
        alerter.close()
    finally:
        context_vars.current_run.reset(token)
    assert told == [("RUN003 divergence at step 7", "the loss diverges", trackio.AlertLevel.ERROR)]


def test_settings() -> None:
    assert alert_settings(None) == Alerts()
    assert alert_settings(["json://x"]) == alert_settings("json://x") == Alerts(urls=["json://x"])
    assert alert_settings({"webhook": "http://x", "window_seconds": 5}).window_seconds == 5
    for bad in ({"urls": TOKEN}, {"hook": TOKEN}, 5, [5]):
        with pytest.raises(UsageError) as raised:
            alert_settings(bad)  # type: ignore[arg-type]
        assert TOKEN not in str(raised.value)


def test_nobody_is_told_of_a_run_without_services() -> None:
    alerter = Alerter(Alerts())
    assert not alerter.send(finding())
    assert alerter._thread is None


def test_a_guard_alerts(tmp_path: Path, service: Service) -> None:
    guard = GuardCallback(alerts={"webhook": f"http://{service.address}"})
    run = trainer(tmp_path / "my-run", guard)
    run.create_optimizer()
    run.model.model.layers[0].requires_grad_(False)
    run.train()
    assert [each["finding"]["code"] for each in service.got] == ["RUN021"]
    assert service.got[0]["run"] == "my-run"
    written = (tmp_path / "my-run" / "trainguard" / "events.jsonl").read_text()
    assert TOKEN not in written
