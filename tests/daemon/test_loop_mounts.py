"""Disks that do not answer, and mounts that are gone for a while: real ones, under a real daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.mounts import bind, can_mount, dead, detach
from tests.daemon.serving import Place, once_each
from trainguard.queue.place import MARK


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    if not can_mount(tmp_path / "probe"):
        pytest.skip("needs /dev/fuse and mounting")
    made = Place.made(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def shared(place: Place) -> Iterator[Place]:
    """Its output folder lies on a mount of its own; what is on it is in `share`."""
    (place.folder / "share").mkdir()
    place.out.mkdir()
    bind(place.folder / "share", place.out)
    yield place
    place.end()
    with contextlib.suppress(OSError):  # there is nothing mounted any more
        while True:
            detach(place.out)


def _here_again(place: Place) -> None:
    bind(place.folder / "share", place.out)


def _pid_of_run(place: Place) -> int:
    (begun,) = place.events("attempt-start")
    return int(begun.data["pid"])


def test_a_dead_mount_is_said_the_run_goes_on_and_so_does_the_daemon_after_it(place: Place) -> None:
    place.put("a.jsonl", 120)
    place.put("b.jsonl", 4)
    place.fault(step_seconds=0.3)
    daemon = place.daemon("--silent", "1")
    place.until_step(2)
    run = _pid_of_run(place)
    with dead(place.out):
        place.until(lambda: "has not answered for" in place.log(), seconds=60)
        os.kill(run, 0)
        said = next(line for line in place.log().splitlines() if "has not answered" in line)
        assert f"SYS012 the file system of {place.out}" in said
        assert f"(fuse from dead): look at its server, or end the waiting with `umount -f {place.out}`" in said
        assert "the run in training goes on by itself" in said
    assert daemon.wait(120) == 0, place.log()[-2000:]
    assert "answers again; it did not for" in place.log()
    assert once_each(place.trained(), place.rows, ["a.jsonl", "b.jsonl"])
    told = [each for each in place.events("finding") if each.data["finding"]["code"] == "SYS012"]
    assert len(told) == 1, "once, when it could be written"


@pytest.mark.slow
def test_who_stops_a_daemon_on_a_dead_mount_is_heard(place: Place) -> None:
    place.configure(guard={"retry_delay_seconds": 0.05, "stop_deadline_seconds": 5})
    place.put("a.jsonl", 400)
    place.fault(step_seconds=0.3)
    daemon = place.daemon("--silent", "1", "--forever")
    place.until_step(1)
    run = _pid_of_run(place)
    with dead(place.out):
        place.until(lambda: "has not answered for" in place.log(), seconds=60)
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 1
        assert "asked to stop, and the loop does not come round" in place.log()
    place.until(lambda: not Path(f"/proc/{run}").exists(), seconds=60)
    place.fault(step_seconds=0.0)
    assert place.serve() == 0
    assert once_each(place.trained(), place.rows, ["a.jsonl"])


@pytest.mark.slow
def test_the_watchdog_hears_of_a_daemon_that_waits_for_a_dead_mount(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"trainguard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address}")
        manager.settimeout(30.0)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{address}")
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        place.daemon("--silent", "1", "--forever")
        while b"READY=1" not in manager.recv(4096):
            pass
        with dead(place.out):
            place.until(lambda: "has not answered for" in place.log(), seconds=60)
            manager.setblocking(False)
            with contextlib.suppress(BlockingIOError):  # what was said before
                while True:
                    manager.recv(4096)
            manager.settimeout(20.0)
            signs = [manager.recv(4096) for _ in range(3)]
            assert signs.count(b"WATCHDOG=1") >= 2
        place.end()


def test_a_share_that_goes_away_is_waited_for_and_nothing_is_made_in_its_place(shared: Place) -> None:
    shared.put("a.jsonl")
    shared.daemon("--forever")
    shared.until(lambda: "a.jsonl is done now" in shared.log())
    detach(shared.out)
    shared.until(lambda: "the daemon waits" in shared.log() or "is not the queue's folder now" in shared.log())
    shared.put("b.jsonl", 8)
    time.sleep(3.0)
    assert os.listdir(shared.out) == []
    assert (shared.folder / "inbox" / "b.jsonl").exists()
    _here_again(shared)
    shared.until(lambda: "b.jsonl is done now" in shared.log())
    assert once_each(shared.trained(), shared.rows, ["a.jsonl", "b.jsonl"])
    assert shared.states() == {"a.jsonl": "done", "b.jsonl": "done"}


def test_a_share_that_goes_away_under_a_run_costs_no_file_and_no_step(shared: Place) -> None:
    shared.put("a.jsonl", 40)
    shared.fault(step_seconds=0.1)
    shared.daemon("--forever")
    shared.until_step(6)
    detach(shared.out)
    shared.until(lambda: "the daemon waits" in shared.log() or "is not the queue's folder now" in shared.log())
    time.sleep(3.0)
    assert not (shared.out / "queue").exists()
    assert not list(shared.out.glob("checkpoint-*"))
    # The stand-in of a trainer had its folder open; what it wrote to the bare mount point goes with it.
    _here_again(shared)
    shared.until(lambda: "a.jsonl is done now" in shared.log())
    assert once_each(shared.trained(), shared.rows, ["a.jsonl"])


@pytest.mark.slow
def test_a_daemon_that_starts_before_its_share_waits_for_it(shared: Place) -> None:
    shared.put("a.jsonl")
    assert shared.serve() == 0
    number = (shared.home / MARK).read_text()
    detach(shared.out)
    shared.put("b.jsonl")
    assert shared.serve() != 0, "--until-empty does not wait"
    assert "is not mounted" in shared.log()
    assert os.listdir(shared.out) == []
    shared.daemon("--forever")
    shared.until(lambda: "the daemon waits: " in shared.log())
    add = ["queue", "add", str(shared.folder / "inbox" / "b.jsonl"), "--config", str(shared.config)]
    command = [sys.executable, "-m", "trainguard", *add]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (asked.returncode, "is not mounted" in asked.stderr) == (2, True), asked.stderr
    assert os.listdir(shared.out) == []
    _here_again(shared)
    shared.until(lambda: "b.jsonl is done now" in shared.log())
    assert (shared.home / MARK).read_text() == number
    assert once_each(shared.trained(), shared.rows, ["a.jsonl", "b.jsonl"])


@pytest.mark.slow
def test_a_folder_that_was_removed_on_the_same_mount_may_begin_anew(shared: Place) -> None:
    shared.put("a.jsonl")
    assert shared.serve() == 0
    for each in shared.out.iterdir():
        subprocess.run(["rm", "-r", str(each)], check=True)
    shared.put("a.jsonl")
    assert shared.serve() == 0
    assert once_each(shared.trained(), shared.rows, ["a.jsonl"])
