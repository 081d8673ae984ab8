"""What stands between a command that somebody else has written and the terminal, pipe or file that has its words.

The command gets what it would have had by itself: its standard input as it is, a terminal where the supervisor's own
output is one (so that colours and bars of progress stay), else a pipe, and two of them where stdout and stderr go to
two places. Every byte goes to the attempt's log first and then on, unchanged and in the order in which it came. A
reader that is slow or has gone away, or a full disk, never ends the run.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = 1 << 16
# Words that nobody takes. Beyond this the command waits, as it would have waited for its terminal.
_MOST_WAITING = 64 << 20
_LAST_BYTES = 256
# After the command's end: who holds its outputs still is a process that would not die.
_END_SECONDS = 2.0
_TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """The supervisor's own three descriptors. `stdin` None is an empty input, an output None goes to the log alone."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


class Relay:
    """Hands words on in a thread of its own, so that a reader who stands still keeps nobody from looking after the run.

    `lost` is told once for every descriptor of which words were lost, and why.
    """

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost
        self._gone: set[int] = set()
        self._told: set[int] = set()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._busy = False
        self._open_lines: dict[tuple[int, int], bool] = {}
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="relay", daemon=True).start()

    def put(self, descriptor: int, block: bytes) -> None:
        """Waits while too much is waiting."""
        with self._changed:
            while self._bytes > _MOST_WAITING and not self._closed:
                self._changed.wait(_TICK_SECONDS)
            if self._closed or descriptor in self._gone:
                return
            self._waiting.append((descriptor, block))
            self._bytes += len(block)
            if block and (place := _place(descriptor)) is not None:
                self._open_lines[place] = not block.endswith(b"\n")
            self._changed.notify_all()

    def end_line(self, descriptor: int, *, seconds: float) -> None:
        """Makes room for a line of somebody else's: what was said before is handed on, and a line that has not ended,
        such as a bar of progress, is ended."""
        with self._changed:
            is_open = self._open_lines.get(_place(descriptor) or (0, 0), False)
        if is_open:
            self.put(descriptor, b"\n")
        self.drain(seconds)

    @property
    def is_full(self) -> bool:
        return self._bytes > _MOST_WAITING

    def drain(self, seconds: float) -> bool:
        """Waits until all was handed on, for `seconds` at most; whether it was."""
        until = time.monotonic() + seconds
        with self._changed:
            while (self._waiting or self._busy) and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return not self._waiting and not self._busy

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                descriptor, block = self._waiting.popleft()
                self._bytes -= len(block)
                self._busy = True
            self._write(descriptor, block)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _write(self, descriptor: int, block: bytes) -> None:
        view = memoryview(block)
        while view and descriptor not in self._gone:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:  # somebody has made it so, and it is not ours alone to change
                select.select([], [descriptor], [], _TICK_SECONDS)
            except OSError as error:
                # A full disk may be there again for the next words; a reader that has gone does not come back.
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    self._gone.add(descriptor)
                if error.errno != errno.EPIPE and descriptor not in self._told:
                    self._told.add(descriptor)
                    self._lost(
                        f"what the command says cannot be passed on ({error.strerror}); the log of the attempt has it"
                    )
                return


class Outputs:
    """The three descriptors of one attempt's command, and what comes out of them. `begin` once the command was started
    with `standard`; `finish` after its end."""

    def __init__(self, log: Path, whose: Standard, relay: Relay) -> None:
        self.taken = 0  # bytes so far, by which a silence is known
        self.last = b""
        self._relay = relay
        self._whose = whose
        self._log: int | None = None
        with suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._thread: threading.Thread | None = None
        self._finish_at: float | None = None
        self._readers: dict[int, int | None] = {}  # ours, and the supervisor's descriptor that is to have it
        self._screens: dict[int, int] = {}
        self._modes = _modes(whose.stdin)
        self._input = _input(whose.stdin)
        self._out = self._channel(whose.stdout)
        self._err = self._out if _same(whose.stdout, whose.stderr) else self._channel(whose.stderr)

    @property
    def standard(self) -> tuple[int, int, int]:
        """For the command: its input, output and errors."""
        return self._input, self._out, self._err

    @property
    def is_held(self) -> bool:
        """Whether the command's words are kept from their reader, so that it may have to wait."""
        return self._relay.is_full

    @property
    def has_person(self) -> bool:
        """Whether somebody may answer what the command asks."""
        return self._whose.stdin is not None and os.isatty(self._whose.stdin)

    def begin(self) -> None:
        """Gives up the command's ends, and passes on what comes from now on."""
        for each in {self._input, self._out, self._err}:
            os.close(each)
        self._thread = threading.Thread(target=self._pump, name="outputs", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Takes what is left once the command has ended."""
        self._finish_at = time.monotonic() + _END_SECONDS
        if self._thread is not None:
            self._thread.join(2 * _END_SECONDS)
        if self._modes is not None and self._whose.stdin is not None and _is_ours(self._whose.stdin):
            # One that was killed in the middle of a prompt has left the terminal without echo.
            _set_modes(self._whose.stdin, self._modes)

    def _channel(self, target: int | None) -> int:
        """A way to `target`; the command's end of it."""
        if target is not None and os.isatty(target) and (screen := _screen(target)) is not None:
            ours, its = screen
            self._screens[ours] = target
        else:
            ours, its = os.pipe()
        self._readers[ours] = target
        return _high(its)

    def _pump(self) -> None:
        poll = select.poll()
        for each in self._readers:
            poll.register(each, select.POLLIN)
        open_ = set(self._readers)
        while open_ and (self._finish_at is None or time.monotonic() < self._finish_at):
            for ours, _ in poll.poll(_TICK_SECONDS * 1000 if self._finish_at is None else 50):
                try:
                    block = os.read(ours, _BLOCK)
                except OSError:  # EIO: the last holder of a terminal's other end has gone (pty(7))
                    block = b""
                if not block:
                    poll.unregister(ours)
                    open_.discard(ours)
                    continue
                self._take(block, self._readers[ours])
            for ours, target in self._screens.items():
                _copy_size(target, ours)
        for ours in self._readers:
            os.close(ours)
        if self._log is not None:
            os.close(self._log)

    def _take(self, block: bytes, target: int | None) -> None:
        if self._log is not None:
            view = memoryview(block)
            with suppress(OSError):  # a full disk is no reason to keep the words from their reader
                while view:
                    view = view[os.write(self._log, view) :]
        self.last = (self.last + block)[-_LAST_BYTES:]
        self.taken += len(block)
        if target is not None:
            self._relay.put(target, block)


def _place(descriptor: int) -> tuple[int, int] | None:
    try:
        about = os.fstat(descriptor)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _same(one: int | None, other: int | None) -> bool:
    """Whether two descriptors lead to the same place: then one channel keeps the order of what is said in both."""
    if one is None or other is None:
        return one is other
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


def _input(stdin: int | None) -> int:
    """The supervisor's own input for the command; an empty one where there is none, or where it is the terminal of a
    shell that has put this job into the background: the command would take what is typed for the shell."""
    with suppress(OSError):
        if stdin is not None and (not os.isatty(stdin) or _is_ours(stdin)):
            return fcntl.fcntl(stdin, fcntl.F_DUPFD_CLOEXEC, 10)
    return _high(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


def _is_ours(terminal: int) -> bool:
    """Whether this process is in the foreground of a terminal."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False


def _modes(stdin: int | None) -> list[Any] | None:
    import termios

    try:
        return termios.tcgetattr(stdin) if stdin is not None and os.isatty(stdin) else None
    except (OSError, termios.error):
        return None


def _set_modes(terminal: int, modes: list[Any]) -> None:
    import termios

    with suppress(OSError, termios.error):
        if termios.tcgetattr(terminal) != modes:
            termios.tcsetattr(terminal, termios.TCSADRAIN, modes)


def _high(descriptor: int) -> int:
    """The same under a number that is none of a standard one's."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(descriptor)


def _screen(target: int) -> tuple[int, int] | None:
    """A terminal like the one behind `target`: our end and the command's. None where the system gives none.

    It changes nothing of what is written: line ends are the real terminal's work (OPOST, termios(3)).
    """
    import termios

    try:
        ours, its = os.openpty()
    except OSError:
        return None
    with suppress(OSError, termios.error):
        modes = termios.tcgetattr(target)
        modes[1] &= ~termios.OPOST
        modes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        termios.tcsetattr(its, termios.TCSANOW, modes)
    _copy_size(target, ours)
    return ours, its


def _copy_size(source: int, target: int) -> None:
    import termios

    with suppress(OSError, ValueError):
        size = os.get_terminal_size(source)
        if os.get_terminal_size(target) != size:
            termios.tcsetwinsize(target, (size.lines, size.columns))
