"""Hangs as a watcher sees them: heartbeats in a file, real processes where their state matters, a clock of our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from trainguard.daemon.child import Child
from trainguard.daemon.hang import FLOORS, HangWatch, ask_for_stacks
from trainguard.daemon.processes import Process


class Run:
    """A run's heartbeats, and a clock that both sides share."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.path = folder / "trainguard" / "heartbeat.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def watch(
        self,
        *,
        hang_seconds: float | None = None,
        every_phase: bool = False,
        tree: Callable[[], Iterable[Process]] | None = None,
    ) -> HangWatch:
        return HangWatch(
            self.folder, hang_seconds=hang_seconds, every_phase=every_phase, tree=tree, clock=lambda: self.now
        )

    def beat(self, phase: str, step: int | None = None, *, pid: int = 4242, time: float = 0.0) -> None:
        line = {"t": self.now, "time": time, "pid": pid, "phase": phase, "step": step}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def steps(self, watch: HangWatch, number: int, seconds: float) -> None:
        for step in range(number):
            self.now += seconds
            self.beat("train", step)
            assert watch.look() is None

    def silence(self, watch: HangWatch, seconds: float) -> float | None:
        """After how many seconds a hang is said."""
        start = self.now
        while self.now - start < seconds:
            self.now += 1.0
            if watch.look() is not None:
                return self.now - start
        return None


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_each_phase_has_its_patience(run: Run) -> None:
    for phase, floor in FLOORS.items():
        if phase in ("train", "unknown"):
            continue
        watch = run.watch()
        run.beat(phase)
        assert run.silence(watch, 2 * floor) == pytest.approx(floor, abs=3)


def test_a_run_that_never_says_anything(run: Run) -> None:
    watch = run.watch()
    assert run.silence(watch, 4000) == pytest.approx(1800, abs=3)
    found = watch.look()
    assert found is not None
    assert "before its first sign of life" in found.why


def test_a_step_of_a_fast_run(run: Run) -> None:
    watch = run.watch()
    run.steps(watch, 20, 0.5)
    assert run.silence(watch, 4000) == pytest.approx(600, abs=3)
    found = watch.look()
    assert found is not None
    assert (found.phase, found.step, found.pid, found.stopped) == ("train", 19, 4242, False)
    assert found.why.startswith("no sign of life for 600 s in phase train at step 19, where 600 s are given")


def test_a_slow_run_is_given_more(run: Run) -> None:
    """Steps of eight minutes: the first was twenty, for it compiled."""
    watch = run.watch()
    run.beat("train", 0)
    watch.look()
    run.steps(watch, 1, 1200)
    assert watch.budget_seconds == pytest.approx(2400)
    run.steps(watch, 4, 480)
    assert run.silence(watch, 9000) == pytest.approx(2400, abs=3)


def test_the_first_step_may_be_slow(run: Run) -> None:
    watch = run.watch()
    run.beat("train", 0)
    assert run.silence(watch, 1700) is None
    run.beat("train", 1)
    assert watch.look() is None


def test_one_long_stop_is_no_measure_of_the_steps(run: Run) -> None:
    watch = run.watch()
    run.steps(watch, 10, 1.0)
    run.steps(watch, 1, 500.0)
    run.steps(watch, 10, 1.0)
    assert watch.budget_seconds == 600


def test_saves_are_measured_by_saves(run: Run) -> None:
    watch = run.watch()
    run.steps(watch, 5, 1.0)
    run.beat("save", 5)
    run.now += 1000
    run.steps(watch, 5, 1.0)
    assert watch.budget_seconds == 600
    run.beat("save", 10)
    watch.look()
    assert watch.budget_seconds == pytest.approx(5000, abs=10)


def test_the_users_word_goes_for_steps_alone(run: Run) -> None:
    watch = run.watch(hang_seconds=30)
    run.beat("load")
    watch.look()
    assert watch.budget_seconds == 1800
    run.steps(watch, 5, 1.0)
    assert run.silence(watch, 100) == pytest.approx(30, abs=1)
    assert run.watch(hang_seconds=30, every_phase=True).budget_seconds == 30


def test_signs_of_earlier_attempts_are_none(run: Run) -> None:
    run.beat("save", 7)
    watch = run.watch()
    assert watch.look() is None
    assert watch.phase == "unknown"


def test_clocks_that_jump_change_nothing(run: Run) -> None:
    watch = run.watch()
    for step, wall in enumerate((1e9, 0.0, 5e9, 1.0)):
        run.now += 1
        run.beat("train", step, time=wall)
        assert watch.look() is None
    assert watch.silent_seconds == 0


def test_a_watcher_that_was_away_holds_nothing_against_the_run(run: Run) -> None:
    """It slept, with the machine or stopped: a night passed, of which a minute counts."""
    watch = run.watch()
    run.steps(watch, 5, 1.0)
    run.now += 30_000
    assert watch.look() is None
    assert watch.silent_seconds == 60


def test_a_week_of_heartbeats_is_read_from_its_end(run: Run) -> None:
    watch = run.watch()
    line = json.dumps({"t": 1.0, "time": 1.0, "pid": 1, "phase": "train", "step": 3}) + "\n"
    with run.path.open("a") as file:
        file.write(line * 800_000)  # 56 MB
    begun = time.process_time()  # a busy machine makes nothing slower on this clock
    assert watch.look() is None
    assert time.process_time() - begun < 2.0
    assert watch.last is not None


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}\n",
        b"{\n",
        b"[" * 100_000 + b"\n",
        b'{"t": "x", "time": 1, "pid": 1, "phase": "train"}\n',
        b'{"t": 1, "time": 1, "pid": 1, "phase": "dance"}\n',
        b'{"t": 1, "time": 1, "pid": -4, "phase": "train", "step": 99999999999999999999999}\n',
        b'{"t": Infinity, "time": 1, "pid": 1, "phase": "train"}\n',
        b'{"t": 1' + b"0" * 400 + b', "time": 1, "pid": 1, "phase": "train"}\n',
        b"null\n\n\0\0\0\n",
    ],
)
def test_what_is_no_heartbeat_is_no_sign_of_life(run: Run, content: bytes) -> None:
    watch = run.watch()
    with run.path.open("ab") as file:
        file.write(content)
    run.now += 10
    watch.look()
    assert watch.silent_seconds == 10


def test_a_file_that_was_replaced_is_read_anew(run: Run) -> None:
    watch = run.watch()
    run.steps(watch, 50, 1.0)
    run.path.unlink()
    run.now += 5
    run.beat("save", 51)
    assert watch.look() is None
    assert watch.phase == "save"


def wait_for_bytes(pid: int, count: int) -> None:
    counters = psutil.Process(pid).io_counters
    enough, end = counters().read_chars + count, time.monotonic() + 60
    while counters().read_chars < enough:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_download_is_no_hang(run: Run) -> None:
    """In a phase without other signs of life: bytes that move, of a real process."""
    reads = "d=open('/dev/zero','rb')\nimport time\nwhile True: d.read(1<<20); time.sleep(0.001)"
    with subprocess.Popen([sys.executable, "-c", reads]) as busy:
        tree = [Process(busy.pid, "python", "S", 1, 1, 1)]
        watch = run.watch(tree=lambda: tree)
        run.beat("load")
        watch.look()
        for _ in range(40):
            run.now += 59
            # The clock of this test runs ahead: at 64 KiB a second of it, 4 MB have to move.
            wait_for_bytes(busy.pid, 8 << 20)
            assert watch.look() is None
        busy.kill()
        busy.wait()
        assert run.silence(watch, 4000) == pytest.approx(1800, abs=60)


def test_a_stopped_process_is_said_to_be_stopped(run: Run) -> None:
    with subprocess.Popen(["/bin/sleep", "300"]) as other:
        watch = run.watch(hang_seconds=5)
        for step in range(3):
            run.now += 1
            run.beat("train", step, pid=other.pid)
        watch.look()
        other.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, other.pid, os.WSTOPPED)
        assert run.silence(watch, 20) == pytest.approx(5, abs=1)
        found = watch.look()
        assert found is not None
        assert found.stopped
        assert f"kill -CONT {other.pid}" in found.why
        other.kill()


_HOLDS_THE_LOCK = """
import faulthandler, re, signal, sys
faulthandler.register(signal.SIGUSR1, file=open(sys.argv[1], "a"), all_threads=True)
print("ready", flush=True)
def caught_in_a_pattern():
    re.match(r"(a+)+$", "a" * 60 + "b")
caught_in_a_pattern()
"""


def test_stacks_of_a_process_that_holds_the_interpreters_lock(tmp_path: Path) -> None:
    stacks = tmp_path / "stacks.txt"
    child = Child.start([sys.executable, "-c", _HOLDS_THE_LOCK, str(stacks)], folder=tmp_path / "1")
    try:
        end = time.monotonic() + 60
        while b"ready" not in (tmp_path / "1" / "output.log").read_bytes() and time.monotonic() < end:
            time.sleep(0.02)
        assert child.pid is not None
        assert ask_for_stacks(child.pid, stacks=stacks, deadline_seconds=60.0)
        assert "caught_in_a_pattern" in stacks.read_text()
    finally:
        child.kill()
        found = child.wait(60)
    assert found is not None
    assert found.signal == signal.SIGKILL


def test_who_has_no_handler_is_not_asked(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "300"]) as other:
        assert not ask_for_stacks(other.pid, stacks=tmp_path / "stacks.txt")
        assert other.poll() is None
        other.kill()
    assert not ask_for_stacks(other.pid, stacks=tmp_path / "stacks.txt")


def test_the_time_between_two_processes_is_no_silence_of_the_run(run: Run) -> None:
    """Heartbeats of the process before may still come in; what lies between is not what the new one may need."""
    watch = run.watch()
    run.beat("train", 6, pid=1)
    run.beat("train", 7, pid=1)
    run.now += 20_000
    run.beat("train", 8, pid=2)
    run.now += 20_000
    run.beat("save", 8, pid=3)
    run.now += 20_000
    run.beat("train", 9, pid=4)
    assert watch.look() is None
    assert watch.budget_seconds == 1800  # as before the first step of any process: it may compile
    run.beat("train", 10, pid=4)
    assert watch.look() is None
    assert watch.budget_seconds == 600
    run.beat("save", 10, pid=4)
    assert watch.look() is None
    assert run.silence(watch, 4000) == pytest.approx(FLOORS["save"], abs=3)
