"""Reads a machine. Nothing here hangs or raises; what cannot be told is None."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from trainguard.facts.machine import folder as folders
from trainguard.facts.machine.limits import is_launched, read_clock, read_limits, usable_cores
from trainguard.facts.machine.memory import read_memory
from trainguard.facts.machine.nvidia import read_nvidia
from trainguard.facts.machine.records import LimitsFacts, MachineFacts, MemoryFacts
from trainguard.facts.machine.torch_build import read_torch

_T = TypeVar("_T")

# Where other makers' devices appear: AMD's compute driver (Documentation/gpu/amdgpu), the kernel's class of
# accelerators (Documentation/accel: Habana Gaudi, NPUs; TPU machines have the same names).
_ACCELERATORS = {"AMD": ("kfd",), "accelerator": ("accel", "accel0")}


def read_machine(
    *,
    folder: Path | None = None,
    needed_bytes: int | None = None,
    deadline_seconds: float = folders.DEADLINE_SECONDS,
    ask_torch: bool = True,
) -> MachineFacts:
    """What this machine is for a run that writes into `folder`, whose next checkpoint takes `needed_bytes`.

    Without `needed_bytes`, the largest checkpoint that lies in the folder says how large the next one will be.

    A small file is written into the folder (or the nearest one above it that exists) and removed. A file system
    that does not answer costs `deadline_seconds`. torch is asked, in a process of its own, only where there is a
    GPU; `ask_torch` False leaves that out.
    """
    wall, monotonic = time.time(), time.monotonic()
    # The folder first: it is what a check is most often about, and its skew is measured against a quiet machine.
    place = folders.read_folder(folder, deadline_seconds=deadline_seconds) if folder is not None else None
    if needed_bytes is None and place is not None:
        needed_bytes = place.checkpoint_bytes
    nvidia, gpus = read_nvidia()
    torch = _or_default(lambda: read_torch(ask=ask_torch and bool(gpus)), None)
    return MachineFacts(
        system=sys.platform,
        cores=usable_cores(),
        needed_bytes=needed_bytes,
        folder=place,
        memory=_or_default(read_memory, MemoryFacts()),
        gpus=gpus,
        nvidia=nvidia,
        accelerators=_accelerators(),
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        device_order=os.environ.get("CUDA_DEVICE_ORDER"),
        launched=is_launched(os.environ),
        torch=torch,
        limits=_or_default(read_limits, LimitsFacts()),
        clock=read_clock(wall, monotonic),
    )


def _accelerators() -> tuple[str, ...] | None:
    if sys.platform != "linux":
        return None
    found = []
    for maker, names in _ACCELERATORS.items():
        if any(os.path.exists(f"/dev/{name}") for name in names):
            found.append(maker)
    return tuple(found)


def _or_default(read: Callable[[], _T], default: _T) -> _T:
    """What `read` says; an oddity of the system that nobody has thought of is "cannot tell", not a failed check."""
    try:
        return read()
    except (OSError, ValueError):
        return default
