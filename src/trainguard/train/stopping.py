"""SIGTERM and SIGINT ask a run to stop: it saves at the next step boundary. SIGUSR1 writes down all stacks."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, Any

# sysexits(3) EX_TEMPFAIL: "the user is invited to retry". What was asked to stop can go on later.
EXIT_STOPPED = 75
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Takes SIGTERM and SIGINT while a run trains, and gives them back to whoever had them.

    The first is a wish: `requested` names it, `remaining()` says how long there is to save. A second SIGINT is what it
    always was (KeyboardInterrupt, as a rule), and so is a signal that comes when `is_training` says of the interrupted
    frame that the loop is over, as after an exception. Handlers belong to the main thread: elsewhere `install` does
    nothing.
    """

    def __init__(
        self,
        *,
        deadline_seconds: float,
        is_training: Callable[[FrameType | None], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._is_training = is_training
        self.requested: str | None = None
        self._clock = clock
        self._asked_at: float | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._stacks: IO[str] | None = None

    def install(self, stacks: Path | None = None) -> bool:
        """Takes the signals; SIGUSR1 appends the stacks of all threads to `stacks`. Whether this thread could."""
        if threading.current_thread() is not threading.main_thread() or self._previous:
            return False
        for each in _SIGNALS:
            previous = signal.getsignal(each)
            # None: a handler that was not set from Python and could not be given back. Ignored signals stay ignored,
            # as under nohup.
            if previous is None or previous == signal.SIG_IGN:
                continue
            signal.signal(each, self._asked)
            self._previous[each] = previous
        if stacks is not None:
            self._register_stacks(stacks)
        return True

    def _register_stacks(self, path: Path) -> None:
        # A handler that the script has set is the script's: faulthandler would replace it unasked.
        if signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stacks = path.open("a", encoding="utf-8")
            faulthandler.register(signal.SIGUSR1, file=self._stacks, all_threads=True)
        except (OSError, ValueError, RuntimeError):
            self._close_stacks()

    def restore(self) -> None:
        """Gives the signals back. A handler that somebody has set meanwhile stays."""
        if threading.current_thread() is threading.main_thread():
            for each, previous in self._previous.items():
                if signal.getsignal(each) == self._asked:
                    signal.signal(each, previous)
            self._previous.clear()
        if self._stacks is not None:
            faulthandler.unregister(signal.SIGUSR1)
            self._close_stacks()

    def _close_stacks(self) -> None:
        if self._stacks is not None:
            with contextlib.suppress(OSError):
                self._stacks.close()
            self._stacks = None

    def remaining(self) -> float:
        """Seconds until the deadline; the whole deadline where nobody has asked."""
        if self._asked_at is None:
            return self.deadline_seconds
        return max(0.0, self._asked_at + self.deadline_seconds - self._clock())

    def _asked(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._is_training is not None and not self._is_training(frame):
            self._pass_on(number, frame)
            return
        if self.requested is None:
            self.requested = name
            self._asked_at = self._clock()
            # No logging here: the handler may have interrupted the logger, which holds its lock.
            message = f"\n{name}: saving at the end of this step, then stopping; once more with Ctrl-C stops at once\n"
            with contextlib.suppress(OSError):
                os.write(2, message.encode())
            return
        if number == signal.SIGINT:
            self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Does what the signal did before."""
        previous = self._previous.get(signal.Signals(number))
        self.restore()
        if callable(previous):
            previous(number, frame)
        else:
            os.kill(os.getpid(), number)
