"""GPU memory between two files: back to what it was, or whoever holds it is named.

A process that was killed gives its memory back when the driver has torn its context down, which takes moments, and a
zombie or a child that outlived it never does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from trainguard.facts.machine.nvidia import read_nvidia
from trainguard.facts.machine.records import Gpu, GpuProcess, NvidiaFacts
from trainguard.findings import Evidence, Finding, Fix

# A process's context alone takes more on the GPUs of the last years (300 to 600 MiB); the driver's use varies by less.
_SLACK_BYTES = 256 << 20
_PAUSE_SECONDS = 1.0
_MOST_NAMED = 3
_MIB = 1 << 20

Ask = Callable[[], tuple[NvidiaFacts | None, tuple[Gpu, ...] | None]]


class GpuMemory:
    """Compares the memory in use with what it was before. Costs a child process a look, and nothing without GPUs.

    `visible` is CUDA_VISIBLE_DEVICES of the run: other GPUs are others' affair.
    """

    def __init__(self, *, visible: str | None = None, ask: Ask = read_nvidia) -> None:
        self._visible = visible
        self._ask = ask
        self.before: Mapping[int, int] | None = None

    def remember(self) -> Mapping[int, int]:
        """Bytes in use on each GPU now: what is to be come back to. {} where there are none, or none answers."""
        self.before = {gpu.index: gpu.used_bytes for gpu in self.visible() if gpu.used_bytes is not None}
        return self.before

    def wait(self, deadline_seconds: float, *, stop: Callable[[], bool] = lambda: False) -> Finding | None:
        """Waits until the memory is back, for `deadline_seconds` at most: SYS008, naming the holders, where it is not.

        `stop` breaks the waiting off.
        """
        if not self.before:
            return None
        until = time.monotonic() + deadline_seconds
        while True:
            above = self.above()
            if not above or stop():
                return None
            if time.monotonic() >= until:
                return self._finding(above, deadline_seconds)
            time.sleep(min(_PAUSE_SECONDS, max(until - time.monotonic(), 0.0)))

    def above(self) -> list[tuple[Gpu, int]]:
        """GPUs with more memory in use than before, and by how many bytes."""
        before = self.before or {}
        return [
            (gpu, gpu.used_bytes - before[gpu.index])
            for gpu in self.visible()
            if gpu.used_bytes is not None and gpu.index in before and gpu.used_bytes - before[gpu.index] > _SLACK_BYTES
        ]

    def visible(self) -> tuple[Gpu, ...]:
        """The GPUs that a run may use, as the driver describes them now; () where it does not answer."""
        _, gpus = self._ask()
        return tuple(gpu for gpu in gpus or () if not gpu.mig and self._is_visible(gpu))

    def _is_visible(self, gpu: Gpu) -> bool:
        if self._visible is None:
            return True
        names = [name.strip() for name in self._visible.split(",")]
        return str(gpu.index) in names or any(
            name.startswith("GPU") and (gpu.uuid or "").startswith(name) for name in names
        )

    def held_by(self, gpu: Gpu) -> str:
        """`, held by …`: the processes that the driver names, for people."""
        names = _names(gpu)
        return f", held by {', '.join(names)}" if names else ""

    def _finding(self, above: list[tuple[Gpu, int]], seconds: float) -> Finding:
        gpu, more = max(above, key=lambda each: each[1])
        holders, names = _holders(gpu), _names(gpu)
        who = (
            ", ".join(names) or "a process that the driver does not name (another container's, or one that is a zombie)"
        )
        end = f"`kill {holders[0].pid}`" if len(holders) == 1 else "end it"
        before = (self.before or {}).get(gpu.index, 0)
        return Finding(
            severity="warn",
            message=(
                f"GPU {gpu.index} has {more // _MIB:,} MiB more in use than before the last file, {seconds:.0f} s "
                f"after its run ended: {who}; the next file may run out of memory, so wait for it or {end}"
            ),
            code="SYS008",
            name="gpu-busy",
            fix=Fix("end the process that holds it, or give the run another GPU with CUDA_VISIBLE_DEVICES"),
            evidence=Evidence(
                {
                    "gpu": gpu.index,
                    "before_bytes": before,
                    "used_bytes": gpu.used_bytes,
                    "pids": [each.pid for each in holders],
                }
            ),
            docs="docs/rules/SYS008.md",
        )


def _holders(gpu: Gpu) -> list[GpuProcess]:
    return sorted(gpu.processes or (), key=lambda each: -(each.used_bytes or 0))


def _names(gpu: Gpu) -> list[str]:
    return [
        f"process {each.pid}" + (f" ({each.name})" if each.name else "") + _held(each.used_bytes)
        for each in _holders(gpu)[:_MOST_NAMED]
    ]


def visible_devices(environment: Mapping[str, str] | None = None) -> str | None:
    """CUDA_VISIBLE_DEVICES as a run will see it."""
    return (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")


def _held(count: int | None) -> str:
    return f" with {count // _MIB:,} MiB" if count else ""
