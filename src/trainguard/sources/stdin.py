"""Standard input, or a FIFO: the Trainer's dict lines or JSON lines as another process writes them."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator

from trainguard.errors import UsageError
from trainguard.sources.base import Record, Source
from trainguard.sources.files import BLOCK_BYTES
from trainguard.sources.log_lines import LineReader

# Blocks read in one poll, so that a writer that never pauses does not keep the reader from its other work.
_BLOCKS = 64


class Stream(Source):
    """A stream that is read until its writer closes it. `owned` descriptors are closed in the end."""

    kind = "stdin"
    every_seconds = 0.5

    def __init__(self, descriptor: int, name: str, *, owned: bool = False) -> None:
        super().__init__(name)
        self._descriptor = descriptor
        self._owned = owned
        self._reader = LineReader(self.declared)
        self._quiet = 0

    def poll(self, *, last: bool = False) -> Iterator[Record]:
        """The records that are there now; with `last`, all until the writer closes."""
        blocks = 0
        while not self.closed and (last or blocks < _BLOCKS):
            if not last and not self._readable(0.0):
                break
            try:
                block = os.read(self._descriptor, BLOCK_BYTES)
            except BlockingIOError:
                self._readable(self.every_seconds)
                continue
            except OSError as error:
                raise UsageError(f"{self.name}: cannot be read: {error.strerror or error}") from None
            blocks += 1
            if not block:
                self.ended = self.closed = True
                break
            yield from self._reader.feed(block)
        self._quiet = 0 if blocks else self._quiet + 1
        if last or self.closed:
            yield from self._reader.flush()
        elif self._quiet > 1:
            yield from self._reader.idle()

    def wait(self, seconds: float) -> None:
        self._readable(seconds)

    def _readable(self, seconds: float) -> bool:
        try:
            return bool(select.select([self._descriptor], [], [], seconds)[0])
        except (OSError, ValueError):
            return True  # reading says what is wrong

    def close(self) -> None:
        if self._owned:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
