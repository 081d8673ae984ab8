"""A process for what came with a model: a chat template is a program, and a tokenizer holds regular expressions.

Both may be written to run for ever or to fill the memory. The process is told to end when it does not answer in time,
and it bounds its own memory; whatever happens to it is an answer here and never an exception. Frames go through its
pipes: four bytes of length, then msgpack. No file is written.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import msgspec

import trainguard

_PROGRAM = "from trainguard.facts.data.measuring import main; main()"
_LENGTH = 4
# The largest answer: the state of a range, with the lengths of its rows.
MAX_FRAME_BYTES = 256 << 20
# Loading the largest tokenizers (262,144 entries) takes some three seconds; a frame of rows is tokenized in one or two.
# Both on an idle machine, and this is for a crowded one.
SECONDS = 120.0


class GoneError(Exception):
    """The process ended or did not answer in time; the argument says which."""


class Limited:
    """The process, started by `open`. All calls raise GoneError once it is gone, and it is never started again."""

    def __init__(self, *, seconds: float | None = None, threads: int = 1) -> None:
        self._seconds, self._threads = SECONDS if seconds is None else seconds, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._gone: str | None = None
        self._received = bytearray()
        self._opened: tuple[bytes, Any] | None = None

    def open(self, request: Any) -> Any:
        """Starts the process and gives it its first request, ["open", FOLDER, ...]; or takes one that was kept."""
        key = _key(request, self._threads) if _Kept.most else None
        if key is not None and (answer := self._reopen(key)) is not None:
            return answer
        # -P and a search path of our own: nothing of the folder that is being checked may be imported.
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(trainguard.__file__).resolve().parent.parent),
            "TOKENIZERS_PARALLELISM": "true" if self._threads > 1 else "false",
            "RAYON_NUM_THREADS": str(self._threads),
        }
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            self._gone = f"its process cannot be started: {error.strerror or error}"
            raise GoneError(self._gone) from None
        self._process = process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        answer = self.ask(request)
        if key is not None and isinstance(answer, dict) and "problem" not in answer:
            self._opened = (key, answer)
        return answer

    def _reopen(self, key: bytes) -> Any:
        """The answer to the first request of a process that was kept, if it is still as it was then."""
        if (kept := _Kept.processes.pop(key, None)) is None:
            return None
        self._process, answer = kept
        try:
            # What the last one has left there is taken away by this.
            if self.ask(["state"]).get("problem") is None:
                self._opened = (key, answer)
                return answer
        except GoneError:
            pass
        self.end()
        self._gone = None
        self._received.clear()
        return None

    def tell(self, request: Any) -> None:
        """Sends a request without an answer."""
        self._send(msgspec.msgpack.encode(request))

    def ask(self, request: Any) -> Any:
        """Sends a request and waits for its answer."""
        self.tell(request)
        return self._receive()

    def close(self) -> None:
        """Has no more questions: the process ends, or is kept for the next one (see `keep_open`)."""
        process, opened = self._process, self._opened
        if process is not None and opened is not None and not self._received:
            self._process, self._gone = None, "it was closed"
            _keep(opened[0], process, opened[1])
        else:
            self.end()

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        self._end("it was closed")

    def _end(self, reason: str) -> None:
        self._gone = self._gone or reason
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _pipes(self) -> tuple[BinaryIO, BinaryIO]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise GoneError(self._gone or "it is not open")
        return process.stdin, process.stdout  # type: ignore[return-value]

    def _send(self, payload: bytes) -> None:
        target, _ = self._pipes()
        data = memoryview(len(payload).to_bytes(_LENGTH, "little") + payload)
        deadline = time.monotonic() + self._seconds
        while data:
            self._wait(target, selectors.EVENT_WRITE, deadline)
            try:
                data = data[os.write(target.fileno(), data) :]
            except BlockingIOError:
                continue
            except OSError:
                self._fail("ended")

    def _receive(self) -> Any:
        deadline = time.monotonic() + self._seconds
        while True:
            if len(self._received) >= _LENGTH:
                size = int.from_bytes(self._received[:_LENGTH], "little")
                if size > MAX_FRAME_BYTES:
                    self._fail("answered too much")
                if len(self._received) >= _LENGTH + size:
                    frame = bytes(self._received[_LENGTH : _LENGTH + size])
                    del self._received[: _LENGTH + size]
                    return msgspec.msgpack.decode(frame, strict=False)
            _, source = self._pipes()
            self._wait(source, selectors.EVENT_READ, deadline)
            try:
                more = os.read(source.fileno(), 1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                more = b""
            if not more:
                self._fail("ended")
            self._received += more

    def _wait(self, pipe: BinaryIO, event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                self._fail(f"did not finish in {self._seconds:g} seconds")

    def _fail(self, what: str) -> None:
        self._end(f"the process that tokenizes {what}")
        raise GoneError(self._gone)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class _Kept:
    """Processes that wait to be opened again, by what they were opened with: each with its answer to that."""

    most = 0
    processes: ClassVar[dict[bytes, tuple[subprocess.Popen[bytes], Any]]] = {}


def keep_open() -> None:
    """From now on processes outlive their closing, for who opens the same folder next: to load a tokenizer takes longer
    than to measure a small file with it. For a process of one thread that reads many files; they end with it."""
    # The judge of the template and the counter of tokens. Those of another tokenizer do not wait any longer.
    _Kept.most = 2


def _keep(key: bytes, process: subprocess.Popen[bytes], answer: Any) -> None:
    kept = _Kept.processes
    if key in kept:
        _end(process)
        return
    kept[key] = (process, answer)
    while len(kept) > _Kept.most:
        _end(kept.pop(next(iter(kept)))[0])


def _key(request: Any, threads: int) -> bytes | None:
    """What an opened process depends on: the request, and the files of its folder. None where they cannot be seen."""
    try:
        with os.scandir(request[1]) as entries:
            found = sorted((each.name, each.stat()) for each in entries)
    except OSError:
        return None
    files = [(os.fsencode(name), seen.st_ino, seen.st_size, seen.st_mtime_ns) for name, seen in found]
    return repr((request, threads, files)).encode("utf-8", "backslashreplace")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


def bound_memory(more_bytes: int) -> None:
    """Lets this process take no more than `more_bytes` beyond what it has; nothing where the system cannot tell."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + more_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
    except (ImportError, OSError, ValueError):
        return
