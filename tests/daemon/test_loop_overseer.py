"""Who watches the loop: a loop that stands still for real, in a read that nobody answers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_loop_parts import _settings
from trainguard.daemon.background import Background
from trainguard.daemon.loop import Daemon
from trainguard.daemon.overseer import EXIT_SILENT, Beat, Overseer, Silence, _mounted
from trainguard.daemon.service import Notifier
from trainguard.facts.machine.mounts import Mount


class Run:
    """What an overseer asks of an attempt, written down."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def stop(self, asked_by: str, deadline_seconds: float) -> None:
        self.asked.append(("stop", asked_by, deadline_seconds))

    def end_now(self, asked_by: str = "drain") -> None:
        self.asked.append(("end", asked_by))


class Stuck:
    """A loop that waits for the writer of a FIFO, which never comes until `free`."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        self.left: list[int] = []
        self.beat = Beat()
        self.run: Run | None = Run()
        self.signals = 0
        self.overseer = Overseer(
            beat=self.beat,
            places=(folder,),
            notifier=Notifier({}),
            signals=lambda: self.signals,
            run=lambda: self.run,  # type: ignore[arg-type, return-value]
            deadline_seconds=60.0,
            silent_seconds=0.3,
            leave=self.left.append,
            **more,
        )
        self.job = Background(lambda: self.overseer.watch(self._work), "watch")

    def _work(self) -> int:
        self.beat.at("read")
        self.fifo.read_bytes()
        self.beat.at("after")
        return 7

    def free(self) -> int:
        if not self.job.done:
            self.fifo.write_bytes(b"x")
        assert self.job.wait(30.0)
        return self.job.result()


def _until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 30.0
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Stuck]:
    made = Stuck(tmp_path)
    yield made
    made.free()


def test_what_the_work_gives_and_raises_comes_through() -> None:
    overseer = Overseer(
        beat=Beat(), places=(), notifier=Notifier({}), signals=lambda: 0, run=lambda: None, deadline_seconds=1.0
    )
    assert overseer.watch(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        overseer.watch(lambda: 1 // 0)


def test_signals_reach_the_run_while_the_loop_stands_still(stuck: Stuck) -> None:
    run = stuck.run
    assert run is not None
    time.sleep(1.0)
    assert run.asked == [], "nobody has asked for anything"
    stuck.signals = 1
    _until(lambda: run.asked)
    assert run.asked == [("stop", "drain", 60.0)]
    time.sleep(1.0)
    assert run.asked == [("stop", "drain", 60.0)], "once"
    assert stuck.left == [], "the run may save until its deadline"
    stuck.signals = 2
    _until(lambda: len(run.asked) > 1)
    assert run.asked[1] == ("end", "drain")


def test_a_loop_that_never_comes_back_ends_with_its_deadline(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trainguard.daemon.overseer._SPARE_SECONDS", 0.5)
    stuck.run = None
    stuck.signals = 1
    _until(lambda: stuck.left)
    assert stuck.left[0] == EXIT_SILENT
    assert "asked to stop, and the loop does not come round" in caplog.text


def test_a_run_whose_lease_may_be_taken_is_ended(tmp_path: Path) -> None:
    stuck = Stuck(tmp_path, lease_seconds=1.5)
    run = stuck.run
    assert run is not None
    _until(lambda: run.asked)
    assert run.asked[0] == ("end", "lease")
    assert stuck.beat.silent_seconds > 1.5 * 0.7
    assert stuck.free() == 7


def test_a_loop_that_stands_still_for_no_disk_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trainguard.daemon.overseer._STILL_SECONDS", 0.5)
    told: list[Silence] = []
    stuck = Stuck(tmp_path, tell=told.append)
    _until(lambda: "the loop stands still in 'read'" in caplog.text)
    assert (stuck.overseer.silence, told) == (None, [])
    stuck.free()
    assert stuck.overseer.past == []


def test_an_overseer_that_cannot_look_leaves_the_loop_at_its_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No thread can be started (pids.max of a container): neither the daemon nor its run ends of that."""
    stuck = Stuck(tmp_path)

    def refused() -> Path | None:
        raise RuntimeError("can't start new thread")

    stuck.overseer.run = refused  # type: ignore[assignment]
    _until(lambda: "the loop is not watched: RuntimeError: can't start new thread" in caplog.text)
    time.sleep(1.0)
    assert not stuck.job.done
    assert caplog.text.count("is not watched") == 1
    assert stuck.free() == 7


def test_an_answer_that_came_too_late_is_none_to_the_next_silence(tmp_path: Path) -> None:
    """A folder did not answer once; a loop that stands still a week later, for another reason, is not that again."""
    overseer = Overseer(
        beat=Beat(),
        places=(),
        notifier=Notifier({}),
        signals=lambda: 0,
        run=lambda: None,
        deadline_seconds=1.0,
        silent_seconds=0.3,
    )
    overseer._asking = Background(lambda: tmp_path, "places")  # asked in a silence that is over when it answers
    assert overseer._asking.wait(30.0)
    overseer._look()
    time.sleep(0.4)
    overseer._look()
    assert overseer.silence is None


def test_a_second_signal_in_the_middle_of_the_first_one_stops_nobody(tmp_path: Path) -> None:
    """Its handler finds the lock taken by the code that it has interrupted, in the same thread."""
    daemon = Daemon(_settings(tmp_path))

    def interrupted() -> None:
        with daemon._wake._cond:  # type: ignore[attr-defined]
            daemon.ask_to_stop()

    assert Background(interrupted, "signals").wait(10.0)


def test_a_loop_that_rests_is_woken_by_a_signal() -> None:
    asked, woken = 0, threading.Event()
    overseer = Overseer(
        beat=Beat(),
        places=(),
        notifier=Notifier({}),
        signals=lambda: asked,
        run=lambda: None,
        deadline_seconds=1.0,
        wake=woken.set,
    )
    job = Background(lambda: overseer.watch(lambda: int(woken.wait(30.0))), "watch")
    assert not woken.wait(0.7)
    asked = 1
    assert job.wait(10.0)
    assert job.result() == 1


@pytest.mark.parametrize(
    ("mount", "advice"),
    [
        (Mount(mount_point="/", filesystem="ext4", source="/dev/sda1", read_only=False), "look at the disk"),
        (Mount(mount_point="/", filesystem="nfs4", source="server:/x", read_only=False), "`umount -f /`"),
        (Mount(mount_point="/", filesystem="fuse.sshfs", source="server:/x", read_only=False), "`umount -f /`"),
    ],
    ids=lambda each: each.filesystem if isinstance(each, Mount) else "",
)
def test_a_disk_of_this_machine_is_not_to_be_unmounted(
    mount: Mount, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainguard.daemon.overseer.read_mounts", lambda: [mount])
    said = _mounted(Path("/some/place"))
    assert advice in said
    assert ("umount" in said) == ("umount" in advice)


def test_the_main_thread_hears_a_signal_while_the_loop_hangs(tmp_path: Path) -> None:
    """In a process of its own: signals reach the main thread alone."""
    code = (
        "import os, signal, sys, time\n"
        "from trainguard.daemon.overseer import Beat, Overseer\n"
        "from trainguard.daemon.service import Notifier\n"
        "heard = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: heard.append(1))\n"
        "beat = Beat()\n"
        "o = Overseer(beat=beat, places=(), notifier=Notifier({}), signals=lambda: len(heard), run=lambda: None,\n"
        "    deadline_seconds=0.0, silent_seconds=0.2, leave=lambda code: os._exit(40 + code))\n"
        "import trainguard.daemon.overseer as module\n"
        "module._SPARE_SECONDS = 0.2\n"
        "print('ready', flush=True)\n"
        "o.watch(lambda: open(sys.argv[1]).read())\n"
    )
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "fifo")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(60.0) == 40 + EXIT_SILENT
