"""What ends a pause: a disk with room again, GPUs that the driver describes, a host that takes connections."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_loop_parts import _file, _settings
from tests.train.checkpoint_folders import checkpoint
from trainguard.daemon import waiting
from trainguard.daemon.background import Background
from trainguard.daemon.choosing import Choosing
from trainguard.daemon.clock import Every
from trainguard.daemon.gpu import GpuMemory
from trainguard.daemon.loop import Daemon
from trainguard.daemon.probing import answers, gpu_again, host_of
from trainguard.daemon.pruning import make_room
from trainguard.daemon.waiting import Waits
from trainguard.errors import UsageError
from trainguard.facts.machine.records import FolderFacts, Gpu, GpuProcess, NvidiaFacts
from trainguard.queue.custody import Custody
from trainguard.queue.store import Queue, open_queue
from trainguard.recovery.records import Failure

GIB = 1 << 30


def _ended(waits: Waits, paused: str, seconds: float = 30.0) -> str | None:
    """What ends the pause, None where nothing did so within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        waits._every.at_once()
        if (why := waits.ended(paused)) is not None:
            return why
        time.sleep(0.02)
    return None


# The disk.


def _free(monkeypatch: pytest.MonkeyPatch, *counts: int) -> list[int]:
    """The file system has so many bytes free at one look after the other, the last one for ever."""
    asked: list[int] = []

    def look(folder: Path, **_: Any) -> FolderFacts:
        asked.append(counts[min(len(asked), len(counts) - 1)])
        return FolderFacts(path=str(folder), free_bytes=asked[-1], free_inodes=10**6)

    monkeypatch.setattr(waiting, "read_folder", look)
    return asked


def test_a_disk_that_has_room_at_once_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _free(monkeypatch, 1000)
    waits = Waits(_settings(tmp_path))
    waits.needed_bytes = 900
    assert _ended(waits, "disk: full") is not None
    assert asked == [1000]


def test_a_disk_that_was_full_is_gone_on_with_when_it_has_more_than_enough_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenth more than needed is 990: neither 950 nor one 1,000 between two short ones is enough.
    asked = _free(monkeypatch, 100, 950, 1000, 950, 1000, 1000)
    waits = Waits(_settings(tmp_path))
    waits.needed_bytes = 900
    assert _ended(waits, "disk: full") is not None
    assert asked == [100, 950, 1000, 950, 1000, 1000]


@pytest.fixture
def lineage(tmp_path: Path) -> tuple[Any, Custody, Queue]:
    settings = _settings(tmp_path, save={"keep": 2}, queue={"keep_done": 0, "keep_done_days": 1})
    settings.home.mkdir(parents=True)
    for step in (2, 4, 6, 8, 10):
        checkpoint(settings.output_dir, step)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="me")
    return settings, Custody(settings.home), queue


def _steps(settings: Any) -> list[int]:
    return sorted(int(each.name.partition("-")[2]) for each in settings.output_dir.glob("checkpoint-*"))


def test_a_full_disk_frees_what_is_not_kept_and_nothing_else(lineage: tuple[Any, Custody, Queue]) -> None:
    settings, custody, queue = lineage
    queue.accept("a.jsonl", "ab" * 32, 10, "here")
    lease = queue.take(("accepted",), "checking")
    assert lease is not None
    queue.move_to(lease, "waiting", cause=None, step_before=4)
    freed = make_room(settings, custody, queue)
    assert _steps(settings) == [4, 8, 10], "the two that are kept, and where a file began that is not at its end"
    assert freed.checkpoints == ("checkpoint-2", "checkpoint-6")
    assert freed.bytes > 0
    (event,) = queue.events(kinds=["freed"])
    assert "checkpoint-2, checkpoint-6 (beyond save.keep)" in str(event.cause)
    assert make_room(settings, custody, queue).bytes == 0
    queue.close()


def test_a_full_disk_takes_no_checkpoint_from_under_a_run(lineage: tuple[Any, Custody, Queue]) -> None:
    settings, custody, queue = lineage
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); "
    path = settings.output_dir / "trainguard/writer.lock"
    path.parent.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}sys.stdin.read()", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"held\n"
        assert make_room(settings, custody, queue).checkpoints == ()
        assert _steps(settings) == [2, 4, 6, 8, 10]
        run.communicate()
    assert make_room(settings, custody, queue).checkpoints == ("checkpoint-2", "checkpoint-4", "checkpoint-6")
    queue.close()


def test_a_full_disk_frees_nothing_where_all_is_kept(tmp_path: Path) -> None:
    settings = _settings(tmp_path, save={"keep": None})
    settings.home.mkdir(parents=True)
    for step in (2, 4, 6, 8):
        checkpoint(settings.output_dir, step)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="me")
    assert make_room(settings, Custody(settings.home), queue).bytes == 0
    assert _steps(settings) == [2, 4, 6, 8]
    queue.close()


# The best one is never taken.


def test_a_full_disk_leaves_the_best_checkpoint(lineage: tuple[Any, Custody, Queue]) -> None:
    settings, custody, queue = lineage
    path = settings.output_dir / "checkpoint-10/trainer_state.json"
    state = json.loads(path.read_bytes()) | {"best_model_checkpoint": "elsewhere/checkpoint-2/"}
    path.write_text(json.dumps(state))
    make_room(settings, custody, queue)
    assert 2 in _steps(settings)
    queue.close()


# GPUs.


def _gpu(index: int = 0, *, used: int = 0, **more: Any) -> Gpu:
    total = 80 * GIB
    return Gpu(index=index, total_bytes=total, used_bytes=used, free_bytes=total - used, **more)


def _memory(*looks: tuple[Gpu, ...]) -> GpuMemory:
    """The driver's answers one after the other, the last one for ever; the first is that of the daemon's start."""
    left = list(looks)

    def ask() -> tuple[NvidiaFacts | None, tuple[Gpu, ...] | None]:
        return NvidiaFacts(status="ok"), left.pop(0) if len(left) > 1 else left[0]

    memory = GpuMemory(ask=ask)
    memory.remember()
    return memory


def test_a_lost_gpu_is_waited_for_until_the_driver_has_it_again(tmp_path: Path) -> None:
    both = (_gpu(0), _gpu(1))
    broken = (_gpu(0), Gpu(index=1, problem="GPU is lost"))
    waits = Waits(_settings(tmp_path), gpu=_memory(both, both[:1], broken, both))
    waits.failure = Failure(kind="gpu-lost", code="RUN013", why="Xid 79", fingerprint="x")
    assert _ended(waits, "gpu: Xid 79") == "GPU 0, GPU 1 answer"


def test_a_gpu_that_the_driver_lists_as_broken_is_not_there() -> None:
    memory = _memory((_gpu(0), _gpu(1)), (_gpu(0), Gpu(index=1, problem="GPU is lost")))
    assert gpu_again(memory, "gpu-lost", {}) == (False, "GPU 1 does not answer: GPU is lost")


def test_a_lost_gpu_that_does_not_come_back_is_not_tried_blindly(tmp_path: Path) -> None:
    waits = Waits(_settings(tmp_path), gpu=_memory((_gpu(0), _gpu(1)), (_gpu(0),)))
    waits.ended("gpu: Xid 79")
    waits._since -= 3600.0
    assert _ended(waits, "gpu: Xid 79", seconds=0.5) is None


def test_without_a_driver_the_next_attempt_shows(tmp_path: Path) -> None:
    waits = Waits(_settings(tmp_path), gpu=_memory(()))
    assert _ended(waits, "gpu: gone", seconds=0.3) is None
    waits._since -= 61.0
    assert "the next attempt will show" in str(_ended(waits, "gpu: gone"))


@pytest.mark.parametrize(
    ("used", "data", "there"),
    [
        (60 * GIB, {"own_bytes": 30 * GIB, "tried_bytes": 2 * GIB}, False),
        (40 * GIB, {"own_bytes": 30 * GIB, "tried_bytes": 2 * GIB}, True),
        # What never fits the whole GPU must not be waited for: the attempt is to show that.
        (0, {"own_bytes": 79 * GIB, "tried_bytes": 9 * GIB}, True),
        (3 * GIB, {}, False),
        (GIB // 8, {}, True),
    ],
)
def test_memory_that_others_hold_is_waited_for(used: int, data: dict[str, int], there: bool) -> None:
    process = GpuProcess(pid=77, name="python", used_bytes=used)
    memory = _memory((_gpu(0),), (_gpu(0, used=used, processes=(process,)),))
    found, words = gpu_again(memory, "gpu-oom", data)
    assert found is there
    assert there or "held by process 77 (python)" in words


def test_what_the_driver_keeps_for_itself_is_not_waited_for() -> None:
    """An H100 that does nothing has 0.6 GiB in use; a run that wanted nearly all of it is to be tried again."""
    idle = _gpu(0, used=6 * GIB // 10)
    data = {"own_bytes": 78 * GIB, "tried_bytes": 4 * GIB}
    assert gpu_again(_memory((idle,)), "gpu-oom", data) == (True, "GPU 0 answers")
    held = _gpu(0, used=2 * GIB)
    assert gpu_again(_memory((idle,), (held,)), "gpu-oom", data)[0] is False


# The network.


@pytest.mark.parametrize(
    ("words", "host"),
    [
        ("ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries", ("huggingface.co", 443)),
        ("503 Server Error for url: https://huggingface.co/api/models/x", ("huggingface.co", 443)),
        ("HfHubHTTPError: http://user:secret@hub.local:8080/x", ("hub.local", 8080)),
        ("NameResolutionError: Failed to resolve 'hub.local' ([Errno -2])", ("hub.local", 443)),
        ("waits for [::1]:80, which", ("::1", 80)),
        ("network: waits for 10.0.0.1:5000, which the last attempt", ("10.0.0.1", 5000)),
        ("NCCL error: a remote process exited", None),
        ("see https:// for more", None),
        ("http://x:99999/y", None),
        ("https://" + "a" * 5000, ("a" * 5000, 443)),
    ],
)
def test_the_host_that_an_error_names(words: str, host: tuple[str, int] | None) -> None:
    assert host_of(words) == host


def test_a_host_with_an_impossible_name_does_not_answer_and_raises_nothing() -> None:
    assert not answers("a" * 5000, 443)
    assert not answers("..", 443)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listen(port: int) -> Callable[[], None]:
    server = socket.create_server(("127.0.0.1", port))
    return server.close


def test_a_host_that_is_away_is_waited_for_and_no_attempt_is_begun_before(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings = _settings(tmp_path)
    settings.home.mkdir(parents=True)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="me")
    choosing = Choosing(queue, settings, Background(lambda: None, "none"), Custody(settings.home))
    choosing.leftovers = None
    failure = Failure(kind="network", code="RUN022", why=f"no route: http://127.0.0.1:{port}/x", fingerprint="x")
    choosing.look_back(_file(state="waiting"), failure)
    until = time.monotonic() + 30.0
    while queue.paused is None and time.monotonic() < until:
        assert not choosing.allowed()
        time.sleep(0.01)
    assert str(queue.paused).startswith(f"network: waits for 127.0.0.1:{port}")
    choosing._waits._every = Every(0.05)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        assert not choosing.allowed()
        time.sleep(0.02)
    close = _listen(port)
    until = time.monotonic() + 30.0
    while not choosing.allowed() and time.monotonic() < until:
        time.sleep(0.02)
    assert queue.paused is None
    close()
    queue.close()


def test_a_host_that_answers_holds_up_nothing(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    settings = _settings(tmp_path)
    settings.home.mkdir(parents=True)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="me")
    choosing = Choosing(queue, settings, Background(lambda: None, "none"), Custody(settings.home))
    choosing.leftovers = None
    close = _listen(port)
    failure = Failure(kind="network", code="RUN022", why=f"reset by http://127.0.0.1:{port}/x", fingerprint="x")
    choosing.look_back(_file(state="waiting"), failure)
    until = time.monotonic() + 30.0
    while not choosing.allowed() and time.monotonic() < until:
        time.sleep(0.01)
    assert (choosing.allowed(), queue.paused) == (True, None)
    close()
    queue.close()


def test_a_host_that_never_answers_a_plain_connection_is_tried_by_a_run_in_the_end(tmp_path: Path, port: int) -> None:
    waits = Waits(_settings(tmp_path))
    paused = f"network: waits for 127.0.0.1:{port}, which"
    assert _ended(waits, paused, seconds=0.5) is None
    waits._since -= 1801.0
    assert "the next attempt will show" in str(_ended(waits, paused))


# The inbox.


@pytest.mark.parametrize("inbox", ["out", "out/queue", "out/queue/files", "link/queue"])
def test_an_inbox_among_the_files_of_the_daemon_is_refused(tmp_path: Path, inbox: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with pytest.raises(UsageError, match=r"queue\.inbox is .* where the daemon keeps its own files"):
        _settings(tmp_path, queue={"inbox": inbox})


def test_the_files_of_a_configuration_are_known(tmp_path: Path) -> None:
    (tmp_path / "eval.jsonl").write_text('{"text": "a"}\n')
    settings = _settings(tmp_path, queue={"inbox": "."}, eval={"data": "eval.jsonl"})
    roles = {path.name: role for path, role in settings.own_files.items()}
    assert roles["config.json"] == "the configuration of this daemon"
    assert roles["eval.jsonl"] == "the evaluation data of config.json"


@pytest.mark.parametrize(
    ("save", "words"), [({"resume": "never"}, "save.resume"), ({"strategy": "no"}, "save.strategy")]
)
def test_a_configuration_without_a_lineage_is_refused_at_the_start_and_pauses_one_that_runs(
    tmp_path: Path, save: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Daemon(_settings(tmp_path, save=save)).run()
    settings = _settings(tmp_path)
    settings.home.mkdir(parents=True)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="me")
    choosing = Choosing(queue, settings, Background(lambda: None, "none"), Custody(settings.home))
    assert choosing.reread()
    _settings(tmp_path, save=save)
    assert not choosing.reread()
    assert words in str(queue.paused)
    queue.close()
