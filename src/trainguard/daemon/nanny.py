"""The nanny of one attempt: a small process between the daemon and the command, so that nothing of it is left behind.

It is the subreaper of everything that the command starts (prctl(2), PR_SET_CHILD_SUBREAPER), grandchildren in
sessions of their own included: an orphan becomes its child, and is found and reaped. Standard input is its lifeline:
orders come through it, and its end says that the daemon is gone, whichever way; then the whole tree is killed.
PR_SET_PDEATHSIG would be tied to the thread that forked, so only the command has it, whose parent has one thread.

It writes into the attempt's folder `process.json` (before the command begins), `output.log` (the command's own
descriptor: nothing goes through the nanny, so that its end loses no line) and `result.json` (last, in one step).
The standard library's small parts only.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

from trainguard.daemon.processes import (
    Process,
    become_subreaper,
    boot_id,
    descendants,
    die_with_parent,
    identity,
    join_group,
    kill_group,
    process,
    send,
)

PROCESS = "process.json"
RESULT = "result.json"
OUTPUT = "output.log"

# After the command's own end: Python's resource tracker and the like clean up behind it (multiprocessing/
# resource_tracker.py of Python 3.11 unlinks shared memory once its pipe is closed).
_GRACE_SECONDS = 2.0
# What was told to die and does not waits in the kernel for a device.
_DEATH_SECONDS = 15.0
# A run of weeks must not fill the disk with its progress bars: of its output the first and last part are kept.
_HEAD_BYTES, _TAIL_BYTES, _SPARE_BYTES = 1 << 20, 32 << 20, 32 << 20
_LOOK_SECONDS = 10.0
# linux/falloc.h: FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_PUNCH = 0x01 | 0x02
_GO = b"g"
# The shell's exit codes for what cannot be executed, and for what is not there (POSIX, 2.8.2 Exit Status for Commands).
CANNOT_EXECUTE, NOT_FOUND = 126, 127


def main() -> None:
    spec = _read_spec()
    if spec is not None:
        _Nanny(spec).run()


def _read_spec() -> dict[str, Any] | None:
    """The first line of the lifeline; None where the daemon was gone before it was whole."""
    content = b""
    while not content.endswith(b"\n"):
        # One byte too many would be an order: the daemon sends the first one after the answer only.
        if not (chunk := os.read(0, 1 << 16)):
            return None
        content += chunk
    return dict(json.loads(content))


class _Nanny:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.folder = os.fsencode(spec["folder"])
        self.spec = spec
        self.asked: str | None = None
        self.kill_at: float | None = None
        self.terminated = False
        self.status: int | None = None
        self.command = 0
        self.reason: str | None = None
        self.not_started: int | None = None
        self.peak = 0
        self.reaped: list[int] = []
        self.orders = b""
        self.lifeline: int | None = 0
        self.group = os.fsencode(spec["group"]) if spec.get("group") else None
        self.began = time.monotonic()

    def run(self) -> None:
        wake, self.waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self.waker, False)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Meant for the command: whoever ends a session or shuts the machine down does not know of nannies.
        signal.signal(signal.SIGTERM, self._terminated)
        for each in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(each, signal.SIG_IGN)
        become_subreaper()
        try:
            self._begin()
        except OSError as error:
            self._cannot(CANNOT_EXECUTE, f"no process could be started: {error.strerror or error}", error.errno)
        looked = time.monotonic()
        while self.status is None:
            waiting = [each for each in (wake, self.lifeline) if each is not None]
            ready = select.select(waiting, [], [], self._timeout())[0]
            with suppress(BlockingIOError):
                os.read(wake, 4096)
            if self.lifeline in ready:
                self._hear()
            if self.terminated:
                self.terminated = False
                self._send(signal.SIGTERM)
            self._reap()
            now = time.monotonic()
            if self.kill_at is not None and now >= self.kill_at:
                break
            if now - looked >= _LOOK_SECONDS:
                looked = now
                bound_output(os.path.join(self.folder, OUTPUT.encode()))
        self._finish()

    # The command's life.

    def _begin(self) -> None:
        hold, held = os.pipe()
        told, tell = os.pipe()
        log = os.open(os.path.join(self.folder, OUTPUT.encode()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nanny = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_command(nanny, hold, held, tell, log)
        self.command = pid
        # What was opened for the command is its own: an input's writer, say, must learn that it has ended.
        for each in {hold, tell, log, *(self.spec.get("standard") or ())}:
            os.close(each)
        if self.group is not None and not join_group(self.group, pid):
            self.group = None
        mine, its = identity(nanny), identity(pid)
        # Not synced: after a power cut none of these processes lives, and the boot's number says so.
        with suppress(OSError):
            _write(
                self.folder,
                PROCESS,
                {
                    "nanny": mine.text() if mine else None,
                    "command": its.text() if its else None,
                    "boot": boot_id(),
                    "daemon": self.spec.get("daemon"),
                    "group": os.fsdecode(self.group) if self.group is not None else None,
                    "host": os.uname().nodename,
                    "started": round(time.time(), 3),
                },
                sync=False,
            )
        _say({"pid": pid})
        os.write(held, _GO)
        os.close(held)
        answer = b""
        while chunk := os.read(told, 4096):
            answer += chunk
        os.close(told)
        if answer:
            number, _, what = answer.partition(b" ")
            code = NOT_FOUND if int(number) in (errno.ENOENT, errno.ENOTDIR) else CANNOT_EXECUTE
            os.waitpid(pid, 0)
            self._cannot(code, f"{os.fsdecode(what)}: {os.strerror(int(number))}", int(number))

    def _become_command(self, nanny: int, hold: int, held: int, tell: int, log: int) -> NoReturn:
        """In the forked child. What is open closes at the exec, as all of Python's descriptors do (PEP 446)."""
        doing = "process"
        try:
            die_with_parent()
            if os.getppid() != nanny:  # it died before it could be asked for
                os._exit(CANNOT_EXECUTE)
            signal.set_wakeup_fd(-1)
            for each in (
                signal.SIGCHLD,
                signal.SIGTERM,
                signal.SIGINT,
                signal.SIGHUP,
                signal.SIGUSR1,
                signal.SIGUSR2,
                signal.SIGPIPE,
                signal.SIGXFSZ,
            ):
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            # A group of its own: `kill 0` and Ctrl-C inside of it do not reach the nanny.
            os.setpgid(0, 0)
            os.close(held)
            empty = os.open(os.devnull, os.O_RDONLY)
            standard = self.spec.get("standard") or (empty, log, log)
            for number, each in enumerate(standard):
                os.dup2(each, number)
            for each in set(standard):  # they came through an exec, and would go through the next one
                os.close(each)
            # Until process.json says who this is, nothing begins.
            if os.read(hold, 1) != _GO:
                os._exit(CANNOT_EXECUTE)
            doing = str(self.spec.get("working_directory") or ".")
            if self.spec.get("working_directory"):
                os.chdir(self.spec["working_directory"])
            doing = self.spec["command"][0]
            os.execvpe(self.spec["command"][0], self.spec["command"], self.spec["environment"])
        except BaseException as error:
            number = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
            with suppress(OSError):
                os.write(tell, f"{number} ".encode() + os.fsencode(doing)[:1000])
        os._exit(CANNOT_EXECUTE)

    def _cannot(self, code: int, reason: str, number: int | None) -> None:
        self.status = code << 8
        self.reason, self.not_started = reason, number
        with suppress(OSError), open(os.path.join(self.folder, OUTPUT.encode()), "ab") as log:
            log.write(os.fsencode(f"{reason}\n"))

    def _finish(self) -> None:
        if self.status is None:
            self._send(signal.SIGKILL)
        killed, left = self._end_tree(_GRACE_SECONDS if self.asked is None else 0.0)
        status = self.status if self.status is not None else signal.SIGKILL
        result = {
            "exit_code": os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "seconds": round(time.monotonic() - self.began, 3),
            "peak_rss_bytes": self.peak or None,
            "asked": self.asked,
            "reason": self.reason,
            "not_started": self.not_started,
            "killed": [[each.pid, each.name] for each in killed],
            "left": [[each.pid, each.name] for each in left],
            "pids": self.reaped[-1000:],
            "ended": round(time.time(), 3),
            "boot": boot_id(),
        }
        with suppress(OSError):
            _write(self.folder, RESULT, result, sync=True)
        _say(result)

    # What wakes the nanny.

    def _timeout(self) -> float:
        if self.kill_at is None:
            return _LOOK_SECONDS
        return min(max(self.kill_at - time.monotonic(), 0.0), _LOOK_SECONDS)

    def _terminated(self, *_: object) -> None:
        self.terminated = True

    def _hear(self) -> None:
        try:
            chunk = os.read(0, 4096)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.lifeline = None
            self.asked = "daemon-gone"
            self.kill_at = time.monotonic()
            return
        *orders, self.orders = (self.orders + chunk).split(b"\n")
        for order in orders:
            what, _, number = order.partition(b" ")
            if what == b"stop":
                self.asked = self.asked or "stop"
                until = time.monotonic() + float(number)
                self.kill_at = until if self.kill_at is None else min(until, self.kill_at)
                self._send(signal.SIGTERM)
                # One that is stopped hears nothing before it goes on.
                self._send(signal.SIGCONT)
            elif what == b"kill":
                self.asked = "kill"
                self.kill_at = time.monotonic()
            elif what == b"signal":
                self._send(int(number))

    def _send(self, number: int) -> None:
        # The nanny alone reaps it, so its number is its own until then.
        if self.status is None and self.command:
            with suppress(OSError):
                os.kill(self.command, number)

    def _reap(self) -> bool:
        """Takes in what has ended; whether children are left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.reaped.append(pid)
            # KiB on Linux, bytes on macOS (getrusage(2)); of the process and of the children that it waited for.
            self.peak = max(self.peak, usage.ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024))
            if pid == self.command:
                self.status = status

    def _end_tree(self, grace_seconds: float) -> tuple[list[Process], list[Process]]:
        """Ends and reaps all that is left: those that had to be killed, and those that would not die."""
        killed: dict[tuple[int, int], Process] = {}
        command = process(self.command) if self.status is None else None
        begun = time.monotonic()
        for found in self._looks():
            living = [each for each in found if not each.is_dead]
            waited = time.monotonic() - begun
            if waited > grace_seconds + _DEATH_SECONDS:
                return list(killed.values()), living
            if waited < grace_seconds:
                continue
            for each in living:
                if (each.pid, each.started) not in killed and send(each, signal.SIGKILL):
                    killed[each.pid, each.started] = each
            if self.group is not None:
                kill_group(self.group)  # what is forked faster than it is found
        return [each for each in killed.values() if command is None or each.pid != command.pid], []

    def _looks(self) -> Iterator[list[Process]]:
        pause = 0.001
        while self._reap():
            yield descendants([os.getpid()])
            # A child's end cuts the pause short.
            select.select([], [], [], pause)
            pause = min(2 * pause, 0.02)


def bound_output(path: bytes) -> None:
    """Gives back the middle of an output that grew large; its first MiB and its last 32 MiB stay.

    A hole, and not a new file: the writers have the file open and append to it. Where the file system has no holes
    (fallocate(2)) the whole is given back, after its end was copied to `output.log.1`: an append goes on at the new
    end.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        status = os.fstat(descriptor)
        if status.st_blocks * 512 < _HEAD_BYTES + _TAIL_BYTES + _SPARE_BYTES:
            return
        first, last = _HEAD_BYTES, (status.st_size - _TAIL_BYTES) & ~0xFFFFF
        note = b"\n... the output from here on was left out by trainguard, up to its last part ...\n"
        if _punched(descriptor, first, last - first):
            os.pwrite(descriptor, note, first)
            return
        with open(path + b".1", "wb") as kept:
            kept.write(os.pread(descriptor, _HEAD_BYTES, max(status.st_size - _HEAD_BYTES, 0)))
        os.ftruncate(descriptor, 0)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _punched(descriptor: int, offset: int, length: int) -> bool:
    import ctypes

    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate64
    except (AttributeError, OSError):
        return False
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return int(function(descriptor, _PUNCH, offset, length)) == 0


def _write(folder: bytes, name: str, values: dict[str, Any], *, sync: bool) -> None:
    path = os.path.join(folder, name.encode())
    temporary = path + b".tmp"
    with open(temporary, "wb") as file:
        file.write(json.dumps(values).encode() + b"\n")
        file.flush()
        if sync:
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if sync:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _say(values: dict[str, Any]) -> None:
    """One line for the daemon, which may be gone."""
    with suppress(OSError):
        os.write(1, json.dumps(values).encode() + b"\n")
