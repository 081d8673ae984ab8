"""NVIDIA's driver and GPUs, asked through its management library in a child process; and the kernel's log of them."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainguard.facts.machine.child import ask_child
from trainguard.facts.machine.records import Gpu, GpuProcess, NvidiaFacts

# The driver starts anew where no process holds it, which takes a second or two for each GPU (NVIDIA's "Driver
# Persistence" guide).
DEADLINE_SECONDS = 30.0

_PROBE = Path(__file__).with_name("_nvidia_probe.py")
_LIBRARY = "libnvidia-ml.so.1"
_GPU_FIELDS = "name uuid bus_id total_bytes free_bytes used_bytes uncorrected_errors mig problem".split()
_MAX_LOG_RECORDS = 100_000
# NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.   (NVIDIA's "XID Errors" guide)
_XID = re.compile(rb"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")


def read_nvidia(*, deadline_seconds: float = DEADLINE_SECONDS) -> tuple[NvidiaFacts | None, tuple[Gpu, ...] | None]:
    """The driver, and its GPUs: () where there is none, None where it cannot be told. Never raises."""
    if sys.platform != "linux":
        return None, None
    if not _library_is_there():
        # The device files without the library: a container that was started without the driver's libraries.
        found = None if Path("/dev/nvidiactl").exists() else ()
        return NvidiaFacts(status="no-library"), found
    answer = ask_child(_PROBE, {}, deadline_seconds=deadline_seconds, isolated=False)
    values = answer.values
    if answer.timed_out:
        message = f"the driver did not answer within {deadline_seconds:g} s"
        return NvidiaFacts(status="timeout", message=message), None
    if "status" not in values:
        return NvidiaFacts(status="error", message=answer.failed or "the driver's library gave no answer"), None
    facts = NvidiaFacts(
        status=values["status"],
        driver=values.get("driver"),
        cuda=_pair(values.get("cuda")),
        message=values.get("message", ""),
    )
    if facts.status in ("no-library", "no-driver"):
        return facts, ()
    if facts.status != "ok":
        return facts, None
    gpus = tuple(_gpu(each) for each in values.get("gpus", ()))
    return facts, _with_xids(gpus) if gpus else gpus


def _library_is_there() -> bool:
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def _gpu(values: Mapping[str, Any]) -> Gpu:
    processes = values.get("processes")
    plain: dict[str, Any] = {name: values.get(name) for name in _GPU_FIELDS}
    return Gpu(
        index=values["index"],
        capability=_pair(values.get("capability")),
        processes=tuple(GpuProcess(**each) for each in processes) if processes is not None else None,
        **plain,
    )


def _pair(values: Any) -> tuple[int, int] | None:
    return (int(values[0]), int(values[1])) if values else None


def _with_xids(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    numbers = read_xids()
    return tuple(replace(gpu, xids=numbers.get(_bus(gpu.bus_id or ""), ())) for gpu in gpus)


def read_xids(log: Path = Path("/dev/kmsg")) -> dict[str, tuple[int, ...]]:
    """The driver's error numbers in the kernel's log since it began, by PCI bus; {} where it may not be read."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        for _ in range(_MAX_LOG_RECORDS):
            record = os.read(descriptor, 8192)  # one record a read, EAGAIN after the last (Documentation/ABI/dev-kmsg)
            if not record:
                break
            for match in _XID.finditer(record):
                number = int(match[2])
                if number not in found[_bus(match[1].decode())]:
                    found[_bus(match[1].decode())].append(number)
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return {bus: tuple(numbers) for bus, numbers in found.items()}


def _bus(text: str) -> str:
    """`00000000:3B:00.0` of NVML and `0000:3b:00` of the log as one: domain, bus and device."""
    parts = text.partition(".")[0].lower().split(":")
    return ":".join([parts[0].lstrip("0").rjust(4, "0"), *parts[1:]])
