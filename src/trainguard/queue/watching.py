"""Waits for a change in folders, by the events of the kernel (watchfiles, inotify on Linux)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

# watchfiles looks at the stop event and at the events at this interval (watchfiles 1.3, src/lib.rs, `watch`), so it is
# what a waiting daemon costs, and how late it hears.
_STEP_MS = 200
# Without events (the limit of inotify watches is reached, or the folder is not there) it is looked so often.
_BLIND_SECONDS = 5.0


class Watch:
    """Watches a few folders, not what is below them. Folders that come later are watched from then on."""

    def __init__(self) -> None:
        self._folders: tuple[Path, ...] = ()
        self._changes: Iterator[Any] | None = None
        self._stop: threading.Event | None = None

    def wait(self, folders: Sequence[Path], stop: threading.Event, timeout: float) -> bool:
        """True once something changed, False at the timeout or at `stop`. Never raises OSError."""
        until = monotonic() + timeout
        present = tuple(folder for folder in folders if folder.is_dir() and not folder.is_symlink())
        if present != self._folders or stop is not self._stop or self._changes is None:
            self.close()
            if not present:
                return not stop.wait(min(timeout, _BLIND_SECONDS)) and timeout > _BLIND_SECONDS
            self._folders, self._stop = present, stop
        while (left := until - monotonic()) > 0 and not stop.is_set():
            fresh = self._changes is None
            try:
                changes = self._next()
            except (OSError, RuntimeError, StopIteration):
                self.close()
                return not stop.wait(min(left, _BLIND_SECONDS)) and left > _BLIND_SECONDS
            # What came before the first event could be seen is found by a look.
            if changes or fresh:
                return not stop.is_set()
        return False

    def close(self) -> None:
        changes, self._changes = self._changes, None
        self._folders = ()
        close = getattr(changes, "close", None)
        if close is not None:
            close()

    def _next(self) -> bool:
        from watchfiles import watch

        if self._changes is None:
            # Without recursion: watchfiles would follow a link to anywhere and watch all that is there.
            self._changes = watch(
                *self._folders,
                watch_filter=None,
                debounce=_STEP_MS,
                step=_STEP_MS,
                stop_event=self._stop,
                rust_timeout=1000,
                yield_on_timeout=True,
                recursive=False,
                raise_interrupt=False,
            )
        return bool(next(self._changes))
