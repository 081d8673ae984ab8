"""Gives memory back after training: garbage collected, the allocator's cache emptied, and what is left is said."""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass

import torch

logger = logging.getLogger(__name__)

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemory:
    """Memory of one GPU in bytes: held by tensors, held by PyTorch's allocator, and what the GPU has."""

    device: str
    allocated_bytes: int
    reserved_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRelease:
    """What `release_gpu_memory` has done. Without a GPU there is nothing in `before` and `after`, and `note` says so.

    `objects_collected` counts the Python objects that only referred to each other. `warnings` name the GPUs of which
    more is still allocated than asked for.
    """

    before: tuple[GpuMemory, ...]
    after: tuple[GpuMemory, ...]
    objects_collected: int
    note: str
    warnings: tuple[str, ...] = ()

    @property
    def freed_bytes(self) -> int:
        """Reserved memory that went back to the GPUs."""
        return sum(each.reserved_bytes for each in self.before) - sum(each.reserved_bytes for each in self.after)


def release_gpu_memory(*, warn_above: float = 0.1) -> MemoryRelease:
    """Collects garbage, waits for the GPUs, empties PyTorch's caches, and reports memory before and after.

    Delete your own references first (`del trainer, model`): what something still refers to stays allocated. A warning
    is logged for each GPU of which more than the share `warn_above` (0 to 1) is still allocated. Without a GPU that
    was used only garbage is collected, which `note` says.

    Raises ValueError where `warn_above` is no share.
    """
    if isinstance(warn_above, bool) or not isinstance(warn_above, int | float) or not 0 <= warn_above <= 1:
        raise ValueError(f"warn_above is {warn_above!r}, expected a share from 0 to 1 of the GPU's memory")
    # Asking a GPU that was never used would start CUDA in this process, which costs some 500 MB on it.
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        why = "no GPU is visible to PyTorch" if not torch.cuda.is_available() else "this process has used no GPU"
        note = f"{why}, so there was no GPU memory to release"
        logger.info("release_gpu_memory: %s", note)
        return MemoryRelease(before=(), after=(), objects_collected=gc.collect(), note=note)
    devices = range(torch.cuda.device_count())
    before = tuple(_memory(device) for device in devices)
    collected = gc.collect()
    for device in devices:
        # A GPU on which this process holds nothing is not touched, for the same reason.
        if before[device].reserved_bytes:
            torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    torch.cuda.ipc_collect()  # type: ignore[no-untyped-call]
    after = tuple(_memory(device) for device in devices)
    warnings = tuple(
        _warning(each, warn_above) for each in after if each.allocated_bytes > warn_above * each.total_bytes
    )
    for warning in warnings:
        logger.warning("release_gpu_memory: %s", warning)
    freed = (sum(each.reserved_bytes for each in before) - sum(each.reserved_bytes for each in after)) / _GIB
    held = sum(each.allocated_bytes for each in after) / _GIB
    note = f"{freed:.2f} GiB went back, {held:.2f} GiB are still allocated"
    logger.info("release_gpu_memory: %s", note)
    return MemoryRelease(before=before, after=after, objects_collected=collected, note=note, warnings=warnings)


def _memory(device: int) -> GpuMemory:
    return GpuMemory(
        device=f"cuda:{device}",
        allocated_bytes=torch.cuda.memory_allocated(device),
        reserved_bytes=torch.cuda.memory_reserved(device),
        total_bytes=torch.cuda.get_device_properties(device).total_memory,
    )


def _warning(memory: GpuMemory, warn_above: float) -> str:
    share = memory.allocated_bytes / memory.total_bytes
    return (
        f"{memory.device} still has {memory.allocated_bytes / _GIB:.2f} GiB allocated, {share:.0%} of its memory and "
        f"more than warn_above={warn_above:.0%}; something still refers to tensors: del the trainer and model first"
    )
