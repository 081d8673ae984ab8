"""Which of the machine's GPUs a run would use."""

from __future__ import annotations

from trainguard.facts.machine.records import Gpu, MachineFacts


def cpu_is_meant(machine: MachineFacts) -> bool:
    """Whether CUDA_VISIBLE_DEVICES hides every GPU on purpose: set to nothing, or to -1."""
    return machine.visible_devices is not None and machine.visible_devices.strip() in ("", "-1", "none", "NoDevFiles")


def chosen(machine: MachineFacts) -> tuple[Gpu, ...] | None:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves, all of them where it is not set; None where it cannot be told.

    CUDA numbers unlike GPUs by speed unless CUDA_DEVICE_ORDER=PCI_BUS_ID (CUDA C++ Programming Guide, "CUDA
    Environment Variables"), so that a number names a certain GPU only among GPUs of one kind. The list ends at the
    first entry that names no GPU.
    """
    gpus = machine.gpus
    if gpus is None or machine.visible_devices is None:
        return gpus
    ordered = machine.device_order == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) <= 1
    found: list[Gpu] = []
    for entry in machine.visible_devices.split(","):
        name = entry.strip()
        if name.startswith("MIG"):
            return None
        if name.startswith("GPU"):
            named = [gpu for gpu in gpus if (gpu.uuid or "").startswith(name)]
        elif name.isascii() and name.isdigit():
            if not ordered:
                return None
            named = [gpu for gpu in gpus if gpu.index == int(name)]
        else:
            named = []
        if len(named) != 1:
            break
        found.append(named[0])
    return tuple(found)


def words(gpu: Gpu) -> str:
    """`GPU 0 (NVIDIA H200)`."""
    return f"GPU {gpu.index}" + (f" ({gpu.name})" if gpu.name else "")
