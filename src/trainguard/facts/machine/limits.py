"""Limits of open files, processes and file sizes, the clock, and who started this process."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

from trainguard.facts.machine.cgroups import process_limit
from trainguard.facts.machine.records import ClockFacts, LimitsFacts

# Set for every process that a launcher starts: torchrun and accelerate (torch.distributed.run's documentation,
# "Environment Variables"), Slurm (srun(1)), Open MPI.
_LAUNCHERS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")


def read_limits(root: Path = Path("/")) -> LimitsFacts:
    """The limits of this process, and the `pids.max` of its control groups."""
    unlimited = set()
    values: dict[str, int | None] = {}
    for name, number in (
        ("open_files", resource.RLIMIT_NOFILE),
        ("processes", getattr(resource, "RLIMIT_NPROC", None)),
        ("file_bytes", resource.RLIMIT_FSIZE),
    ):
        if number is None:
            continue
        soft, hard = resource.getrlimit(number)
        if soft == resource.RLIM_INFINITY:
            unlimited.add(name)
        values[name] = None if soft == resource.RLIM_INFINITY else soft
        if name == "open_files":
            values["open_files_hard"] = None if hard == resource.RLIM_INFINITY else hard
    group = process_limit(root)
    return LimitsFacts(
        # CAP_SYS_RESOURCE and CAP_SYS_ADMIN are not bound by it (getrlimit(2), RLIMIT_NPROC).
        processes_bind=os.geteuid() != 0,
        group_processes=group.limit if group else None,
        group_free=group.free if group else None,
        unlimited=frozenset(unlimited),
        **values,
    )


def read_clock(started_wall: float, started_monotonic: float) -> ClockFacts:
    """The wall clock now, and how far it went beside the monotonic one since the two readings given."""
    wall, monotonic = time.time(), time.monotonic()
    return ClockFacts(wall_seconds=wall, drift_seconds=(wall - started_wall) - (monotonic - started_monotonic))


def is_launched(environment: Mapping[str, str]) -> bool:
    """Whether a launcher started this process and deals out the GPUs among its siblings."""
    return any(name in environment for name in _LAUNCHERS)


def usable_cores() -> int | None:
    """The cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS
        return os.cpu_count()
