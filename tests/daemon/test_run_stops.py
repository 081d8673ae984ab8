"""How a command under `trainguard run` is stopped, by whatever signal."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.daemon.running import RESUME, Run, alive, running, until

run = pytest.fixture(running)


def test_sigterm_goes_to_the_command_and_nothing_is_tried_again(run: Run) -> None:
    before = """
    def asked(*_):
        save(2)
        Path("asked").touch()
        sys.exit(75)
    signal.signal(signal.SIGTERM, asked)
    Path("ready").touch()
    time.sleep(600)
    """
    run.start(*RESUME, before=before)
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    code, _, lines = run.end()
    assert code == 75
    assert (run.folder / "asked").exists()
    assert len(run.attempts()) == 1
    assert lines[-1]["event"] == "done"


def test_a_terminal_that_closes_lets_the_command_save(run: Run) -> None:
    before = """
    def asked(*_):
        Path("asked").touch()
        sys.exit(75)
    signal.signal(signal.SIGTERM, asked)
    Path("ready").touch()
    time.sleep(600)
    """
    run.start(*RESUME, before=before)
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.send_signal(signal.SIGHUP)
    assert run.end()[0] == 75
    assert (run.folder / "asked").exists()
    assert len(run.attempts()) == 1


def test_ctrl_c_is_an_interrupt_and_twice_is_enough(run: Run) -> None:
    before = """
    Path("ready").touch()
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            Path("interrupted").touch()
    """
    run.start(*RESUME, before=before)
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.send_signal(signal.SIGINT)
    until(lambda: (run.folder / "interrupted").exists())
    assert run.process.poll() is None, "it has the stop deadline to save in"
    time.sleep(0.3)
    run.process.send_signal(signal.SIGINT)
    code, _, lines = run.end(20)
    assert code == 128 + signal.SIGKILL
    assert len(run.attempts()) == 1
    assert lines[-1]["event"] == "done"


@pytest.mark.parametrize("wrapper", ["shell", "python"])
def test_a_stop_reaches_the_run_behind_a_wrapper(run: Run, wrapper: str) -> None:
    """A shell and `accelerate launch` die of SIGTERM and tell nobody; the run behind them is the one that saves."""
    before = """
    def asked(*_):
        save(2)
        Path("asked").touch()
        sys.exit(0)
    signal.signal(signal.SIGTERM, asked)
    Path("ready").touch()
    time.sleep(600)
    """
    own = shlex.join([sys.executable, "train.py", "--output_dir", "out"])
    call = f"import subprocess, sys; sys.exit(subprocess.call({own!r}.split()))"
    words = {
        "shell": ("bash", "-c", f"{own}; code=$?; touch after; exit $code"),
        "python": (sys.executable, "-c", call),
    }
    run.start("--output-dir", "out", before=before, command=words[wrapper])
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 0
    assert (run.folder / "asked").exists()
    assert (run.folder / "after").exists() == (wrapper == "shell"), "the wrapper goes on as it was written"


def test_nothing_is_left_when_the_supervisor_is_killed(run: Run) -> None:
    before = """
    import subprocess
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path("child").write_text(str(child.pid))
    Path("ready").touch()
    time.sleep(600)
    """
    run.start(before=before)
    until(lambda: (run.folder / "ready").exists())
    assert run.process is not None
    run.process.kill()
    run.process.wait()
    pids = [int((run.folder / "child").read_text()), run.attempts()[0]["pid"]]
    until(lambda: not any(alive(pid) for pid in pids))


class Terminal:
    """`trainguard run` in the foreground of a terminal of its own."""

    def __init__(self, folder: Path, program: str) -> None:
        (folder / "program.py").write_text(program, encoding="utf-8")
        self.pid, self._ours = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            words = [sys.executable, "-m", "trainguard", "run", "--state-dir", "state", "--", sys.executable]
            os.execv(sys.executable, [*words, "program.py"])
        self.said = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):
            while block := os.read(self._ours, 4096):
                self.said += block

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self) -> int:
        try:
            end = time.monotonic() + 60
            while (done := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
                assert time.monotonic() < end, self.said
                time.sleep(0.05)
            self._thread.join(10)
            return os.waitstatus_to_exitcode(done[1])
        finally:
            os.close(self._ours)


def test_ctrl_c_at_a_terminal(tmp_path: Path) -> None:
    program = (
        "import time\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    time.sleep(600)\n"
        "except KeyboardInterrupt:\n"
        "    print('saved', flush=True)\n"
        "    raise SystemExit(7)\n"
    )
    terminal = Terminal(tmp_path, program)
    until(lambda: b"ready" in terminal.said)
    terminal.press(b"\x03")
    assert terminal.end() == 7
    assert b"saved\r\n" in terminal.said
    assert b"stopped on request" in terminal.said


def test_ctrl_z_stops_the_command_too(tmp_path: Path) -> None:
    program = "import os; print('pid', os.getpid(), flush=True); answer = input('go on? '); print('said', answer)"
    terminal = Terminal(tmp_path, program)
    until(lambda: b"go on? " in terminal.said)
    pid = int(terminal.said.partition(b"\npid ")[2].split()[0])
    terminal.press(b"\x1a")
    until(lambda: state(terminal.pid) == "T" and state(pid) == "T")
    os.kill(terminal.pid, signal.SIGCONT)
    until(lambda: state(pid) == "S")
    terminal.press(b"yes\n")
    assert terminal.end() == 0
    assert b"said yes" in terminal.said


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def test_signals_that_come_at_once_find_no_lock_of_one_another(tmp_path: Path) -> None:
    """A terminal and a wrapper both send Ctrl-C; its handler may interrupt itself, and the wait of the main thread."""
    code = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from trainguard.daemon.foreign_command import understand\n"
        "from trainguard.daemon.foreign_run import ForeignRun, Settings\n"
        "run = ForeignRun(command=understand(['true'], working_directory=Path.cwd()), folder=Path.cwd(),\n"
        "    settings=Settings(), tell=lambda *_, **__: None, observe=lambda *_: ())\n"
        "for each in (signal.SIGTERM, signal.SIGINT):\n"
        "    signal.signal(each, lambda number, _: run.ask(number))\n"
        "over = time.monotonic() + 2.0\n"
        "def send():\n"
        "    while time.monotonic() < over:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "sender = threading.Thread(target=send)\n"
        "sender.start()\n"
        "while time.monotonic() < over:\n"
        "    run.stop.wait(0.001)\n"
        "sender.join()\n"
        "print('whole')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.stdout == b"whole\n", done.stderr.decode()[-1000:]
