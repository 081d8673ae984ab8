"""What the kernel says while an attempt runs: its log from a moment on, where it may be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_MOST_RECORDS = 20_000
_MOST_LINES = 400
# One record a read; a shorter buffer is refused with EINVAL (Documentation/ABI/testing/dev-kmsg: at most 8 KiB).
_RECORD_BYTES = 8192
# proc_pid_ns: the number of the first name space of processes (include/linux/proc_ns.h, PROC_PID_INIT_INO).
_FIRST_NAMESPACE = "pid:[4026531836]"


class KernelLog:
    """The records from the making of this object on. Needs no more than the right to open the log, and never raises."""

    def __init__(self, path: Path = Path("/dev/kmsg")) -> None:
        self._descriptor: int | None = None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.lseek(descriptor, 0, os.SEEK_END)
        except OSError:  # no log: a pipe in its place
            os.close(descriptor)
            return
        self._descriptor = descriptor

    @property
    def is_read(self) -> bool:
        return self._descriptor is not None

    def lines(self) -> tuple[str, ...]:
        """The messages since the last call, at most the last 400. () where there are none, or no right to read them."""
        found: list[str] = []
        for _ in range(_MOST_RECORDS if self._descriptor is not None else 0):
            try:
                record = os.read(self._descriptor or 0, _RECORD_BYTES)
            except OSError as error:
                if error.errno == errno.EPIPE:  # some were overwritten before they were read; the next read goes on
                    continue
                break
            if not record:
                break
            # 6,1234,5678,-;the message\n KEY=value\n
            _, separator, message = record.partition(b";")
            if separator:
                found.append(message.split(b"\n", 1)[0].decode("utf-8", "backslashreplace"))
        return tuple(found[-_MOST_LINES:])

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def numbers_are_the_kernels() -> bool:
    """Whether the log counts processes as we do: not so in a container, which has numbers of its own."""
    try:
        return os.readlink("/proc/self/ns/pid") == _FIRST_NAMESPACE
    except OSError:
        return False
