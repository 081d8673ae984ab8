"""Questions to a file system that may never answer, asked in a thread with a deadline.

The thread that hangs is left behind, at most one of them: until it comes back, nothing more is asked of that file
system. A thread that hangs in the kernel does not keep the process from ending, since it is a daemon thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """Asks one question at a time. `deadline_seconds` are those without progress, so that a long copy may take its
    time."""

    def __init__(self, deadline_seconds: float) -> None:
        self.deadline_seconds = deadline_seconds
        self._thread: threading.Thread | None = None
        self._last = 0.0

    @property
    def stuck(self) -> bool:
        """Whether a question hangs that was given up."""
        return self._thread is not None and self._thread.is_alive()

    def tick(self) -> None:
        """Called by the question while it makes progress."""
        self._last = monotonic()

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer; None where there is none in time, or where an earlier question still hangs.

        What the question raises is raised here. An answer that comes too late is thrown away.
        """
        if self.stuck:
            return None
        answers: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(question())
            except BaseException as error:
                errors.append(error)

        thread = self._thread = threading.Thread(target=run, name="inbox", daemon=True)
        self.tick()
        thread.start()
        while thread.is_alive() and (left := self._last + self.deadline_seconds - monotonic()) > 0:
            thread.join(left)
        if thread.is_alive():
            return None
        self._thread = None
        if errors:
            raise errors[0]
        return answers[0]
