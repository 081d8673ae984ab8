"""The daemon's log file, whose disk may not answer."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from trainguard.daemon.logs import LogBeside


def _record(words: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("trainguard", logging.INFO, __file__, 1, words, arguments, None)


def test_a_file_that_cannot_be_written_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO without a reader: opening it for writing waits, as on a dead mount."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    path = tmp_path / "daemon.log"
    os.mkfifo(path)
    inner = logging.FileHandler(path, delay=True)
    handler = LogBeside(inner)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    begun = time.monotonic()
    changing = ["first"]
    handler.handle(_record("%s line", changing))
    changing[0] = "another"
    for number in range(20_000):
        handler.handle(_record("%d", number))
    took = time.monotonic() - begun
    assert handler._records.qsize() <= 10_000, "what a disk does not take for hours must not fill the memory"
    assert took < 60.0
    with path.open() as reader:
        lines = [reader.readline() for _ in range(10_000)]
        handler.close()
        inner.close()
    assert lines[:3] == ["INFO ['first'] line\n", "INFO 0\n", "INFO 1\n"]


def test_what_was_said_is_in_the_file_when_the_log_is_closed(tmp_path: Path) -> None:
    inner = logging.FileHandler(tmp_path / "daemon.log", delay=True)
    handler = LogBeside(inner)
    for number in range(100):
        handler.handle(_record("%d", number))
    handler.close()
    inner.close()
    assert (tmp_path / "daemon.log").read_text().split() == [str(number) for number in range(100)]


class _Closed(logging.Handler):
    """Raises in the first calls, as a file does that cannot be opened (FileHandler with `delay`, Python 3.11)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.calls = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.calls += 1
        if self.calls == 1:
            raise FileNotFoundError("the folder is not there")
        time.sleep(0.2)
        self.lines.append(record.getMessage())


def test_a_line_that_cannot_be_written_ends_neither_the_log_nor_who_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    inner = _Closed()
    handler = LogBeside(inner)
    start, refused = threading.Thread.start, 1

    def late(thread: threading.Thread) -> None:
        nonlocal refused
        if refused:
            refused -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", late)
    for number in range(3):
        handler.handle(_record("%d", number))
    handler.handle(_record("%d", "no number"))
    handler.close()
    assert inner.lines == ["1", "2"]
