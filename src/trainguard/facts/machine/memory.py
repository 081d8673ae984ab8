"""Main memory, its limits, and whether the machine is swapping right now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from trainguard.facts.machine.cgroups import memory_limit
from trainguard.facts.machine.records import MemoryFacts

# Long enough for a rate, short enough not to be noticed; the kernel updates the counters at every page.
SAMPLE_SECONDS = 0.25


def read_memory(root: Path = Path("/"), *, sleep: Callable[[float], None] = time.sleep) -> MemoryFacts:
    """What is read of memory under `root`'s proc and sys; on another system only the size that psutil tells."""
    info = _fields(root / "proc/meminfo", scale=1024)
    if not info:
        return _without_proc()
    swap_total, swap_free = info.get("SwapTotal"), info.get("SwapFree")
    swap_in = swap_out = seconds = None
    if swap_total:
        swap_in, swap_out, seconds = _swap_rates(root / "proc/vmstat", sleep)
    limit = memory_limit(root)
    return MemoryFacts(
        total_bytes=info.get("MemTotal"),
        available_bytes=info.get("MemAvailable"),
        limit_bytes=limit.limit if limit else None,
        limit_free_bytes=limit.free if limit else None,
        limit_group=limit.group if limit else None,
        swap_total_bytes=swap_total,
        swap_used_bytes=swap_total - swap_free if swap_total is not None and swap_free is not None else None,
        swap_in_bytes_per_second=swap_in,
        swap_out_bytes_per_second=swap_out,
        sampled_seconds=seconds,
        stalled_share=_stalled_share(root / "proc/pressure/memory"),
        shared_memory_bytes=_shared_memory(root / "dev/shm"),
    )


def _without_proc() -> MemoryFacts:
    try:
        import psutil  # type: ignore[import-untyped]

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    except (ImportError, OSError, RuntimeError):
        return MemoryFacts()
    return MemoryFacts(
        total_bytes=int(memory.total),
        available_bytes=int(memory.available),
        swap_total_bytes=int(swap.total),
        swap_used_bytes=int(swap.used),
    )


def _swap_rates(path: Path, sleep: Callable[[float], None]) -> tuple[float | None, float | None, float | None]:
    """Bytes a second swapped in and out between two looks at the kernel's counters of pages."""
    before, start = _fields(path), time.monotonic()
    sleep(SAMPLE_SECONDS)
    after, seconds = _fields(path), time.monotonic() - start
    if not {"pswpin", "pswpout"} <= before.keys() & after.keys() or seconds <= 0:
        return None, None, None
    page = os.sysconf("SC_PAGE_SIZE")
    rates = [max(after[name] - before[name], 0) * page / seconds for name in ("pswpin", "pswpout")]
    return rates[0], rates[1], seconds


def _stalled_share(path: Path) -> float | None:
    # full avg10=0.00 avg60=0.00 avg300=0.00 total=0   (Documentation/accounting/psi.rst)
    for line in _text(path).splitlines():
        words = line.split()
        if words[:1] == ["full"] and len(words) > 1 and words[1].startswith("avg10="):
            try:
                return float(words[1].removeprefix("avg10=")) / 100
            except ValueError:
                return None
    return None


def _shared_memory(path: Path) -> int | None:
    try:
        space = os.statvfs(path)
    except OSError:
        return None
    return space.f_blocks * space.f_frsize


def _fields(path: Path, *, scale: int = 1) -> dict[str, int]:
    """`Name: 12 kB` or `name 12`, a line each."""
    found = {}
    for line in _text(path).splitlines():
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isascii() and words[1].isdigit():
            found[words[0]] = int(words[1]) * scale
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
