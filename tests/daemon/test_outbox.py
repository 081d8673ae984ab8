"""Alerts reach each service at least once, whatever is killed, and a dead service holds up nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trainguard.daemon.channels import Channel, channels_of
from trainguard.daemon.outbox import Raiser, alert_of, deliver
from trainguard.daemon.sending import Courier, Order
from trainguard.facts.config.schema_blocks import Alerts
from trainguard.queue.records import Event, OutboxEntry
from trainguard.queue.store import Queue, open_queue

SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


class Receiver:
    """A service on the loopback. `answer` is the status, `before` is waited for before each answer."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], str | None]] = []
        self.answer = 200
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                receiver.got.append((json.loads(body), self.headers.get("Idempotency-Key")))
                receiver.arrived.release()
                receiver.gate.wait(120)
                try:
                    self.send_response(receiver.answer)
                    self.end_headers()
                except OSError:  # whoever sent it is dead
                    return

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/{SECRET}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def keys(self) -> list[str]:
        return [body.get("key") or body.get("message", "").rpartition("[")[2].rstrip("]") for body, _ in self.got]

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@contextmanager
def queue_in(home: Path) -> Iterator[Queue]:
    queue = open_queue(home, lineage="out", owner="test")
    try:
        yield queue
    finally:
        queue.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "out" / "queue"


def void(_: object) -> None:
    return


def alerts(number: int, queue: Queue) -> list[str]:
    keys = [f"test:{each}" for each in range(number)]
    for key in keys:
        queue.alert(key, "error", f"title of {key}", "body")
    return keys


def order(home: Path, settings: Alerts) -> bytes:
    return msgspec.json.encode(Order(home=str(home), lineage="out", alerts=settings, label="out"))


def sender(home: Path, settings: Alerts) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "trainguard.daemon.sending"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    process.stdin.write(order(home, settings))
    process.stdin.close()
    process.stdin = None
    return process


def test_each_alert_arrives_once_and_leaves_the_outbox(home: Path, receiver: Receiver) -> None:
    with queue_in(home) as queue:
        keys = alerts(5, queue)
        done = deliver(queue, channels_of(Alerts(webhook=receiver.url), lineage="out"))
        assert done.sent == 5
        assert not done.failed
        assert receiver.keys == keys
        body, header = receiver.got[0]
        assert header == '"out:test:0"'
        assert body["title"] == "out: title of test:0"
        assert body["severity"] == "error"
        assert queue.outbox(time.time() + 1e6) == []
        assert deliver(queue, channels_of(Alerts(webhook=receiver.url))).sent == 0


def test_the_same_alert_is_put_in_once(home: Path, receiver: Receiver) -> None:
    with queue_in(home) as queue:
        alerts(1, queue)
        alerts(1, queue)
        deliver(queue, channels_of(Alerts(webhook=receiver.url)))
        alerts(1, queue)
        deliver(queue, channels_of(Alerts(webhook=receiver.url)))
    assert receiver.keys == ["test:0"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise 2.2 at import
def test_a_dead_service_holds_up_nobody_and_gets_its_alerts_when_it_is_back(home: Path, receiver: Receiver) -> None:
    dead = Receiver()
    dead.answer = 503
    settings = Alerts(webhook=receiver.url, urls=[f"json://127.0.0.1:{dead.server.server_port}/{SECRET}"])
    try:
        with queue_in(home) as queue:
            keys = alerts(3, queue)
            channels = channels_of(settings)
            begun = time.time()
            done = deliver(queue, channels)
            assert receiver.keys == keys
            assert (len(done.failed), len(dead.got)) == (1, 1), "a dead service is asked once a round"
            entries = queue.outbox(time.time() + 1e6)
            assert [each.key for each in entries] == keys
            assert queue.outbox(time.time()) == [], "the next try is later"
            assert begun + 30 <= entries[0].next_try <= time.time() + 30
            dead.answer = 200
            deliver(queue, channels, clock=lambda: time.time() + 1e6)
            assert receiver.keys == keys, "what has arrived is not sent again"
            assert dead.keys[1:] == keys
            assert queue.outbox(time.time() + 1e6) == []
    finally:
        dead.close()


def test_the_pause_doubles_up_to_an_hour(home: Path) -> None:
    def refuse(entry: OutboxEntry) -> None:
        raise ConnectionError(f"{SECRET} {entry.key}")

    at = time.time()

    def clock() -> float:
        return at

    pauses = []
    with queue_in(home) as queue:
        alerts(1, queue)
        for _ in range(9):
            done = deliver(queue, [Channel(name="dead", send=refuse)], clock=clock)
            assert done.failed == {"dead": "ConnectionError"}, "the text of an error may hold the address"
            (entry,) = queue.outbox(at + 1e9)
            pauses.append(entry.next_try - at)
            at = entry.next_try + 1
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_service_that_hangs_is_given_up(home: Path) -> None:
    gate = threading.Event()
    arrived: list[str] = []
    channels = [
        Channel(name="hangs", send=lambda _: void(gate.wait(60))),
        Channel(name="works", send=lambda entry: arrived.append(entry.key)),
    ]
    with queue_in(home) as queue:
        keys = alerts(2, queue)
        began = time.monotonic()
        done = deliver(queue, channels, wait_seconds=4.0)
        assert time.monotonic() - began < 30
        assert arrived == keys
        assert "no answer" in done.failed["hangs"]
    gate.set()


def test_what_is_below_the_wanted_severity_is_not_told_but_a_summary_is(home: Path, receiver: Receiver) -> None:
    with queue_in(home) as queue:
        queue.alert("a", "info", "quiet", "")
        queue.alert("summary:2026-01-02", "info", "the day", "")
        deliver(queue, channels_of(Alerts(webhook=receiver.url)), least="warn")
        assert receiver.keys == ["summary:2026-01-02"]
        assert queue.outbox(time.time() + 1e6) == []


def test_a_kill_in_the_middle_doubles_at_most_the_one_in_flight_with_the_same_key(
    home: Path, receiver: Receiver
) -> None:
    settings = Alerts(webhook=receiver.url)
    with queue_in(home) as queue:
        keys = alerts(8, queue)
    for kills in range(4):
        receiver.gate.set()
        before = len(receiver.got)
        process = sender(home, settings)
        # Some go through, then one is on its way when the process is killed.
        for _ in range(2):
            assert receiver.arrived.acquire(timeout=60)
        receiver.gate.clear()
        assert receiver.arrived.acquire(timeout=60), f"kill {kills}"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        receiver.gate.set()
        while receiver.arrived.acquire(blocking=False):
            pass
        if len(set(receiver.keys)) >= 7:
            break
        assert len(receiver.got) > before
    process = sender(home, settings)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert sorted(set(receiver.keys)) == keys, "none is lost"
    doubled = len(receiver.keys) - len(keys)
    assert 1 <= doubled <= kills + 1, "each kill doubles the one in flight and no other"
    by_key: dict[str, set[str | None]] = {}
    for body, header in receiver.got:
        by_key.setdefault(body["key"], set()).add(header)
    assert all(len(headers) == 1 for headers in by_key.values())
    with queue_in(home) as queue:
        assert queue.outbox(time.time() + 1e6) == []


def test_one_sender_at_a_time(home: Path, receiver: Receiver) -> None:
    settings = Alerts(webhook=receiver.url)
    with queue_in(home) as queue:
        alerts(1, queue)
    receiver.gate.clear()
    first = sender(home, settings)
    assert receiver.arrived.acquire(timeout=60)
    second = sender(home, settings)
    second.communicate(timeout=120)
    assert second.returncode == 75
    receiver.gate.set()
    first.communicate(timeout=120)
    assert receiver.keys == ["test:0"]


def test_the_courier_tells_of_events_and_never_waits(home: Path, receiver: Receiver) -> None:
    receiver.gate.clear()
    with queue_in(home) as queue:
        courier = Courier(home, "out", Alerts(webhook=receiver.url))
        file, _ = queue.accept("day\x1b[31m.jsonl", "a" * 64, 5, "one")
        queue.cancel(file.id, f"not wanted {SECRET}")
        queue.pause("disk: full")
        began = time.monotonic()
        assert courier.tick(queue) == 2
        assert time.monotonic() - began < 30
        assert receiver.arrived.acquire(timeout=60)
        courier.tick(queue)
        assert courier.busy()
        receiver.gate.set()
        courier.close(30)
        assert not courier.busy()
    texts = [(body["severity"], body["title"], body["text"]) for body, _ in receiver.got]
    assert [each[0] for each in texts] == ["error", "warn"]
    assert f"file {file.id} (day\\x1b[31m.jsonl) is failed" in texts[0][1]
    assert f"trainguard queue retry {file.id}" in texts[0][2]
    assert SECRET not in json.dumps(texts)
    assert "disk: full" in texts[1][2]
    # The process that sends has the addresses from its stdin alone, and writes none.
    assert SECRET.encode() not in b"".join(each.read_bytes() for each in home.glob("outbox*"))


def test_a_courier_whose_sender_hangs_ends_it(home: Path, receiver: Receiver) -> None:
    receiver.gate.clear()
    with queue_in(home) as queue:
        alerts(1, queue)
        courier = Courier(home, "out", Alerts(webhook=receiver.url), deadline_seconds=0.0)
        courier.tick(queue)
        assert courier.busy()
        assert receiver.arrived.acquire(timeout=60)
        courier.tick(queue)
        assert not courier.busy()
        receiver.gate.set()


def test_without_a_service_nothing_piles_up(home: Path) -> None:
    with queue_in(home) as queue:
        alerts(3, queue)
        courier = Courier(home, "out", Alerts())
        courier.tick(queue)
        assert not courier.busy()
        assert queue.outbox(time.time() + 1e6) == []


def test_alerts_are_raised_once_though_the_cursor_is_lost(home: Path) -> None:
    with queue_in(home) as queue:
        file, _ = queue.accept("a.jsonl", "a" * 64, 5, "one")
        queue.hold(file.id, "look at it")
        assert Raiser(home).look(queue) == 1
        assert Raiser(home).look(queue) == 0
        (home / "outbox.json").write_bytes(b"{torn")
        Raiser(home).look(queue)
        (entry,) = queue.outbox(time.time() + 1)
        assert entry.severity == "warn"
        assert f"queue release {file.id}" in entry.body


@pytest.mark.parametrize(
    ("event", "severity"),
    [
        (Event(id=1, time=0, kind="transition", file_id=1, from_state="training", to_state="quarantined"), "error"),
        (Event(id=1, time=0, kind="transition", file_id=1, from_state="training", to_state="held"), "warn"),
        (Event(id=1, time=0, kind="recovered", file_id=1, data={"seconds": 12.4, "lost_steps": 3}), "info"),
        (Event(id=1, time=0, kind="recovered", file_id=1, data={"seconds": None, "lost_steps": "x"}), "info"),
        (Event(id=1, time=0, kind="rebuilt", cause="quick_check"), "error"),
        (Event(id=1, time=0, kind="transition", file_id=1, from_state="training", to_state="done"), None),
        (Event(id=1, time=0, kind="wish"), None),
    ],
)
def test_which_events_alert(event: Event, severity: str | None) -> None:
    alert = alert_of(event, "a.jsonl")
    assert (alert.severity if alert is not None else None) == severity


def test_trackio_gets_the_alert(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from trainguard.daemon.channels import channels_of\n"
        "from trainguard.facts.config.schema_blocks import Alerts\n"
        "from trainguard.queue.records import OutboxEntry\n"
        "entry = OutboxEntry(id=1, key='test:1', time=time.time(), severity='error', title='broken', body='text')\n"
        "channel, = channels_of(Alerts(trackio=True), lineage='out', project='p')\n"
        "channel.send(entry)\n"
        "import trackio\n"
        "from trackio.sqlite_storage import SQLiteStorage\n"
        "print(SQLiteStorage.get_alerts('p'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRACKIO_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "out: broken" in ran.stdout, ran.stdout
    assert "[test:1]" in ran.stdout, ran.stdout
