"""What people see of a queue on a PostgreSQL server: status, lists, logs, the report, alerts, which get out once."""

from __future__ import annotations

import importlib
import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli._queue import CONFIG, call
from tests.daemon.history import HOSTILE, accepted, trained, write_events
from tests.daemon.test_outbox import Receiver
from tests.queue.postgres import Server

from trainguard.daemon.outbox import Raiser
from trainguard.daemon.seeing import Seeing
from trainguard.daemon.sending import Courier
from trainguard.daemon.settings import read_daemon_settings
from trainguard.errors import UsageError
from trainguard.facts.config.schema_blocks import Alerts
from trainguard.queue.store import Queue, open_queue

pytestmark = pytest.mark.postgres
WINDOW = 600.0


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.url()


@pytest.fixture
def folder(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "trainguard.toml").write_text(f"{CONFIG}[queue]\ndatabase_url = {json.dumps(url)}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(folder: Path, url: str) -> Queue:
    output = (folder / "out").absolute()
    return open_queue(output / "queue", lineage=str(output), owner="test", database_url=url)


def test_the_screen_the_list_the_log_and_the_report(folder: Path, url: str) -> None:
    with opened(folder, url) as queue:
        trained(queue, "one.jsonl")
        trained(queue, f"two {HOSTILE}", before=10, fault=True)
        held = accepted(queue, "doubtful.jsonl")
        queue.hold(held.id, "look at the labels \udcff\x00")
        accepted(queue, "soon.jsonl", priority="high")
        queue.announce("idle")
    with open_queue(folder / "other", lineage="another lineage", owner="other", database_url=url) as other:
        accepted(other, "not mine.jsonl")
        other.pause("not mine")
    write_events(folder / "out", steps=20, now=time.time(), pace=1.0)

    status = call("status")[1]
    assert "daemon      running, pid" in status
    assert "queue       4 files: 1 accepted, 2 done, 1 held" in status
    assert "RUN001 not-finite -> rollback, back after 11 s" in status
    assert "not mine" not in status
    shown = json.loads(call("status", "--format", "json")[1])
    assert shown["paused"] is None
    assert [each["name"] for each in shown["next"]] == ["soon.jsonl"]

    rows = json.loads(call("queue", "list", "--format", "json")[1])["files"]
    assert sorted(each["state"] for each in rows) == ["accepted", "held"]
    assert "doubtful.jsonl" in call("queue", "list", "--state", "held")[1]
    assert "one.jsonl" in call("queue", "list", "--state", "done", "--format", "csv")[1]
    assert call("queue", "release", str(held.id))[0] == 0
    assert "held -> accepted: released" in call("log", "doubtful.jsonl")[1]

    assert call("report", "-o", "page.html")[0] == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "one.jsonl" in page
    assert "RUN001" in page
    assert "<script>alert" not in page
    assert "not mine" not in page


def test_the_address_of_the_server_is_an_option_too_and_is_not_shown(folder: Path, url: str) -> None:
    (folder / "trainguard.toml").write_text(CONFIG, encoding="utf-8")
    with opened(folder, url) as queue:
        accepted(queue, "a.jsonl")
    assert "1 file: 1 accepted" in call("status", "--database-url", url)[1]
    gone = "postgresql://tester:secretword@127.0.0.1:9/none"
    status = importlib.import_module("trainguard.cli.status")
    with pytest.raises(UsageError) as raised:
        status.command.main(["--database-url", gone], standalone_mode=False)
    assert "secretword" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def test_alerts_get_out_once_though_two_daemons_tell(folder: Path, url: str) -> None:
    """Both read the same events; the keys keep the second one from telling them again."""
    with closing(Receiver()) as receiver, opened(folder, url) as queue:
        for number in range(12):
            file = accepted(queue, f"{number}.jsonl", number=number)
            queue.cancel(file.id, "DATA002: no rows" if number % 3 else "DATA004: no JSON")
        queue.pause("disk: 1 GB free")
        settings = Alerts(webhook=receiver.url, window_seconds=WINDOW)
        couriers = [Courier(folder / name, str(folder / "out"), settings, database_url=url) for name in ("one", "two")]
        for each in ("one", "two"):
            (folder / each).mkdir()
        later = time.time() + WINDOW + 60
        Raiser(folder / "one", window_seconds=WINDOW).look(queue, later)
        assert Raiser(folder / "two", window_seconds=WINDOW).look(queue, later) > 0
        entries = queue.outbox(later)
        assert len({each.key for each in entries}) == len(entries) == 4
        for courier in couriers:
            courier.tick(queue)
        deadline = time.monotonic() + 60
        while queue.outbox(time.time() + 1e6) and time.monotonic() < deadline:
            time.sleep(0.2)
        for courier in couriers:
            courier.close(30)
        assert queue.outbox(time.time() + 1e6) == []
    assert sorted(receiver.keys) == sorted(each.key for each in entries)
    digest = next(body for body, _ in receiver.got if body["key"].startswith("digest:"))
    assert "10 more files failed" in digest["title"]
    assert "DATA002 7, DATA004 3" in digest["text"]


def test_what_a_digest_counts_is_left_to_the_daemon_that_stays(folder: Path, url: str) -> None:
    """One that ends tells what it has counted, under the key of the whole: nobody would tell the rest of it then."""

    def digests(queue: Queue) -> list[str]:
        return [each.key for each in queue.outbox(time.time() + 1e9) if each.key.startswith("digest:")]

    with closing(Receiver()) as receiver, opened(folder, url) as queue:
        config = folder / "trainguard.toml"
        config.write_text(f"{config.read_text()}[alerts]\nwebhook = '{receiver.url}'\nwindow_seconds = {WINDOW}\n")
        settings = read_daemon_settings(config)
        settings.home.mkdir(parents=True, exist_ok=True)
        stays = open_queue(settings.home, lineage=settings.lineage, owner="stays", database_url=url)
        with closing(stays):
            stays.announce("idle")
            for number in range(3):
                queue.cancel(accepted(queue, f"{number}.jsonl", number=number).id, "DATA002: no rows")
            receiver.gate.clear()  # what is sent stays in the outbox
            Seeing(settings).close(queue, 0.0)
            assert digests(queue) == []
            stays.announce("stopped")
            Seeing(settings).close(queue, 0.0)
            assert len(digests(queue)) == 1
