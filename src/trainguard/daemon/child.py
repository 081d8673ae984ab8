"""One attempt from the daemon's side: begun, looked at, stopped, and whatever becomes of the daemon, ended whole."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainguard.daemon.attempt_group import Group
from trainguard.daemon.cgroup_events import oom_kills
from trainguard.daemon.nanny import CANNOT_EXECUTE, OUTPUT, PROCESS, RESULT
from trainguard.daemon.processes import (
    DAEMON_MARK,
    MARK,
    STOPPED,
    Process,
    ancestors,
    descendants,
    identity,
    marks,
    process,
    processes,
)
from trainguard.daemon.remains import (
    Ended,
    Leftover,
    end_leftovers,
    left_behind,
    leftovers,
    read_result,
    said_ended,
    sweep,
    with_descendants,
)

__all__ = ["Child", "Ended", "Leftover", "end_leftovers", "leftovers", "read_result"]

# Between two cores that are busy a start takes tenths of a second; what takes this long does not come.
_START_SECONDS = 30.0
# The nanny gives what it has told to die 15 s; after these it is taken to be stuck itself.
_STUCK_SECONDS = 25.0
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])
_NANNY = "import sys; sys.path.insert(0, sys.argv[1]); from trainguard.daemon.nanny import main; main()"


class Child:
    """An attempt that goes on. `pid` is the command's own process, None where none could be started.

    Not for several threads at once, but any thread may start it. Who forgets a Child ends its tree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid: int | None = None
        self._nanny: subprocess.Popen[bytes] | None = None
        self._ended: Ended | None = None
        self._said = b""
        self._began = time.monotonic()
        self._stuck_at: float | None = None
        self._asked: str | None = None
        self._group: Group | None = None
        self._oom_kills = oom_kills()
        self._looked = self._began

    @classmethod
    def start(
        cls,
        command: list[str],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        working_directory: Path | None = None,
        standard: tuple[int, int, int] | None = None,
    ) -> Child:
        """Runs `command` under a nanny. Never raises: what cannot be started has ended, with 126 or 127.

        `standard` are open descriptors for the command's input, output and errors. Without them it has no input, and
        both its outputs are `output.log` of the folder.
        """
        child = cls(folder.absolute())
        try:
            child._spawn(command, os.environ if environment is None else environment, working_directory, standard)
        except (OSError, ValueError, IndexError) as error:
            child._close()
            words = getattr(error, "strerror", None) or str(error)
            child._ended = Ended(
                exit_code=CANNOT_EXECUTE,
                reason=f"no process could be started: {words}",
                not_started=getattr(error, "errno", None),
                seconds=0.0,
            )
        return child

    def _spawn(
        self,
        command: list[str],
        environment: Mapping[str, str],
        working_directory: Path | None,
        standard: tuple[int, int, int] | None,
    ) -> None:
        if not command or any("\0" in part for part in command):
            raise ValueError("a command is a list of texts without NUL characters")
        self.folder.mkdir(parents=True, exist_ok=True)
        # Of an earlier attempt in the same folder nothing must be taken for this one's.
        for name in (RESULT, PROCESS):
            (self.folder / name).unlink(missing_ok=True)
        self._group = Group.make(self.folder)
        mine = identity(os.getpid())
        marked = {MARK: os.path.realpath(self.folder), DAEMON_MARK: mine.text() if mine is not None else ""}
        spec = {
            "command": [_wired(part) for part in command],
            "environment": {_wired(key): _wired(value) for key, value in {**environment, **marked}.items()},
            "working_directory": _wired(working_directory if working_directory is not None else os.getcwd()),
            "folder": _wired(self.folder),
            "daemon": marked[DAEMON_MARK],
            "standard": standard,
            "group": _wired(self._group.path) if self._group is not None else None,
        }
        with (self.folder / OUTPUT).open("ab") as log:
            self._nanny = subprocess.Popen(
                [sys.executable or "python3", "-I", "-S", "-X", "utf8", "-c", _NANNY, _PACKAGE_ROOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={**os.environ, **marked},
                start_new_session=True,
                pass_fds=standard or (),
                bufsize=0,
            )
        assert self._nanny.stdout is not None
        os.set_blocking(self._nanny.stdout.fileno(), False)
        self._order(json.dumps(spec).encode() + b"\n")
        until = time.monotonic() + _START_SECONDS
        while self.pid is None and (left := until - time.monotonic()) > 0:
            ready = select.select([self._nanny.stdout], [], [], left)[0]
            if not ready or not self._read():
                break
            self.pid = next((line["pid"] for line in self._lines() if "pid" in line), None)
            if self._lines()[-1:] and "exit_code" in self._lines()[-1]:
                break

    # What may be asked of it.

    def poll(self) -> Ended | None:
        """How it ended, None while it goes on. Never blocks for long, unless the nanny itself was killed."""
        if self._ended is not None or self._nanny is None:
            return self._ended
        self._read()
        if self._nanny.poll() is None:
            self._mind_the_nanny()
            return None
        while self._read():
            pass
        said = next((line for line in self._lines() if "exit_code" in line), None)
        self._ended = self._told(said) if said is not None else self._lost()
        self._close()
        return self._ended

    def wait(self, timeout_seconds: float | None = None) -> Ended | None:
        """As poll, but waits for the end, for `timeout_seconds` at most."""
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while (ended := self.poll()) is None and (until is None or time.monotonic() < until):
            left = 1.0 if until is None else min(max(until - time.monotonic(), 0.0), 1.0)
            assert self._nanny is not None
            assert self._nanny.stdout is not None
            # The pipe's end is the nanny's end: no need to ask again and again.
            select.select([self._nanny.stdout], [], [], left)
            with suppress(subprocess.TimeoutExpired):
                self._nanny.wait(0.002)
        return ended

    def stop(self, deadline_seconds: float) -> None:
        """SIGTERM to the command; at the deadline SIGKILL to the whole tree. Returns at once: poll for the end."""
        self._asked = self._asked or "stop"
        self._order(f"stop {max(deadline_seconds, 0.0):.3f}\n".encode())
        self._expect(deadline_seconds)

    def kill(self) -> None:
        """SIGKILL to the whole tree. Returns at once."""
        self._asked = "kill"
        self._order(b"kill\n")
        self._expect(0.0)

    def signal(self, number: int) -> None:
        """A signal for the command itself, where it still goes on."""
        self._order(f"signal {number:d}\n".encode())

    def tree(self) -> list[Process]:
        """The command and all that it started, zombies left out; [] once it has ended."""
        if self._nanny is None or self._ended is not None:
            return []
        return [each for each in descendants([self._nanny.pid]) if not each.is_dead]

    # How it is done.

    def _order(self, line: bytes) -> None:
        if self._nanny is None or self._nanny.stdin is None or self._ended is not None:
            return
        with suppress(OSError, ValueError):  # it has ended meanwhile
            view = memoryview(line)
            while view:
                view = view[os.write(self._nanny.stdin.fileno(), view) :]

    def _expect(self, seconds: float) -> None:
        at = time.monotonic() + max(seconds, 0.0) + _STUCK_SECONDS
        self._stuck_at = at if self._stuck_at is None else min(at, self._stuck_at)

    def _mind_the_nanny(self) -> None:
        """A nanny that somebody has stopped goes on; one that does not obey is killed, and the sweep does its work."""
        assert self._nanny is not None
        now = time.monotonic()
        if self._stuck_at is not None and now > self._stuck_at:
            self._nanny.kill()
            return
        if now - self._looked < 1.0:
            return
        self._looked = now
        found = process(self._nanny.pid)
        if found is not None and found.state in STOPPED:
            self._nanny.send_signal(signal.SIGCONT)

    def _read(self) -> bool:
        """Takes in what the nanny said; whether there may be more."""
        assert self._nanny is not None
        assert self._nanny.stdout is not None
        try:
            chunk = os.read(self._nanny.stdout.fileno(), 1 << 16)
        except (BlockingIOError, ValueError, OSError):
            return False
        self._said += chunk
        return bool(chunk)

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._said.split(b"\n")[:-1]]

    def _told(self, said: Mapping[str, Any]) -> Ended:
        return said_ended(said, oom_kills=self._oom_delta(), group_peak_bytes=self._group_peak())

    def _lost(self) -> Ended:
        """The nanny was killed. The kernel has killed the command with it; the rest is done here."""
        if self.pid is None and self._nanny is not None and (self._nanny.returncode or 0) > 0:
            return self._never_began()
        killed, left = sweep(self._remaining)
        if self._group is not None:
            self._group.kill()
        self._reap(killed)
        return Ended(
            signal=signal.SIGKILL,
            seconds=round(time.monotonic() - self._began, 3),
            oom_kills=self._oom_delta(),
            group_peak_bytes=self._group_peak(),
            asked=self._asked or "lost",
            reason="the process that supervised it was killed",
            killed=left_behind(killed),
            left=left_behind(left),
        )

    def _never_began(self) -> Ended:
        """The nanny itself could not be set up: a limit that lets one more process begin and no more."""
        with suppress(OSError):
            words = (self.folder / OUTPUT).read_bytes()[-4096:].decode("utf-8", "backslashreplace").strip()
            last = words.splitlines()[-1:] or [""]
            found = re.search(r"\[Errno (\d+)\]", last[0])
            return Ended(
                exit_code=CANNOT_EXECUTE,
                reason=f"the process that supervises it could not begin: {last[0][:500]}",
                not_started=int(found[1]) if found is not None else errno.EAGAIN,
                seconds=round(time.monotonic() - self._began, 3),
            )
        return Ended(exit_code=CANNOT_EXECUTE, reason="its supervisor could not begin", not_started=errno.EAGAIN)

    def _remaining(self) -> list[Process]:
        assert self._nanny is not None
        mark = os.path.realpath(self.folder)
        own = set(ancestors(os.getpid()))
        every = processes()
        inside = self._group.processes if self._group is not None else set[int]()
        # Those in the attempt's group, in the nanny's session or with the attempt's mark, and what they started.
        roots = [
            each
            for each in every
            if each.pid not in own
            and (each.pid in inside or each.session == self._nanny.pid or marks(each.pid).get(MARK) == mark)
        ]
        return with_descendants(roots, every)

    def _reap(self, killed: Iterable[Process]) -> None:
        """In a container whose first process this is, zombies of a killed nanny are its children. Each is waited for by
        its number: the others belong to whoever started them."""
        assert self._nanny is not None
        numbers = {each.pid for each in killed}
        if self.pid is not None:
            numbers.add(self.pid)
        mine = os.getpid()
        numbers |= {each.pid for each in processes() if each.parent == mine and each.session == self._nanny.pid}
        for number in numbers - {self._nanny.pid}:
            with suppress(OSError):
                os.waitpid(number, os.WNOHANG)

    def _oom_delta(self) -> int | None:
        """The kills in the attempt's own group, else those in the daemon's while it ran."""
        if self._group is not None and (own := self._group.oom_kills) is not None:
            return own
        now = oom_kills()
        return max(now - self._oom_kills, 0) if now is not None and self._oom_kills is not None else None

    def _group_peak(self) -> int | None:
        return self._group.peak_bytes if self._group is not None else None

    def _close(self) -> None:
        if self._group is not None:
            self._group.remove()
        if self._nanny is None:
            return
        for pipe in (self._nanny.stdin, self._nanny.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _wired(text: str | Path) -> str:
    """The same bytes for the nanny, whose names are UTF-8 whatever this process's locale says."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")
