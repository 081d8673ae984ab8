"""Runs a command and watches the memory of its whole process tree. On Linux, from /proc; elsewhere coarser."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.01
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long a command took, and the most memory that it and its descendants held at one time."""

    seconds: float
    peak_bytes: int


def run_watched(command: list[str]) -> Run:
    """Runs `command`, output discarded. Raises RuntimeError where it exits with more than 1."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_resident_bytes(pid) for pid in [process.pid, *_descendants(process.pid)]))
        time.sleep(_SAMPLE_SECONDS)
    seconds = time.perf_counter() - start
    _, errors = process.communicate()
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}: {errors.strip()}")
    return Run(seconds=seconds, peak_bytes=peak or _largest_child_bytes())


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:  # it has ended meanwhile
        return found
    for thread in threads:
        try:
            children = [int(word) for word in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _resident_bytes(pid: int) -> int:
    """The resident set less what is shared with other processes' files would be fairer; this errs upwards."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _largest_child_bytes() -> int:
    """Where there is no /proc: the largest single process of all that have ended. macOS counts in bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
