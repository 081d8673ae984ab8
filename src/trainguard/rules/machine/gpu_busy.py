"""SYS008: the GPU of the run is in use by others."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import Gpu, GpuProcess
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._gpus import chosen, words
from trainguard.rules.machine._words import GIB, size

# What the driver itself and a desktop keep stays below both: the driver holds back half a GiB of an H100.
_BYTES = GIB
_SHARE = 0.10
_MAX_NAMED = 3

_MESSAGE = (
    "{gpu} is in use: {used} of {total} are taken by {whom}, so a model that fits an empty GPU may not fit this one; "
    "wait for them or end them{choose}"
)
_CHOOSE = ", or set CUDA_VISIBLE_DEVICES={index}, which has {free} free"


class GpuBusy(Rule):
    """Other processes hold memory of the GPU that a run would use.

    *What it does*

    Looks at the memory in use on each GPU that CUDA_VISIBLE_DEVICES leaves, and names the processes. A warning from
    1 GiB and a tenth of the GPU's memory on. Silent for GPUs that are divided (MIG).

    *Why it costs you*

    The run fails with out-of-memory, at once or at the first long batch, or makes the other run fail.

    *Example*

    ```sh
    nvidia-smi  # 71 of 80 GB in use by a notebook of yesterday
    ```

    *Use instead*

    ```sh
    CUDA_VISIBLE_DEVICES=1 python train.py
    ```
    """

    code = "SYS008"
    name = "gpu-busy"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={"gpus": (Gpu(index=0, total_bytes=80 * 10**9, free_bytes=79 * 10**9, used_bytes=6 * 10**8),)},
            why="The driver's own.",
        ),
        Example(
            machine={
                "gpus": (
                    Gpu(index=0, total_bytes=80 * 10**9, used_bytes=70 * 10**9),
                    Gpu(index=1, total_bytes=80 * 10**9, used_bytes=0),
                ),
                "visible_devices": "1",
            },
            why="The one in use is not chosen.",
        ),
    )
    INVALID = (
        Example(
            machine={
                "gpus": (
                    Gpu(
                        index=0,
                        name="NVIDIA A100",
                        total_bytes=80 * 10**9,
                        free_bytes=9 * 10**9,
                        used_bytes=71 * 10**9,
                        processes=(GpuProcess(pid=4242, used_bytes=70 * 10**9, name="python"),),
                    ),
                )
            },
            findings=(
                (
                    None,
                    _MESSAGE.format(
                        gpu="GPU 0 (NVIDIA A100)",
                        used="71.0 GB",
                        total="80.0 GB",
                        whom="process 4242 (python, 70.0 GB)",
                        choose="",
                    ),
                ),
            ),
        ),
        Example(
            machine={
                "gpus": (
                    Gpu(index=0, total_bytes=24 * 10**9, free_bytes=2 * 10**9, used_bytes=22 * 10**9, processes=()),
                    Gpu(index=1, total_bytes=24 * 10**9, free_bytes=23 * 10**9, used_bytes=10**8),
                ),
                "visible_devices": "0",
            },
            findings=(
                (
                    None,
                    _MESSAGE.format(
                        gpu="GPU 0",
                        used="22.0 GB",
                        total="24.0 GB",
                        whom="processes that cannot be seen from here",
                        choose=_CHOOSE.format(index=1, free="23.0 GB"),
                    ),
                ),
            ),
            why="From inside a container.",
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        if machine is None or machine.gpus is None:
            return
        for gpu in chosen(machine) or ():
            used, total = gpu.used_bytes, gpu.total_bytes
            if not _busy(gpu) or used is None or total is None:
                continue
            free = [other for other in machine.gpus if not _busy(other) and other.free_bytes and not other.problem]
            best = max(free, key=lambda other: (other.free_bytes or 0, -other.index), default=None)
            choose = _CHOOSE.format(index=best.index, free=size(best.free_bytes or 0)) if best is not None else ""
            message = _MESSAGE.format(
                gpu=words(gpu), used=size(used), total=size(total), whom=_whom(gpu.processes or ()), choose=choose
            )
            pids = [process.pid for process in gpu.processes or ()]
            evidence = {"gpu": gpu.index, "used_bytes": used, "total_bytes": total, "processes": pids}
            yield self.finding(message, evidence=evidence)


def _busy(gpu: Gpu) -> bool:
    if gpu.mig or gpu.used_bytes is None or gpu.total_bytes is None:
        return False
    return gpu.used_bytes >= _BYTES and gpu.used_bytes >= _SHARE * gpu.total_bytes


def _whom(processes: tuple[GpuProcess, ...]) -> str:
    if not processes:
        return "processes that cannot be seen from here"
    named = []
    for process in sorted(processes, key=lambda each: -(each.used_bytes or 0))[:_MAX_NAMED]:
        known = [process.name or "", size(process.used_bytes) if process.used_bytes is not None else ""]
        details = ", ".join(each for each in known if each)
        named.append(f"process {process.pid}" + (f" ({details})" if details else ""))
    more = len(processes) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
