"""Ranges of training files -> their tallies, in order, by worker processes where that is worth it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

import trainguard
from trainguard.facts.data.blocks import BlockReader
from trainguard.facts.data.options import Options
from trainguard.facts.data.ranges import Range, tallies
from trainguard.facts.data.tally import Tally
from trainguard.facts.data.worker import Reply, Request, receive, send

_PROGRAM = "from trainguard.facts.data.worker import main; main()"
_MAX_WORKERS = 8
# Two workers are ready after about 0.1 s, in which one process reads so much.
MIN_PARALLEL_BYTES = 24_000_000
# Memory that is given back to the system after each block has to be cleared by it for the next (glibc, mallopt(3)).
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "33554432",
    "MALLOC_TOP_PAD_": "4194304",
    "MALLOC_ARENA_MAX": "1",
}
# A worker is one thread, so that as many workers as processors use these up.
_THREADS = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def worker_count() -> int:
    """As many as processors that this process may use, at most 8: by affinity and by the quota of the cgroup."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return max(1, min(count, _MAX_WORKERS))


def read_ranges(
    options: Options, parts: Sequence[Range], *, evaluation: bytes = b"", workers: int | None = None
) -> Iterator[tuple[int, Tally, bool]]:
    """(index of the range, a tally of it, whether it is the range's last) in the order of the ranges.

    A range whose worker dies is tried once more in a new one, and given up with an `error` in its tally after that.
    """
    count = worker_count() if workers is None else workers
    weight = sum(part.size if part.end is None else part.end - part.start for part in parts)
    if min(count, len(parts)) < 2 or weight < MIN_PARALLEL_BYTES:
        yield from _here(options, parts, evaluation)
        return
    pool = _Pool(options, parts, evaluation, min(count, len(parts)))
    try:
        yield from pool.run()
    finally:
        pool.close()


def _here(options: Options, parts: Sequence[Range], evaluation: bytes) -> Iterator[tuple[int, Tally, bool]]:
    from trainguard.facts.data.probes import watchers

    reader = BlockReader(options, watchers(options, evaluation))
    for index, part in enumerate(parts):
        last: Tally | None = None
        for tally in tallies(reader, part, options.max_line_bytes):
            if last is not None:
                yield index, last, False
            last = tally
        yield index, last or Tally(), True


class _Pool:
    """Worker processes, with a thread each that talks to it; tallies come in any order and are put into theirs."""

    def __init__(self, options: Options, parts: Sequence[Range], evaluation: bytes, count: int) -> None:
        self._options = options
        self._parts = parts
        self._evaluation = evaluation
        self._next = 0
        self._lock = threading.Lock()
        self._done: queue.Queue[tuple[int, Tally, bool] | BaseException] = queue.Queue()
        self._closed = False
        self._processes: list[subprocess.Popen[bytes]] = []
        # A range far behind the first unfinished one waits, so that tallies do not pile up behind a slow one.
        self._ahead = threading.Semaphore(64)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]

    def run(self) -> Iterator[tuple[int, Tally, bool]]:
        for thread in self._threads:
            thread.start()
        waiting: dict[int, list[tuple[Tally, bool]]] = {}
        current = 0
        while current < len(self._parts):
            item = self._done.get()
            if isinstance(item, BaseException):
                raise item
            index, tally, last = item
            waiting.setdefault(index, []).append((tally, last))
            while current in waiting:
                ready = waiting.pop(current)
                for each, is_last in ready:
                    yield current, each, is_last
                if not ready[-1][1]:
                    break
                current += 1
                self._ahead.release()

    def close(self) -> None:
        self._closed = True
        for process in self._processes:
            process.kill()
        self._ahead.release(len(self._threads))
        for thread in self._threads:
            thread.join(timeout=5)
        for process in self._processes:
            _end(process)

    def _serve(self) -> None:
        try:
            self._serve_ranges()
        except BaseException as error:  # the parent, which waits for an answer, raises it
            self._done.put(error)

    def _serve_ranges(self) -> None:
        process = self._start()
        while (index := self._take()) is not None:
            if process is None:
                self._read_here(index)
                continue
            for attempt in range(2):
                told = self._ask(process, index)
                if told is None:
                    break
                why = _ending(process)
                process = None if self._closed else self._start()
                # What has been told is counted already: a second reading would count it twice.
                if told or attempt or process is None:
                    self._done.put((index, Tally(error=f"the process that read it {why}"), True))
                    break
        if process is not None:
            _end(process)

    def _take(self) -> int | None:
        """The next range to read; None where there is none, or nobody waits for it."""
        self._ahead.acquire()
        with self._lock:
            index = self._next
            self._next += 1
        return None if self._closed or index >= len(self._parts) else index

    def _read_here(self, index: int) -> None:
        """Reads a range in this process, for want of another."""
        for _, tally, last in _here(self._options, [self._parts[index]], self._evaluation):
            self._done.put((index, tally, last))

    def _start(self) -> subprocess.Popen[bytes] | None:
        # -P and a search path of our own: nothing of the folder that is being checked may be imported.
        root = str(Path(trainguard.__file__).resolve().parent.parent)
        environment = {**_MALLOC, **os.environ, **_THREADS, "PYTHONPATH": root}
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError:
            return None
        with self._lock:
            self._processes.append(process)
        # The first answer is empty, and says that all that a worker needs could be imported.
        if self._tell(process, Request(options=self._options, evaluation=self._evaluation)) is None:
            _ending(process)
            return None
        return process

    @staticmethod
    def _tell(process: subprocess.Popen[bytes], request: Request | None) -> Reply | None:
        """Sends a request, if any, and gives the next answer; None where the process ended instead."""
        try:
            if process.stdin is None or process.stdout is None:
                return None
            if request is not None:
                send(process.stdin, request)
            data = receive(process.stdout)
            return None if data is None else msgspec.msgpack.decode(data, type=Reply)
        except (OSError, ValueError, msgspec.MsgspecError):
            return None

    def _ask(self, process: subprocess.Popen[bytes], index: int) -> int | None:
        """None once the range has been told wholly; else the number of its tallies that came before the worker died."""
        told = 0
        request: Request | None = Request(part=self._parts[index])
        while (reply := self._tell(process, request)) is not None:
            self._done.put((index, reply.tally, not reply.more))
            if not reply.more:
                return None
            told += 1
            request = None
        return told


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended that gave no answer."""
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        code = None
    _end(process, seconds=0)
    if code is None:
        return "hung"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed ({name})" + (", perhaps for want of memory" if -code == signal.SIGKILL else "")
    return f"ended with exit code {code}"


def _end(process: subprocess.Popen[bytes], *, seconds: float = 5) -> None:
    """Closes the pipes, upon which a worker ends; kills it if it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
