"""Work that is done beside the loop, in a process of its own: it may take long, hang or crash, and the loop goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

_MOST_BYTES = 8 << 20
_MOST_WORDS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command printed, and how it ended: `exit_code` None where the deadline came first or it did not start."""

    exit_code: int | None
    output: bytes
    error: str
    timed_out: bool = False


class Aside:
    """One command. It gets a session of its own, so that all of it can be ended, and the lowest priority but one."""

    def __init__(
        self, command: Sequence[str], *, deadline_seconds: float, environment: Mapping[str, str] | None = None
    ) -> None:
        self._until = time.monotonic() + deadline_seconds
        # Files and not pipes: nobody has to read while it runs, and a grandchild that stays holds up nobody.
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self._said: Said | None = None
        try:
            self._process = subprocess.Popen(
                ["nice", "-n", "10", *command],
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                cwd="/",
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            self._said = Said(exit_code=None, output=b"", error=f"{command[0]}: {error.strerror or error}")
            self._close()

    def poll(self) -> Said | None:
        """What it said once it has ended, None while it runs. Never waits."""
        process = self._process
        if self._said is not None or process is None:
            return self._said
        code = process.poll()
        late = code is None and time.monotonic() > self._until
        if code is None and not late:
            return None
        if late:
            self._kill(process)
        error = self._read(self._err)[-_MOST_WORDS:].decode("utf-8", "backslashreplace").strip()
        self._said = Said(exit_code=code, output=self._read(self._out), error=error, timed_out=late)
        self._close()
        return self._said

    def end(self) -> None:
        """Ends it now; what it said is lost."""
        if self._process is not None and self._said is None:
            self._kill(self._process)
            self._said = Said(exit_code=None, output=b"", error="ended")
            self._close()

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        # A process in an uninterruptible wait dies when the wait ends; the loop does not wait for that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)

    def _read(self, file: IO[bytes]) -> bytes:
        with contextlib.suppress(OSError):
            file.seek(0)
            return file.read(_MOST_BYTES)
        return b""

    def _close(self) -> None:
        for file in (self._out, self._err):
            with contextlib.suppress(OSError):
                file.close()
