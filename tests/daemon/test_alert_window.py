"""Of many alerts of a code one is told at once and the others in a digest: none lost, none doubled by a kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainguard.daemon.outbox import Alert, Raiser, alert_of, kind_of
from trainguard.daemon.sending import Courier
from trainguard.daemon.thinning import Thinning
from trainguard.facts.config.schema_blocks import Alerts
from trainguard.queue.records import Event, OutboxEntry, QueuedFile
from trainguard.queue.store import Incoming, Queue, open_queue

WINDOW = 600.0


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with open_queue(tmp_path / "out/queue", lineage="out", owner="test") as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "out" / "queue"


def fail(queue: Queue, number: int, codes: tuple[str, ...]) -> None:
    done = queue.accept_many(
        Incoming(name=f"{n}.jsonl", sha256=f"{n:064x}", size=9, origin=f"o{n}", priority="normal")
        for n in range(number)
    )
    for place, (file, _) in enumerate(done):
        queue.cancel(file.id, f"{codes[place % len(codes)]}: line {place} is no JSON")


def entries(queue: Queue) -> list[OutboxEntry]:
    return queue.outbox(time.time() + 1e9)


def test_five_hundred_bad_files_are_two_alerts_and_a_digest(queue: Queue, home: Path) -> None:
    fail(queue, 500, ("DATA002", "DATA002", "DATA002", "DATA004"))
    raiser = Raiser(home, window_seconds=WINDOW)
    assert raiser.look(queue) == 2
    assert [("DATA002" in each.body, "DATA004" in each.body) for each in entries(queue)] == [(1, 0), (0, 1)]
    assert Raiser(home, window_seconds=WINDOW).look(queue) == 0
    assert raiser.look(queue, time.time() + WINDOW + 60) == 1
    digest = entries(queue)[-1]
    assert digest.title == "498 more files failed in 10 min"
    assert digest.body == "DATA002 374, DATA004 124; `trainguard queue list --state failed` shows them"
    assert digest.severity == "error"
    assert raiser.look(queue, time.time() + 10 * WINDOW) == 0
    assert len(entries(queue)) == 3


def test_without_a_window_each_is_told(queue: Queue, home: Path) -> None:
    fail(queue, 5, ("DATA002",))
    assert Raiser(home, window_seconds=0).look(queue) == 5


def test_a_daemon_that_ends_says_what_it_has_counted(queue: Queue, home: Path) -> None:
    fail(queue, 3, ("DATA002",))
    courier = Courier(home, "out", Alerts(webhook="http://127.0.0.1:9/", window_seconds=WINDOW))
    assert courier.tick(queue) == 1
    assert courier.tick(queue, last=True) == 1
    courier.close(30)
    assert re.match(r"2 more files failed in \d+ s", entries(queue)[-1].title)


def test_other_things_are_told_beside(queue: Queue, home: Path) -> None:
    """A pause, a recovery and a file that is held are no failed files, and none waits for another."""
    fail(queue, 2, ("DATA002",))
    file, _ = queue.accept("h.jsonl", "f" * 64, 5, "held")
    queue.hold(file.id, "QUEUE003: the same content")
    queue.pause("disk: 1 GB free")
    queue.resume()
    queue.pause("disk: 2 GB free")
    for _ in range(3):
        queue.event("recovered", file_id=file.id, fault="gpu-oom", seconds=3.0)
    raiser = Raiser(home, window_seconds=WINDOW)
    assert raiser.look(queue) == 4
    assert raiser.look(queue, time.time() + WINDOW) == 3
    titles = [each.title for each in entries(queue)]
    assert titles[0].endswith("(0.jsonl) is failed")
    assert titles[-3:] == [
        "1 more file failed in 10 min",
        "1 more time the queue was paused in 10 min",
        "2 more times a file went on after a fault in 10 min",
    ]
    assert [each.severity for each in entries(queue)[-3:]] == ["error", "warn", "info"]


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("a.jsonl: DATA002 no rows", "DATA002"),
        ("RUN012 ended by a signal", "RUN012"),
        ("disk: 12 GB free", "disk"),
        ("not wanted any more", "not wanted any more"),
        ("\x1b[31m" * 100, r"\x"),
        ("", "no cause"),
        (None, "no cause"),
    ],
)
def test_the_code_of_a_cause(cause: str | None, code: str) -> None:
    event = Event(id=1, time=0, kind="transition", file_id=1, from_state="training", to_state="failed", cause=cause)
    assert kind_of(event) == ("failed", code)


@pytest.mark.parametrize("content", [b"", b"{torn", b'{"after": -5}', b'{"after": 1, "thinning": 5}', b"[]"])
def test_a_cursor_that_is_lost_doubles_nothing(queue: Queue, home: Path, content: bytes) -> None:
    fail(queue, 4, ("DATA002",))
    later = time.time() + WINDOW + 1
    Raiser(home, window_seconds=WINDOW).look(queue, later)
    before = entries(queue)
    (home / "outbox.json").write_bytes(content)
    Raiser(home, window_seconds=WINDOW).look(queue, later)
    assert entries(queue) == before
    assert len(before) == 2


def test_the_cursor_of_an_earlier_release_is_understood(queue: Queue, home: Path) -> None:
    fail(queue, 4, ("DATA002",))
    last = queue.events()[-1].id
    (home / "outbox.json").write_bytes(b'{"after": %d}' % last)
    assert Raiser(home, window_seconds=WINDOW).look(queue) == 0


class Board:
    """The part of a queue that is used, with times as they are given. `breaks` is asked before each alert."""

    def __init__(self, events: list[Event]) -> None:
        self.all = events
        self.shown = 0
        self.alerts: dict[str, Alert] = {}
        self.breaks: Callable[[], bool] = lambda: False

    def get(self, number: int) -> QueuedFile | None:
        del number
        return None

    def events(self, file_id: int | None = None, after: int = 0, limit: int | None = None, **_: Any) -> list[Event]:
        del file_id
        return [each for each in self.all[: self.shown] if each.id > after][:limit]

    def alert(self, key: str, severity: Any, title: str, body: str, file_id: int | None = None, *_: Any) -> None:
        if self.breaks():
            raise OSError("killed")
        self.alerts.setdefault(key, Alert(key=key, severity=severity, title=title, body=body, file_id=file_id))

    def outbox(self, now: float) -> list[OutboxEntry]:
        raise NotImplementedError

    def delivered(self, number: int, channel: str) -> None:
        raise NotImplementedError

    def undelivered(self, number: int, next_try: float) -> None:
        raise NotImplementedError

    def close_alert(self, number: int) -> None:
        raise NotImplementedError


_STEPS = st.lists(
    st.tuples(
        st.floats(-30, 300),  # seconds since the last event; a clock may go back
        st.sampled_from(["DATA002", "DATA004", "RUN001"]),
        st.sampled_from(["failed", "held"]),
        st.sampled_from(["on", "look", "kill", "break", "ends"]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_every_event_is_told_exactly_once(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """In one alert of its own or in the count of one digest, however the looks, kills and faults fall."""
    home = tmp_path_factory.mktemp("home")
    at, events = 1e6, []
    for number, (seconds, code, state, _) in enumerate(steps, start=1):
        at += seconds
        events.append(Event(id=number, time=at, kind="transition", to_state=state, cause=f"{code}: x"))
    board = Board(events)
    raiser = Raiser(home, window_seconds=WINDOW)
    for event, (_, _, _, what) in zip(events, steps, strict=True):
        board.shown += 1
        match what:
            case "look":
                raiser.look(board, event.time)
            case "ends":
                raiser.look(board, event.time, last=True)
                raiser = Raiser(home, window_seconds=WINDOW)
            case "kill":
                raiser = Raiser(home, window_seconds=WINDOW)
            case "break":
                calls = iter([False, True])
                board.breaks = partial(next, calls, True)
                try:
                    raiser.look(board, event.time)
                except OSError:
                    raiser = Raiser(home, window_seconds=WINDOW)
                board.breaks = lambda: False
    raiser.look(board, at, last=True)
    told = Counter[tuple[str, str]]()
    for alert in board.alerts.values():
        if alert.key.startswith("event:"):
            event = events[int(alert.key.partition(":")[2]) - 1]
            told[str(event.to_state), str(event.cause)[:7].rstrip(":")] += 1
        else:
            kind = alert.key.split(":")[1]
            for code, number in re.findall(r"([A-Z]+\d+) (\d+)", alert.body):
                told[kind, code] += int(number)
    assert told == Counter((str(each.to_state), str(each.cause)[:7].rstrip(":")) for each in events)


def test_a_fault_that_goes_on_for_a_day_is_a_message_a_window() -> None:
    thinning, told = Thinning(), 0
    for number in range(8640):
        at = number * 10.0
        told += len(thinning.ended(at, window_seconds=WINDOW))
        told += thinning.passes("failed", "DATA002", event=number, time=at, window_seconds=WINDOW)
    assert told == pytest.approx(86400 / WINDOW, rel=0.05)


def test_a_clock_that_was_put_back_silences_nobody_for_long() -> None:
    thinning = Thinning()
    assert thinning.passes("failed", "A", event=1, time=1e9, window_seconds=WINDOW)
    assert not thinning.passes("failed", "A", event=2, time=1e9, window_seconds=WINDOW)
    assert len(thinning.ended(5e8, window_seconds=WINDOW)) == 1
    assert thinning.passes("failed", "A", event=3, time=5e8, window_seconds=WINDOW)


def test_many_codes_fill_no_memory() -> None:
    thinning = Thinning()
    passed = sum(
        thinning.passes("failed", f"c{number}", event=number, time=1.0, window_seconds=WINDOW) for number in range(5000)
    )
    (digest,) = thinning.ended(1.0 + WINDOW, window_seconds=WINDOW)
    assert passed == 200
    assert len(digest.counts) <= 201
    assert passed + sum(digest.counts.values()) == 5000


_KILLED = """
import sys, time
from pathlib import Path
from trainguard.daemon.outbox import Raiser
from trainguard.queue.store import open_queue
home = Path(sys.argv[1])
with open_queue(home, lineage="out", owner="test") as queue:
    print("ready", flush=True)
    raiser = Raiser(home, window_seconds=0.02)
    while True:
        raiser.look(queue)
"""


def test_kills_at_any_instant_lose_and_double_nothing(queue: Queue, home: Path) -> None:
    """A real process that tells, killed again and again while files fail."""
    number = 60
    done = queue.accept_many(
        Incoming(name=f"{n}.jsonl", sha256=f"{n:064x}", size=9, origin=f"o{n}", priority="normal")
        for n in range(number)
    )
    for life in range(4):
        process = subprocess.Popen([sys.executable, "-c", _KILLED, str(home)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for file, _ in done[life * 15 : life * 15 + 15]:
            queue.cancel(file.id, "DATA002: no rows")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    Raiser(home, window_seconds=0.02).look(queue, last=True)
    singles = [each for each in entries(queue) if each.key.startswith("event:")]
    counts = [int(each.title.split()[0]) for each in entries(queue) if each.key.startswith("digest:")]
    assert len(singles) + sum(counts) == number
    assert counts, "some were told together"


def test_a_folder_that_is_dropped_twice_is_one_alert_and_a_digest_of_low_severity(queue: Queue, home: Path) -> None:
    raiser = Raiser(home, window_seconds=WINDOW)
    for place in range(30):
        queue.accept(f"{place}.jsonl", f"{place:064x}", 9, f"first {place}")
    assert raiser.look(queue) == 0, "what is merely accepted is told to nobody"
    for place in range(30):
        file, _ = queue.accept(f"again-{place}.jsonl", f"{place:064x}", 9, f"again {place}")
        assert file.state == "held"
    assert raiser.look(queue) == 1
    assert raiser.look(queue, time.time() + WINDOW + 60) == 1
    first, digest = entries(queue)
    assert (first.title, first.severity) == ("file 31 (again-0.jsonl) is held", "info")
    assert "the content is that of file 1" in first.body
    assert (digest.title, digest.severity) == ("29 more files held, with content that came before in 10 min", "info")
    assert "trainguard queue list --state held" in digest.body


def test_what_a_person_did_is_told_to_nobody_in_haste(tmp_path: Path, queue: Queue, home: Path) -> None:
    """A file that fails is an error, one that somebody has given up is not: it would tell him what he did."""
    numbers = [queue.accept(f"{place}.jsonl", f"{place:064x}", 9, f"{place}")[0].id for place in range(6)]
    with open_queue(tmp_path / "out/queue", lineage="out", owner="person:1000") as by_hand:
        for number in numbers[:4]:
            by_hand.cancel(number, "superseded")
        by_hand.hold(numbers[4], "the labels")
    queue.cancel(numbers[5], "DATA002 no JSON")
    raiser = Raiser(home, window_seconds=WINDOW)
    assert raiser.look(queue) == 3
    assert [each.severity for each in entries(queue)] == ["info", "info", "error"]
    assert raiser.look(queue, time.time() + WINDOW + 60) == 1
    digest = entries(queue)[-1]
    assert (digest.title, digest.severity) == ("3 more files held or cancelled by a person in 10 min", "info")


def test_a_message_calls_a_file_by_its_name_and_not_by_its_place_in_custody() -> None:
    place = f"/srv/out/queue/files/{'0f' * 32}/day.jsonl"
    alert = alert_of(Event(id=1, time=0.0, kind="transition", file_id=7, to_state="failed", cause=f"DATA001 {place} x"))
    assert alert is not None
    assert alert.body.startswith("DATA001 day.jsonl x; ")
