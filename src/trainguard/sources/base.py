"""What a source is: a place that is asked again and again for the records that are new."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from trainguard.sources.names import Record, is_number

__all__ = ["KIND_WORDS", "Record", "Source", "SourceKind"]
SourceKind: TypeAlias = Literal["trainer", "guarded", "trackio", "log", "tensorboard", "stdin"]

# How a source is called where people read of it.
KIND_WORDS: Mapping[SourceKind, str] = {
    "trainer": "Trainer folder",
    "guarded": "guarded run",
    "trackio": "Trackio project",
    "log": "log file",
    "tensorboard": "TensorBoard events",
    "stdin": "stream",
}


class Source(ABC):
    """A place that holds the metrics of one run.

    `prompt` says that the run writes there at every log, so that silence means something: a Trainer's state file is
    written at saves only, and its silence means nothing. `declared` is what the place says the run promised; it may
    grow with what is read. `ended` says that nothing more will come. `notes` is what a reader should know.
    """

    kind: SourceKind
    prompt: bool = True
    # Seconds between two polls when following.
    every_seconds: float = 1.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.declared: Record = {}
        self.ended = False
        self.method: str | None = None  # where the place says how the model is trained
        self.closed = False  # a stream whose writer is gone
        self.notes: list[str] = []

    @abstractmethod
    def poll(self, *, last: bool = False) -> Iterator[Record]:
        """The records that are new, oldest first; it ends where there are no more now.

        `last` says that nothing will be polled after this: what was held back (half a line) is given too. Raises
        UsageError where the place cannot be read.
        """

    def wait(self, seconds: float) -> None:
        """Returns when there may be something new, or after so many seconds."""
        time.sleep(seconds)

    def close(self) -> None:
        """Gives back what is open. Nothing is polled after it."""
        return

    def noticed(self, record: Record) -> Record:
        """The record; the Trainer's summary says that the run is over, a loss after it that another one began."""
        if is_number(record.get("train_runtime")):
            self.ended = True
        elif "loss" in record:
            self.ended = False
        return record

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
