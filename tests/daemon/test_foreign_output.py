"""What a command under `trainguard run` reads and writes: as by itself, byte for byte."""

from __future__ import annotations

import os
import pty
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainguard.daemon.foreign_command import understand
from trainguard.daemon.foreign_output import Relay, Standard
from trainguard.daemon.foreign_run import ForeignRun, Settings
from trainguard.daemon.nanny import OUTPUT

BARS = r"""
import os, sys
sys.stdout.write("\x1b[32mgreen\x1b[0m\n"); sys.stdout.flush()
for n in range(5):
    sys.stderr.write(f"\r {n * 25}%|##| {n}/4"); sys.stderr.flush()
os.write(1, bytes(range(256)) + b"\nno end")
"""
WROTE = b"\x1b[32mgreen\x1b[0m\n"
BAR = b"".join(b"\r %d%%|##| %d/4" % (n * 25, n) for n in range(5))
REST = bytes(range(256)) + b"\nno end"


class Reader:
    """Collects what comes out of a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.content = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                block = os.read(self.descriptor, 65536)
            except OSError:
                return
            if not block:
                return
            self.content += block

    def all(self) -> bytes:
        self._thread.join(30)
        assert not self._thread.is_alive(), "somebody still holds the other end"
        return self.content


@pytest.fixture
def ends() -> Iterator[list[int]]:
    made: list[int] = []
    yield made
    for each in made:
        os.close(each)


def run(
    folder: Path, program: str, standard: Standard, **settings: Any
) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    made = ForeignRun(
        command=understand([sys.executable, "-c", program], working_directory=folder),
        folder=folder / "state",
        settings=Settings(retries=0),
        tell=lambda event, /, **values: told.append((event, values)),
        observe=lambda *_: (),
        standard=standard,
    )
    return made.run(), told


def test_two_pipes_each_get_their_own_bytes(tmp_path: Path, ends: list[int]) -> None:
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    ends += [out, err]
    said, erred = Reader(out), Reader(err)
    code, _ = run(tmp_path, BARS, Standard(stdout=to_out, stderr=to_err))
    os.close(to_out)
    os.close(to_err)
    assert code == 0
    assert said.all() == WROTE + REST
    assert erred.all() == BAR + b"\n", (
        "the bar's line is ended for trainguard's own last line, and nothing else is added"
    )
    assert sorted((tmp_path / "state/1" / OUTPUT).read_bytes()) == sorted(WROTE + BAR + REST)


def test_one_place_keeps_the_order_of_both(tmp_path: Path, ends: list[int]) -> None:
    out, to_out = os.pipe()
    ends.append(out)
    said = Reader(out)
    run(tmp_path, BARS, Standard(stdout=to_out, stderr=to_out))
    os.close(to_out)
    assert said.all() == WROTE + BAR + REST + b"\n"


def test_a_terminal_is_a_terminal_of_the_same_size(tmp_path: Path, ends: list[int]) -> None:
    ours, terminal = pty.openpty()
    ends.append(ours)
    termios.tcsetwinsize(terminal, (33, 77))
    said = Reader(ours)
    program = f"""
import os, sys
assert all(os.isatty(n) for n in (1, 2)), "no terminal"
print(tuple(os.get_terminal_size(1)), flush=True)
{BARS}
"""
    code, _ = run(tmp_path, program, Standard(stdout=terminal, stderr=terminal))
    os.close(terminal)
    assert code == 0, (tmp_path / "state/1" / OUTPUT).read_bytes()
    # Each line's end is made the terminal's once, not twice.
    assert said.all() == (b"(77, 33)\n" + WROTE + BAR + REST + b"\n").replace(b"\n", b"\r\n")


def test_its_input_is_what_the_supervisor_would_read(tmp_path: Path, ends: list[int]) -> None:
    stdin, to_stdin = os.pipe()
    ends.append(stdin)
    os.write(to_stdin, b"yes\nno\n")
    os.close(to_stdin)
    code, _ = run(tmp_path, "assert [input(), input()] == ['yes', 'no']", Standard(stdin=stdin))
    assert code == 0, (tmp_path / "state/1" / OUTPUT).read_bytes()


def test_without_an_input_it_reads_its_end(tmp_path: Path) -> None:
    code, _ = run(tmp_path, "import sys; assert sys.stdin.read() == ''", Standard())
    assert code == 0


def test_nothing_of_the_supervisor_is_open_in_the_command(tmp_path: Path) -> None:
    code, _ = run(
        tmp_path, "import os; assert sorted(map(int, os.listdir('/proc/self/fd')))[:-1] == [0, 1, 2]", Standard()
    )
    assert code == 0, (tmp_path / "state/1" / OUTPUT).read_bytes()


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path, ends: list[int]) -> None:
    out, to_out = os.pipe()
    ends.append(to_out)
    os.close(out)
    code, told = run(tmp_path, "for n in range(1000): print(n, flush=True)", Standard(stdout=to_out, stderr=to_out))
    assert code == 0
    assert (tmp_path / "state/1" / OUTPUT).read_bytes().endswith(b"\n999\n")
    assert [event for event, _ in told if event == "note"] == [], "as with any command before `head`"


def test_a_full_disk_ends_nothing_and_is_said(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)  # full(4): every write fails with ENOSPC
    try:
        code, told = run(tmp_path, "import time; print(1, flush=True); time.sleep(1)", Standard(stdout=full))
    finally:
        os.close(full)
    assert code == 0
    (note,) = [values["words"] for event, values in told if event == "note"]
    assert "No space left" in note


def test_a_reader_that_stands_still_keeps_nobody_from_the_run(tmp_path: Path, ends: list[int]) -> None:
    out, to_out = os.pipe()
    ends += [out, to_out]  # nobody reads: the pipe's 64 KiB are full at once
    code, _ = run(tmp_path, "print('x' * 1_000_000)", Standard(stdout=to_out))
    assert code == 0
    assert (tmp_path / "state/1" / OUTPUT).stat().st_size == 1_000_001


def test_what_a_relay_hands_on_is_in_order_and_whole(ends: list[int]) -> None:
    out, to_out = os.pipe()
    ends.append(out)
    os.set_blocking(to_out, False)  # somebody else's doing, such as node's
    relay = Relay(lambda words: pytest.fail(words))
    blocks = [bytes([n % 256]) * 5000 for n in range(200)]
    for each in blocks:
        relay.put(to_out, each)
    assert not relay.drain(0.2), "nobody reads yet"
    said = Reader(out)
    assert relay.drain(20)
    relay.close()
    os.close(to_out)
    assert said.all() == b"".join(blocks)


def test_a_prompt_that_was_killed_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    """A session of its own, whose foreground the supervisor is."""
    program = (
        "import os, sys, termios, time\n"
        "modes = termios.tcgetattr(0)\n"
        "modes[3] &= ~termios.ECHO\n"
        "termios.tcsetattr(0, termios.TCSANOW, modes)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    pid, ours = pty.fork()
    if pid == 0:
        code = 1
        try:
            run(tmp_path, program, Standard(stdin=0, stdout=1, stderr=2))
            code = 0 if termios.tcgetattr(0)[3] & termios.ECHO else 3
        finally:
            os._exit(code)
    until = time.monotonic() + 60
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.05)
    os.close(ours)
    assert os.waitstatus_to_exitcode(done[1]) == 0
