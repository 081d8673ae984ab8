"""One thing at a time beside the loop, in a thread: what waits for a disk must not hold up leases and signs of life.

A thread that hangs on a dead mount stays behind when the process ends; nobody waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A job in a thread of its own. `done` once it has returned or raised; `result` gives or raises it."""

    def __init__(self, job: Callable[[], Result], name: str) -> None:
        self.name = name
        self.began = time.monotonic()
        self._job = job
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._job()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    @property
    def seconds(self) -> float:
        """How long it has been at it."""
        return time.monotonic() - self.began

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)

    def result(self) -> Result:
        """What the job returned. Raises what it raised; only to be asked once it is done."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]
