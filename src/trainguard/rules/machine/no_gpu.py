"""SYS006: no GPU that training could use."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import Gpu, MachineFacts, NvidiaFacts, TorchFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._gpus import cpu_is_meant, words
from trainguard.rules.machine._words import counted

_NONE = (
    "no GPU: {reason}; training would run on the CPU, tens of times slower; use a machine with a GPU, or set "
    "CUDA_VISIBLE_DEVICES= where the CPU is meant"
)
_NO_CUDA = (
    "torch {version} is built without CUDA, so the machine's {gpus} would stay idle and training run on the CPU; "
    "install a CUDA build (https://pytorch.org/get-started)"
)
_UNSEEN = "torch {version} sees none of the machine's {gpus}: {problem}; training would run on the CPU"
_LOST = "{gpu} does not answer: {problem}; restart the machine, and look at the kernel's log for Xid errors"
_NO_DRIVER = "the kernel's NVIDIA driver is not loaded"
_NO_LIBRARY = "there is neither an NVIDIA driver nor another accelerator"


class NoGpu(Rule):
    """No GPU, or none that torch can use.

    *What it does*

    Asks NVIDIA's driver for its GPUs, looks for accelerators of other makers, and lets the installed torch count its
    devices in a process of its own. Silent where CUDA_VISIBLE_DEVICES is set to nothing, which says that the CPU is
    meant, and where it cannot be told.

    *Why it costs you*

    The Trainer says nothing and trains on the CPU. What should take an hour is at one percent the next morning.

    *Example*

    ```sh
    pip install torch --index-url https://download.pytorch.org/whl/cpu  # on a machine with a GPU
    ```

    *Use instead*

    ```sh
    pip install torch
    ```
    """

    code = "SYS006"
    name = "no-gpu"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={
                "system": "linux",
                "gpus": (Gpu(index=0, name="NVIDIA L4"),),
                "torch": TorchFacts(version="2.8.0", cuda=(12, 8), sees=1),
            }
        ),
        Example(
            machine={"gpus": (), "accelerators": (), "visible_devices": "", "nvidia": NvidiaFacts(status="no-library")},
            why="The CPU is meant.",
        ),
        Example(
            machine={"gpus": (), "accelerators": ("AMD",), "nvidia": NvidiaFacts(status="no-library")},
            why="A GPU of another maker.",
        ),
        Example(machine={"system": "darwin"}, why="It cannot be told."),
    )
    INVALID = (
        Example(
            machine={"gpus": (), "accelerators": (), "nvidia": NvidiaFacts(status="no-library")},
            findings=((None, _NONE.format(reason=_NO_LIBRARY)),),
        ),
        Example(
            machine={"gpus": (), "accelerators": (), "nvidia": NvidiaFacts(status="no-driver")},
            findings=((None, _NONE.format(reason=_NO_DRIVER)),),
        ),
        Example(
            machine={
                "gpus": (Gpu(index=0, name="NVIDIA L4"),),
                "torch": TorchFacts(version="2.13.0+cpu", sees=0),
            },
            findings=((None, _NO_CUDA.format(version="2.13.0+cpu", gpus="1 GPU")),),
        ),
        Example(
            machine={
                "gpus": (Gpu(index=0, name="NVIDIA A10G", problem="GPU is lost"),),
                "torch": TorchFacts(version="2.8.0", cuda=(12, 8)),
            },
            findings=((None, _LOST.format(gpu="GPU 0 (NVIDIA A10G)", problem="GPU is lost")),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        if machine is None or machine.gpus is None or cpu_is_meant(machine):
            return
        for gpu in machine.gpus:
            if gpu.problem is not None:
                evidence = {"gpu": gpu.index, "xids": list(gpu.xids)}
                yield self.finding(_LOST.format(gpu=words(gpu), problem=gpu.problem), evidence=evidence)
        if any(gpu.problem is None for gpu in machine.gpus):
            yield from self._torch_sees_none(machine)
        elif not machine.gpus and machine.accelerators == () and not (machine.torch and machine.torch.sees):
            status = machine.nvidia.status if machine.nvidia is not None else "no-library"
            reason = _NO_DRIVER if status == "no-driver" else _NO_LIBRARY
            yield self.finding(_NONE.format(reason=reason), evidence={"gpus": 0, "driver": status})

    def _torch_sees_none(self, machine: MachineFacts) -> Iterator[Finding]:
        torch, gpus = machine.torch, counted(len(machine.gpus or ()), "GPU")
        if torch is None or torch.sees or torch.hip or machine.accelerators:
            return
        evidence = {"gpus": len(machine.gpus or ()), "torch": torch.version, "sees": torch.sees}
        if torch.cuda is None:
            yield self.finding(_NO_CUDA.format(version=torch.version, gpus=gpus), evidence=evidence)
        elif torch.sees == 0 and torch.problem and machine.visible_devices is None:
            driver = machine.nvidia.cuda if machine.nvidia is not None else None
            if driver is None or torch.cuda[0] <= driver[0]:  # else SYS013 names the reason
                message = _UNSEEN.format(version=torch.version, gpus=gpus, problem=torch.problem)
                yield self.finding(message, evidence=evidence)
