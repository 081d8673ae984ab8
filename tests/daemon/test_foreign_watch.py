"""When a script without heartbeats is taken to hang, and when it is only slow."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trainguard.daemon import foreign_watch
from trainguard.daemon.foreign_watch import ForeignWatch
from trainguard.daemon.processes import Process

HALF_AN_HOUR = 1800.0


@dataclass
class Run:
    """A command as the watcher sees it: its clock, its words, its processes' work."""

    folder: Path
    hang_seconds: float | None = None
    now: float = 1000.0
    taken: int = 0
    last: bytes = b""
    is_held: bool = False
    has_person: bool = False
    seconds: float = 0.0
    moved: int = 0
    state: str = "S"
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = ForeignWatch(
            self.folder / "output.log",
            output_dir=None,
            hang_seconds=self.hang_seconds,
            began=0.0,
            tree=lambda: [Process(os.getpid(), "python", self.state, 1, 1, 1)],
            spoken=self,
            clock=lambda: self.now,
        )

    def write(self, words: bytes) -> None:
        self.taken += len(words)
        self.last = words

    def wait(self, seconds: float, *, step: float = 10.0, cpu: float = 0.0, bytes_: int = 0) -> str | None:
        """Lets time pass with so much work a second; the hang that is seen on the way."""
        until = self.now + seconds
        while self.now < until:
            self.now += step
            self.seconds += cpu * step
            self.moved += int(bytes_ * step)
            hang = self.watch.hang()
            if (remark := self.watch.remark()) is not None:
                self.said.append(remark)
            if hang is not None:
                return hang
        return None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    monkeypatch.setattr(foreign_watch, "_effort", lambda _: (made.seconds, made.moved))
    return made


def test_silence_without_work_is_a_hang_after_half_an_hour(run: Run) -> None:
    run.write(b"step 10 loss 2.3\n")
    assert run.wait(HALF_AN_HOUR - 20) is None
    hang = run.wait(100)
    assert hang is not None
    assert "30 minutes" in hang


def test_bars_with_carriage_returns_alone_are_words(run: Run) -> None:
    for n in range(400):
        run.write(b"\rDownloading:  %d%%" % n)
        assert run.wait(60) is None


@pytest.mark.parametrize(("cpu", "bytes_"), [(1.0, 0), (0.01, 0), (0.0, 5_000)])
def test_a_long_evaluation_a_mapping_and_a_save_are_work(run: Run, cpu: float, bytes_: int) -> None:
    run.write(b"Map (num_proc=4)\n")
    assert run.wait(12 * 3600, cpu=cpu, bytes_=bytes_) is None


def test_idle_threads_are_no_work(run: Run) -> None:
    assert run.wait(2 * HALF_AN_HOUR, cpu=0.001) is not None


def test_a_run_that_often_waits_in_silence_is_given_more(run: Run) -> None:
    for _ in range(3):
        run.write(b"step\n")
        assert run.wait(1500) is None
    run.write(b"step\n")
    assert run.wait(4 * 1500) is None
    hang = run.wait(2 * 1500)
    assert hang is not None


def test_hours_of_work_in_silence_are_said_once_and_not_ended(run: Run) -> None:
    for _ in range(5):
        run.write(b"step\n")
        run.wait(20)
    assert run.wait(5 * 3600, cpu=1.0) is None
    (said,) = run.said
    assert "--hang-seconds" in said
    run.write(b"step\n")
    assert run.wait(600, cpu=1.0) is None
    assert len(run.said) == 1


def test_somebody_at_a_debugger_is_waited_for(run: Run) -> None:
    run.has_person = True
    run.write(b"> train.py(12)\n(Pdb) ")
    assert run.wait(10 * HALF_AN_HOUR) is None
    run.has_person = False
    assert run.wait(2 * HALF_AN_HOUR) is not None


def test_a_bar_of_progress_asks_nobody(run: Run) -> None:
    run.has_person = True
    run.write(b"\r 10%|#         | 10/100 [00:01<00:09,  9.80it/s]")
    assert run.wait(2 * HALF_AN_HOUR) is not None


def test_one_that_was_stopped_by_hand_does_not_hang(run: Run) -> None:
    run.state = "T"
    assert run.wait(10 * HALF_AN_HOUR) is None
    (said,) = run.said
    assert f"kill -CONT {os.getpid()}" in said


def test_time_in_which_nobody_looked_does_not_count(run: Run) -> None:
    run.write(b"step\n")
    run.wait(10)
    assert run.wait(10 * HALF_AN_HOUR, step=5 * HALF_AN_HOUR) is None  # the supervisor was stopped with Ctrl-Z


def test_words_that_are_kept_from_their_reader_are_no_silence(run: Run) -> None:
    run.is_held = True
    assert run.wait(10 * HALF_AN_HOUR) is None


def test_the_users_own_limit_counts_whatever_the_processes_do(tmp_path: Path) -> None:
    run = Run(tmp_path, hang_seconds=60.0)
    run.write(b"step\n")
    assert run.wait(50) is None
    hang = run.wait(30, cpu=1.0)
    assert hang is not None
    assert "--hang-seconds is 60" in hang
