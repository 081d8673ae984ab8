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
from typing import Any, BinaryIO

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

    def open(self, request: Any) -> Any:
        """Starts the process and gives it its first request."""
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
        return self.ask(request)

    def tell(self, request: Any) -> None:
        """Sends a request without an answer."""
        self._send(msgspec.msgpack.encode(request))

    def ask(self, request: Any) -> Any:
        """Sends a request and waits for its answer."""
        self.tell(request)
        return self._receive()

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self._end("it was closed")

    def _end(self, reason: str) -> None:
        self._gone = self._gone or reason
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

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
