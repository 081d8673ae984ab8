"""A log file that nobody waits for: it lies in the output folder, whose disk may not answer for hours."""

from __future__ import annotations

import copy
import logging
import queue
import threading
import time

# What is kept of a disk that does not answer: the oldest lines, which tell how it began.
_MOST_RECORDS = 10_000
_END_SECONDS = 2.0


class LogBeside(logging.Handler):
    """Gives each record to `inner` in a thread of its own. What cannot be written before the end is lost."""

    def __init__(self, inner: logging.Handler) -> None:
        super().__init__()
        self._inner = inner
        self._records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._given = self._written = 0  # records; each counted by one thread alone
        self._thread: threading.Thread | None = None

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - logging's own name
        self._inner.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        if self._records.qsize() >= _MOST_RECORDS:
            return
        try:
            said = copy.copy(record)
            said.msg, said.args = record.getMessage(), None  # the arguments may be other ones by then
            self._records.put(said)
            self._given += 1
            if self._thread is None:
                thread = threading.Thread(target=self._write, name="log", daemon=True)
                thread.start()  # where there is none to be had, the next record tries again
                self._thread = thread
        except Exception:
            self.handleError(record)  # as every handler does: who logs must not end of it

    def flush(self) -> None:
        """Waits until all is written, for two seconds at most."""
        until = time.monotonic() + _END_SECONDS
        while self._written < self._given and time.monotonic() < until:
            time.sleep(0.005)

    def close(self) -> None:
        self.flush()
        super().close()

    def _write(self) -> None:
        while True:
            record = self._records.get()
            try:
                self._inner.handle(record)  # says nothing of what it cannot write (logging.raiseExceptions)
            except Exception:
                self._inner.handleError(record)
            self._written += 1
