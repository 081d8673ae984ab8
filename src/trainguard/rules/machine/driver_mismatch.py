"""SYS013: an NVIDIA driver that does not go with its library, or with torch."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import Gpu, NvidiaFacts, TorchFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._gpus import cpu_is_meant

# The oldest driver that serves any release of a major CUDA version: table 1 of NVIDIA's "CUDA Compatibility", "Minor
# Version Compatibility" (https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html).
_OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}

_LIBRARY = (
    "the NVIDIA driver in the kernel and its library are of different releases, as after an update: no program can use "
    "a GPU until the machine is restarted"
)
_TORCH = (
    "torch {version} is built for CUDA {wanted}, and the driver {driver} serves CUDA {served} at most, so torch sees "
    "no GPU; {remedy}install a torch for CUDA {major}"
)


class DriverMismatch(Rule):
    """The NVIDIA driver is too old for the installed torch, or does not go with its own library.

    *What it does*

    Compares the CUDA version that torch was built for with the newest that the driver serves, by major version: within
    one, NVIDIA promises that any release runs. Silent where torch sees the GPUs all the same.

    *Why it costs you*

    torch warns once and goes on without a GPU, or every CUDA call fails.

    *Example*

    ```sh
    pip install torch==2.9.1  # CUDA 13 on a machine with driver 550
    ```

    *Use instead*

    ```sh
    pip install torch==2.9.1 --index-url https://download.pytorch.org/whl/cu126
    ```
    """

    code = "SYS013"
    name = "driver-mismatch"
    severity = "error"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={
                "gpus": (Gpu(index=0),),
                "nvidia": NvidiaFacts(status="ok", driver="550.54.15", cuda=(12, 4)),
                "torch": TorchFacts(version="2.8.0", cuda=(12, 8), sees=1),
            },
            why="Within CUDA 12 an older driver serves a newer release.",
        ),
        Example(
            machine={
                "gpus": (Gpu(index=0),),
                "nvidia": NvidiaFacts(status="ok", driver="550.54.15", cuda=(12, 4)),
                "torch": TorchFacts(version="2.9.1", cuda=(13, 0), sees=1),
            },
            why="torch sees the GPU: a compatibility package is installed.",
        ),
        Example(machine={"gpus": (), "nvidia": NvidiaFacts(status="no-library")}),
    )
    INVALID = (
        Example(
            machine={
                "gpus": (Gpu(index=0),),
                "nvidia": NvidiaFacts(status="ok", driver="550.54.15", cuda=(12, 4)),
                "torch": TorchFacts(version="2.9.1", cuda=(13, 0), sees=0),
            },
            findings=(
                (
                    None,
                    _TORCH.format(
                        version="2.9.1",
                        wanted="13.0",
                        driver="550.54.15",
                        served="12.4",
                        remedy="install a driver from 580 on, or ",
                        major=12,
                    ),
                ),
            ),
        ),
        Example(
            machine={"nvidia": NvidiaFacts(status="version-mismatch", message="Driver/library version mismatch")},
            findings=((None, _LIBRARY),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        if machine is None or machine.nvidia is None or cpu_is_meant(machine):
            return
        nvidia, torch = machine.nvidia, machine.torch
        if nvidia.status == "version-mismatch":
            yield self.finding(_LIBRARY, evidence={"driver": nvidia.driver})
            return
        if torch is None or torch.cuda is None or nvidia.cuda is None or torch.cuda[0] <= nvidia.cuda[0]:
            return
        if torch.sees or (torch.sees is None and torch.problem is None):
            return
        oldest = _OLDEST_DRIVER.get(torch.cuda[0])
        message = _TORCH.format(
            version=torch.version,
            wanted=".".join(map(str, torch.cuda)),
            driver=nvidia.driver or "",
            served=".".join(map(str, nvidia.cuda)),
            remedy=f"install a driver from {oldest} on, or " if oldest is not None else "",
            major=nvidia.cuda[0],
        )
        evidence = {"torch_cuda": list(torch.cuda), "driver_cuda": list(nvidia.cuda), "driver": nvidia.driver}
        yield self.finding(message, evidence=evidence)
