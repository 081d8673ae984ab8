"""A progress bar over bytes, on stderr, for large files and only on a terminal."""

from __future__ import annotations

import sys
from typing import Any

_SHOWN_FROM_BYTES = 64_000_000  # below, the result is there before a bar could be read
_LONGEST_NAME = 32


class ByteProgress:
    """Called with (bytes done, bytes in all). Draws nothing where stderr is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> ByteProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, done: int, total: int) -> None:
        if total < _SHOWN_FROM_BYTES or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._start(total)
        self._bar.update(self._task, completed=done, total=total)

    def _start(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        from trainguard.report.visible import visible

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(visible(self._name), total=total)
