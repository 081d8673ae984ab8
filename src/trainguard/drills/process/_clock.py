"""A wall clock that can be moved while processes run: a library before the C library, which adds a number of seconds.

The number lies in a file that all of them map. Only CLOCK_REALTIME moves, as when somebody sets the clock: the
monotonic clock goes on. Without a C compiler only Python's own `time.time` moves.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIFTED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) ahead = map;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *when) {
    int failed = syscall(SYS_clock_gettime, clock, when);
    if (!failed && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) when->tv_sec += *ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict when, void *restrict zone) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    if (!failed && when) { when->tv_sec = now.tv_sec; when->tv_usec = now.tv_nsec / 1000; }
    return failed;
}

time_t time(time_t *when) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (when) *when = now.tv_sec;
    return now.tv_sec;
}
"""

# Imported by every Python process whose path has it (site, "sitecustomize").
_PYTHON = """
import mmap, os, struct, time

with open(os.environ["SHIFTED_CLOCK"], "rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
true = time.time_ns
time.time_ns = lambda: true() + struct.unpack("=q", ahead[:])[0] * 10**9
time.time = lambda: time.time_ns() / 1e9
"""


@dataclass(slots=True)
class ShiftedClock:
    """`environment` is for the processes whose clock is to move."""

    file: Path
    environment: dict[str, str] = field(default_factory=dict)

    def move(self, seconds: int) -> None:
        """The clock is `seconds` ahead of the true one from now on."""
        with self.file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", seconds))


def shifted_clock(folder: Path) -> ShiftedClock:
    """A clock whose files lie in `folder`. Raises subprocess.CalledProcessError where the compiler fails."""
    file, library = folder / "clock", folder / "clock.so"
    file.write_bytes(struct.pack("=q", 0))
    compiler = shutil.which("cc")
    if compiler is None:
        (folder / "python").mkdir(exist_ok=True)
        (folder / "python/sitecustomize.py").write_text(_PYTHON, encoding="ascii")
        paths = [str(folder / "python"), os.environ.get("PYTHONPATH", "")]
        return ShiftedClock(file, {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "SHIFTED_CLOCK": str(file)})
    source = folder / "clock.c"
    source.write_text(_SOURCE, encoding="ascii")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True, capture_output=True
    )
    return ShiftedClock(file, {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(file)})
