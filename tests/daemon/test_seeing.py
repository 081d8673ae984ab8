"""What a daemon tells the world never ends it, never makes it wait, and costs next to nothing while it is idle."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.history import accepted, trained
from trainguard.daemon.seeing import Seeing
from trainguard.daemon.settings import Settings, read_daemon_settings
from trainguard.errors import UsageError
from trainguard.queue.store import Queue, open_queue


def settings_in(folder: Path, more: str = "") -> Settings:
    config = folder / "trainguard.toml"
    config.write_text(f'base_model = "base"\ndata = "train.jsonl"\noutput_dir = "out"\n{more}', encoding="utf-8")
    return read_daemon_settings(config, environment={})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    opened = open_queue(settings.home, lineage=settings.lineage, owner="test")
    yield opened
    opened.close()


def test_it_writes_the_metrics_and_the_last_word(settings: Settings, queue: Queue) -> None:
    seeing = Seeing(settings)
    seeing.start()
    seeing.tick(queue)
    path = settings.home / "metrics.prom"
    assert 'state="done"} 0.0' in path.read_text(encoding="utf-8")
    trained(queue, "a.jsonl")
    seeing.tick(queue)
    assert 'state="done"} 0.0' in path.read_text(encoding="utf-8"), "not at each turn"
    seeing.close(queue)
    assert 'state="done"} 1.0' in path.read_text(encoding="utf-8")


def test_a_broken_queue_and_a_full_disk_end_nobody(
    settings: Settings, queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(settings, clock=iter(range(0, 10_000_000, 1000)).__next__)
    queue.database.busy_seconds = 0.1
    monkeypatch.setattr(Queue, "events", lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            seeing.tick(queue)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)), "each is said once"
    assert [each for each in said if each.startswith("alerts failed inside trainguard: ZeroDivisionError")]
    assert [each for each in said if each.startswith("metrics failed inside trainguard: ZeroDivisionError")]


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        seeing = Seeing(settings_in(tmp_path, f"[queue]\nmetrics_port = {port}\n"))
        with pytest.raises(UsageError, match=f"queue.metrics_port {port}"):
            seeing.start()


def test_no_torch_and_no_service_is_loaded(tmp_path: Path) -> None:
    settings_in(tmp_path, '[alerts]\nurls = ["json://127.0.0.1:9/x"]\ntrackio = true\n')
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from trainguard.daemon.seeing import Seeing\nfrom trainguard.daemon.settings import read_daemon_settings\n"
        "from trainguard.queue.store import open_queue\n"
        "settings = read_daemon_settings(Path('trainguard.toml'))\n"
        "queue = open_queue(settings.home, lineage=settings.lineage, owner='test')\n"
        "seeing = Seeing(settings)\nseeing.tick(queue)\nseeing.close(queue, 0)\n"
        "loaded = {'torch', 'transformers', 'pyarrow', 'apprise', 'trackio', 'rich', 'trainguard.train.trainer'}\n"
        "print(sorted(loaded & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180
    )
    assert ran.stdout == "[]\n", ran.stderr


def test_an_idle_queue_costs_little(settings: Settings, queue: Queue) -> None:
    """Ten minutes of turns, one each two seconds: under 0.3 % of a core, of the 1 % that an idle daemon may take."""
    for number in range(20):
        accepted(queue, f"{number}.jsonl")
    now = 0.0
    seeing = Seeing(settings, clock=lambda: now)
    seeing.tick(queue)
    began = time.process_time()
    for _ in range(300):
        now += 2.0
        seeing.tick(queue)
    assert time.process_time() - began < 0.003 * 600
