"""SYS007: several GPUs, and nothing says which of them a run takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainguard.facts.machine.records import Gpu
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._gpus import chosen, cpu_is_meant, words
from trainguard.rules.machine._words import GIB, counted, size

# transformers 5.23, training_args.py, `_setup_devices`: a process without a launcher takes every visible GPU, and
# trainer.py wraps the model in nn.DataParallel, which multiplies the batch size.
_UNSET = (
    "the machine has {gpus} and CUDA_VISIBLE_DEVICES is not set, so a Trainer spreads each batch over all of them; "
    "choose, such as CUDA_VISIBLE_DEVICES={index} ({name}, {free} of {total} free), or start a process for each with "
    "torchrun"
)
_WRONG = (
    "CUDA_VISIBLE_DEVICES={value} names no GPU of this machine, which has {gpus}, so training would run on the CPU; "
    "set it to {index} ({name})"
)


class GpuNotChosen(Rule):
    """Several GPUs are there and none is chosen.

    *What it does*

    Where a machine has more than one GPU and neither CUDA_VISIBLE_DEVICES nor a launcher chooses among them, names
    the one with the most free memory. A warning where CUDA_VISIBLE_DEVICES names none that exists.

    *Why it costs you*

    A Trainer in one process takes all GPUs that it sees: the batch is multiplied, other people's runs are disturbed,
    and it is slower than one process for each GPU.

    *Example*

    ```sh
    python train.py  # on a machine with 4 GPUs
    ```

    *Use instead*

    ```sh
    CUDA_VISIBLE_DEVICES=2 python train.py
    ```
    """

    code = "SYS007"
    name = "gpu-not-chosen"
    severity = "info"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={"gpus": (Gpu(index=0, total_bytes=24 * GIB, free_bytes=23 * GIB),)},
            why="There is only one.",
        ),
        Example(
            machine={
                "gpus": (Gpu(index=0, total_bytes=24 * GIB), Gpu(index=1, total_bytes=24 * GIB)),
                "visible_devices": "1",
            },
            why="One is chosen.",
        ),
        Example(
            machine={"gpus": (Gpu(index=0), Gpu(index=1)), "launched": True},
            why="The launcher gives each process its own.",
        ),
    )
    INVALID = (
        Example(
            machine={
                "gpus": (
                    Gpu(index=0, name="NVIDIA L4", total_bytes=24 * 10**9, free_bytes=3 * 10**9),
                    Gpu(index=1, name="NVIDIA L4", total_bytes=24 * 10**9, free_bytes=23 * 10**9),
                )
            },
            findings=(
                (None, _UNSET.format(gpus="2 GPUs", index=1, name="NVIDIA L4", free="23.0 GB", total="24.0 GB")),
            ),
        ),
        Example(
            machine={
                "gpus": tuple(
                    Gpu(index=index, name="NVIDIA H200", total_bytes=140 * 10**9, free_bytes=139 * 10**9)
                    for index in range(8)
                )
            },
            findings=(
                (None, _UNSET.format(gpus="8 GPUs", index=0, name="NVIDIA H200", free="139.0 GB", total="140.0 GB")),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        if machine is None or not machine.gpus or machine.launched or cpu_is_meant(machine):
            return
        usable = [gpu for gpu in machine.gpus if gpu.problem is None]
        emptiest = max(usable, key=lambda gpu: (gpu.free_bytes or 0, -gpu.index), default=None)
        if emptiest is None:
            return
        name = emptiest.name or words(emptiest)
        gpus = counted(len(machine.gpus), "GPU")
        evidence = {"gpus": len(machine.gpus), "emptiest": emptiest.index, "free_bytes": emptiest.free_bytes}
        fix = f"CUDA_VISIBLE_DEVICES={emptiest.index}"
        if machine.visible_devices is not None:
            if chosen(machine) == ():
                message = _WRONG.format(value=machine.visible_devices, gpus=gpus, index=emptiest.index, name=name)
                yield replace(self.finding(message, fix=fix, evidence=evidence), severity="warn")
            return
        if len(usable) < 2 or emptiest.free_bytes is None or emptiest.total_bytes is None:
            return
        message = _UNSET.format(
            gpus=gpus,
            index=emptiest.index,
            name=name,
            free=size(emptiest.free_bytes),
            total=size(emptiest.total_bytes),
        )
        yield self.finding(message, fix=fix, evidence=evidence)
