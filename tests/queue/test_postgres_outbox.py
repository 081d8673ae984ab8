"""Alerts of daemons that share a queue and no folder: each is claimed by one sender, none is lost, none doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update
from tests.daemon.test_outbox import Receiver
from tests.queue.backends import Backend
from tests.queue.postgres import Server

from trainguard.daemon.outbox import CLAIM_SECONDS
from trainguard.daemon.sending import _DEADLINE_SECONDS, Order
from trainguard.facts.config.schema_blocks import Alerts
from trainguard.queue.schema import CLAIMS
from trainguard.queue.store import Queue


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as made:
        yield made


def _alerts(queue: Queue, number: int) -> list[str]:
    keys = [f"test:{each:02}" for each in range(number)]
    for key in keys:
        assert queue.alert(key, "error", f"title of {key}", "body")
    return keys


def _sender(home: Path, url: str, webhook: str) -> subprocess.Popen[bytes]:
    """What a daemon starts to send its alerts; `home` is its own folder."""
    home.mkdir(parents=True, exist_ok=True)
    order = Order(home=str(home), lineage="run", alerts=Alerts(webhook=webhook), database_url=url, label="run")
    process = subprocess.Popen([sys.executable, "-m", "trainguard.daemon.sending"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(order))
    process.stdin.close()
    process.stdin = None
    return process


def _expire(queue: Queue) -> None:
    queue.database.write(lambda connection: connection.execute(update(CLAIMS).values(until=1.0)))


def test_an_alert_is_claimed_by_one(backend: Backend) -> None:
    one, two = backend.open("one"), backend.open("two")
    _alerts(one, 2)
    first, second = one.outbox()
    assert one.claim_alert(first, 60.0) == first
    assert one.claim_alert(first, 60.0) == first, "its own"
    if backend.sqlite:
        # The lock of the sender says who sends: another's claim is a dead one's.
        assert two.claim_alert(first, 60.0) == first
    else:
        assert two.claim_alert(first, 60.0) is None
        assert [each.id for each in two.outbox()] == [second.id]
        assert [each.id for each in two.outbox(time.time() + 1e6)] == [second.id], "by the server's clock"
        _expire(one)
        assert [each.id for each in two.outbox()] == [first.id, second.id]
        assert two.claim_alert(first, 60.0) == first
        assert one.claim_alert(first, 60.0) is None, "it has lost it"
    # What another one has tried, or closed, since it was looked at is not due any more.
    two.undelivered(first.id, two.clock() + 600.0)
    assert one.claim_alert(first, 60.0) is None
    two.close_alert(second.id)
    assert one.claim_alert(second, 60.0) is None
    (again,) = one.outbox(one.clock() + 601.0)
    assert one.claim_alert(again, 60.0) == again, "given back by who tried it"


@pytest.mark.postgres
def test_a_claim_outlives_its_sender_whatever_becomes_of_that() -> None:
    assert CLAIM_SECONDS > _DEADLINE_SECONDS + 1.0


@pytest.mark.postgres
def test_a_claim_of_a_clock_that_was_put_back_holds_nothing_up(postgres: Server, tmp_path: Path) -> None:
    backend = Backend(home=tmp_path / "queue", url=postgres.url())
    one, two = backend.open("one"), backend.open("two")
    _alerts(one, 1)
    (entry,) = one.outbox()
    assert one.claim_alert(entry, 60.0) is not None
    ahead = time.time() + 1e6
    one.database.write(lambda connection: connection.execute(update(CLAIMS).values(since=ahead, until=ahead + 60.0)))
    assert two.claim_alert(entry, 60.0) == entry
    backend.close()


@pytest.mark.postgres
def test_two_senders_at_once_double_nothing(postgres: Server, tmp_path: Path, receiver: Receiver) -> None:
    url = postgres.url()
    backend = Backend(home=tmp_path / "queue", url=url)
    queue = backend.open()
    keys = _alerts(queue, 12)
    receiver.gate.clear()
    senders = [_sender(tmp_path / name, url, receiver.url) for name in ("one", "two")]
    for _ in senders:
        # Both are at it, each with an alert that the service has not answered.
        assert receiver.arrived.acquire(timeout=60)
    receiver.gate.set()
    assert [each.wait(60) for each in senders] == [0, 0]
    assert sorted(receiver.keys) == keys
    assert queue.outbox(queue.clock() + 1e6) == []
    backend.close()


@pytest.mark.postgres
def test_what_a_killed_sender_had_claimed_is_sent_by_the_other_after_it(
    postgres: Server, tmp_path: Path, receiver: Receiver
) -> None:
    url = postgres.url()
    backend = Backend(home=tmp_path / "queue", url=url)
    queue = backend.open()
    keys = _alerts(queue, 5)
    receiver.gate.clear()
    killed = _sender(tmp_path / "one", url, receiver.url)
    assert receiver.arrived.acquire(timeout=60)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    receiver.gate.set()
    assert _sender(tmp_path / "two", url, receiver.url).wait(60) == 0
    assert sorted(receiver.keys) == keys, "the one that was on its way is claimed, and the others do not wait for it"
    _expire(queue)
    assert [each.key for each in queue.outbox()] == keys[:1]
    assert _sender(tmp_path / "two", url, receiver.url).wait(60) == 0
    # Nobody can tell whether the service took it from the dead one: once more, with the same key.
    assert sorted(receiver.keys) == [keys[0], *keys]
    assert queue.outbox(queue.clock() + 1e6) == []
    backend.close()
