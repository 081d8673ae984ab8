"""SIGTERM and SIGINT save and stop, in one process and in two; SIGUSR1 writes the stacks down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.train.events import read_lines
from trainguard.train.heartbeat import read_heartbeats
from trainguard.train.stopping import StopSignals

SCRIPT = Path(__file__).with_name("run_guarded.py")
DEADLINE_SECONDS = 180.0


@contextmanager
def started(output: Path, *given: str, launcher: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, *launcher, str(SCRIPT), str(output), *given],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_step(output: Path, step: int) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < until:
        beats = read_heartbeats(output / "trainguard" / "heartbeat.jsonl")
        if beats and (beats[-1].step or 0) >= step:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{output} has not come to step {step}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_stop_saves_and_exits_with_75(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "10000", "0.05") as process:
        wait_for_step(tmp_path, 1)
        process.send_signal(number)
        asked = time.monotonic()
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 75, output
    assert time.monotonic() - asked < 25
    saved = latest_verified_checkpoint(tmp_path)
    assert saved is not None
    assert (saved / "trainguard.json").is_file()
    end = [line for line in read_lines(tmp_path / "trainguard" / "events.jsonl") if line["event"] == "end"]
    assert end[0]["exit_code"] == 75
    assert end[0]["verified"] == saved.name == f"checkpoint-{end[0]['step']}"
    assert end[0]["stopped"] == f"{number.name} was received"


def test_stacks_on_demand_and_a_return_where_asked_for(tmp_path: Path) -> None:
    with started(tmp_path, "10000", "0.05", "return") as process:
        wait_for_step(tmp_path, 1)
        process.send_signal(signal.SIGUSR1)
        stacks = tmp_path / "trainguard" / "stacks.txt"
        until = time.monotonic() + DEADLINE_SECONDS
        while "_inner_training_loop" not in stacks.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert "_inner_training_loop" in stacks.read_text()
    assert process.returncode == 0, output
    assert "with 75: SIGTERM was received" in output


def test_the_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    with started(tmp_path, "10000", "60") as process:
        until = time.monotonic() + DEADLINE_SECONDS
        while not (tmp_path / "trainguard" / "heartbeat.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert "once more with Ctrl-C stops at once" in output
    assert "KeyboardInterrupt" in output
    assert latest_verified_checkpoint(tmp_path) is None


def test_two_processes_decide_together(tmp_path: Path) -> None:
    """One of two processes is asked: both save, once, and end."""
    launcher = (
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-port=0",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
    )
    with started(tmp_path, "10000", "0.05", "gloo", "return", launcher=launcher) as process:
        wait_for_step(tmp_path, 1)
        beat = read_heartbeats(tmp_path / "trainguard" / "heartbeat.jsonl")[-1]
        other = next(each for each in workers(process.pid) if each != beat.pid)
        os.kill(other, signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, output
    returned = [line for line in output.splitlines() if line.startswith("returned at step")]
    assert len(returned) == 2, output
    assert returned[0].split(":")[0] == returned[1].split(":")[0]
    assert "with 75" in returned[0]
    saved = latest_verified_checkpoint(tmp_path)
    assert saved is not None
    assert {"rng_state_0.pth", "rng_state_1.pth", "trainguard.json"} <= {each.name for each in saved.iterdir()}


def workers(parent: int) -> list[int]:
    """The processes that a launcher has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


# In this process.


def test_after_an_exception_a_signal_does_what_it_always_did() -> None:
    training = True
    got: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    stop = StopSignals(deadline_seconds=5, is_training=lambda frame: training)
    try:
        assert stop.install()
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.requested, got) == ("SIGTERM", [])
        training = False  # an exception has ended the loop, and no hook came any more
        os.kill(os.getpid(), signal.SIGTERM)
        assert got == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert got == [signal.SIGTERM] * 2
    finally:
        stop.restore()
        signal.signal(signal.SIGTERM, previous)


def test_deadline_and_threads() -> None:
    import threading

    now = 10.0
    stop = StopSignals(deadline_seconds=5, clock=lambda: now)
    assert stop.remaining() == 5
    installed: list[bool] = []
    thread = threading.Thread(target=lambda: installed.append(stop.install()))
    thread.start()
    thread.join()
    assert installed == [False]
    assert stop.install()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        now = 12.0
        assert stop.remaining() == 3
        now = 20.0
        assert stop.remaining() == 0
    finally:
        stop.restore()


def test_ignored_signals_stay_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = StopSignals(deadline_seconds=5)
    try:
        stop.install()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        stop.restore()
        signal.signal(signal.SIGINT, previous)
