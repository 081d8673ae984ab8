"""SYS004: too little main memory to start."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import MemoryFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import GIB, size

# `import torch, transformers, trl` takes 0.43 GiB (torch 2.13 for CPU, transformers 5.23, trl 1.16, measured); the
# start of CUDA, a tokenizer and the smallest model more than as much again.
_LITTLE_BYTES = GIB

_FREE = (
    "{free} of {total} of memory are available, and the training libraries alone take half a GB before any model is "
    "loaded; end other programs, or use a machine with more memory"
)
_GROUP = (
    "the control group {group} leaves {free} of its limit of {limit}, and the training libraries alone take half a GB "
    "before any model is loaded; raise the container's memory limit"
)


class RamLow(Rule):
    """Hardly any main memory left, on the machine or in its container.

    *What it does*

    Looks at the memory that is available and at the limits of every control group above this process, and takes the
    lower of the two. A warning below 1 GiB. Pages that hold files count as free.

    *Why it costs you*

    Weights pass through main memory on their way to the GPU. A process that goes over the limit is killed by the
    kernel without an exception, a message or a checkpoint.

    *Example*

    ```sh
    docker run --memory 600m trainer
    ```

    *Use instead*

    ```sh
    docker run --memory 16g trainer
    ```
    """

    code = "SYS004"
    name = "ram-low"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(machine={"memory": MemoryFacts(total_bytes=8 * GIB, available_bytes=3 * GIB)}),
        Example(
            machine={
                "memory": MemoryFacts(
                    total_bytes=64 * GIB,
                    available_bytes=60 * GIB,
                    limit_bytes=8 * GIB,
                    limit_free_bytes=7 * GIB,
                    limit_group="/sys/fs/cgroup",
                )
            },
            why="A container with room enough.",
        ),
        Example(machine={"memory": MemoryFacts()}, why="It cannot be told."),
    )
    INVALID = (
        Example(
            machine={"memory": MemoryFacts(total_bytes=16 * 10**9, available_bytes=3 * 10**8)},
            findings=((None, _FREE.format(free="300.0 MB", total="16.0 GB")),),
        ),
        Example(
            machine={
                "memory": MemoryFacts(
                    total_bytes=64 * 10**9,
                    available_bytes=60 * 10**9,
                    limit_bytes=6 * 10**8,
                    limit_free_bytes=5 * 10**8,
                    limit_group="/sys/fs/cgroup",
                )
            },
            findings=((None, _GROUP.format(group="/sys/fs/cgroup", free="500.0 MB", limit="600.0 MB")),),
            why="The machine has memory, the container may not take it.",
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        memory = subject.machine.memory if subject.machine is not None else MemoryFacts()
        usable = memory.usable_bytes
        if usable is None or usable >= _LITTLE_BYTES:
            return
        evidence = {
            "available_bytes": memory.available_bytes,
            "total_bytes": memory.total_bytes,
            "limit_bytes": memory.limit_bytes,
            "limit_free_bytes": memory.limit_free_bytes,
        }
        if usable == memory.limit_free_bytes and memory.limit_bytes is not None:
            message = _GROUP.format(group=memory.limit_group, free=size(usable), limit=size(memory.limit_bytes))
        else:
            total = size(memory.total_bytes) if memory.total_bytes is not None else "an unknown size"
            message = _FREE.format(free=size(usable), total=total)
        yield self.finding(message, evidence=evidence)
