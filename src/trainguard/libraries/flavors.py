"""The hardware flavors of HF Jobs: what they have, what they can compute, what they cost.

Names: `JobHardware` in huggingface_hub 2.4.0. Prices, memory and disks: the hub's docs
(docs/hub/jobs-pricing.md and jobs-configuration.md, 2026-08-22). The live catalogue,
`GET /api/jobs/hardware`, knows better where it is reachable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

Capability: TypeAlias = tuple[int, int]

DEFAULT_FLAVOR = "cpu-basic"  # huggingface_hub 2.4.0, `_create_job_spec`: `flavor or JobHardware.CPU_BASIC`

# Compute capabilities: https://developer.nvidia.com/cuda-gpus.
T4, A100, A10G, L4, L40S, H200, RTX_PRO_6000 = (7, 5), (8, 0), (8, 6), (8, 9), (8, 9), (9, 0), (12, 0)

# bf16 and TF32 tensor cores came with Ampere: transformers 5.23.0, `is_torch_bf16_gpu_available` and
# `is_torch_tf32_available` (device major >= 8).
BF16_CAPABILITY: Capability = (8, 0)
TF32_CAPABILITY: Capability = (8, 0)
# README of Dao-AILab/flash-attention: FlashAttention-2 runs on Ampere, Ada and Hopper; the separate
# FlashAttention-3 is built for Hopper alone (sm_90a).
FLASH_ATTENTION_2_CAPABILITY: Capability = (8, 0)
FLASH_ATTENTION_3_MAJOR = 9
# FP8 tensor cores came with Ada (8.9) and Hopper: torch's `_scaled_mm` asks for 8.9 or newer.
FP8_CAPABILITY: Capability = (8, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One machine that can be rented. Gigabytes as sold; `price_per_hour` in US dollars, None where unknown.

    `gpu_memory_gb` is the memory of one GPU. `capability` is None on a machine without a CUDA GPU, and every
    `supports_…` is then False: ask `has_gpu` first.
    """

    name: str
    gpu: str | None = None
    gpu_count: int = 0
    gpu_memory_gb: int = 0
    capability: Capability | None = None
    ram_gb: int | None = None
    disk_gb: int | None = None
    price_per_hour: float | None = None

    @property
    def total_gpu_memory_gb(self) -> int:
        return self.gpu_count * self.gpu_memory_gb

    @property
    def has_gpu(self) -> bool:
        return self.gpu_count > 0

    @property
    def supports_bf16(self) -> bool:
        return self._at_least(BF16_CAPABILITY)

    @property
    def supports_tf32(self) -> bool:
        return self._at_least(TF32_CAPABILITY)

    @property
    def supports_flash_attention_2(self) -> bool:
        return self._at_least(FLASH_ATTENTION_2_CAPABILITY)

    @property
    def supports_flash_attention_3(self) -> bool:
        return self.capability is not None and self.capability[0] == FLASH_ATTENTION_3_MAJOR

    @property
    def supports_fp8(self) -> bool:
        return self._at_least(FP8_CAPABILITY)

    def _at_least(self, needed: Capability) -> bool:
        return self.capability is not None and self.capability >= needed


def _cpu(name: str, price: float, ram_gb: int, disk_gb: int) -> Flavor:
    return Flavor(name=name, price_per_hour=price, ram_gb=ram_gb, disk_gb=disk_gb)


def _gpu(
    name: str, gpu: str, count: int, memory_gb: int, capability: Capability, price: float, ram_gb: int, disk_gb: int
) -> Flavor:
    return Flavor(
        name=name,
        gpu=gpu,
        gpu_count=count,
        gpu_memory_gb=memory_gb,
        capability=capability,
        price_per_hour=price,
        ram_gb=ram_gb,
        disk_gb=disk_gb,
    )


_TABLE: tuple[Flavor, ...] = (
    _cpu("cpu-basic", 0.01, 16, 50),
    _cpu("cpu-upgrade", 0.03, 32, 50),
    _cpu("cpu-xl", 1.00, 124, 1000),
    _cpu("cpu-performance", 1.90, 256, 1024),
    _gpu("t4-small", "T4", 1, 16, T4, 0.40, 15, 50),
    _gpu("t4-medium", "T4", 1, 16, T4, 0.60, 30, 100),
    _gpu("l4x1", "L4", 1, 24, L4, 0.80, 30, 400),
    _gpu("l4x4", "L4", 4, 24, L4, 3.80, 186, 3200),
    _gpu("l40sx1", "L40S", 1, 48, L40S, 1.80, 62, 380),
    _gpu("l40sx4", "L40S", 4, 48, L40S, 8.30, 382, 3200),
    _gpu("l40sx8", "L40S", 8, 48, L40S, 23.50, 1534, 6500),
    _gpu("a10g-small", "A10G", 1, 24, A10G, 1.00, 15, 110),
    _gpu("a10g-large", "A10G", 1, 24, A10G, 1.50, 46, 200),
    _gpu("a10g-largex2", "A10G", 2, 24, A10G, 3.00, 92, 1000),
    _gpu("a10g-largex4", "A10G", 4, 24, A10G, 5.00, 184, 2000),
    _gpu("a100-large", "A100", 1, 80, A100, 2.50, 142, 1000),
    _gpu("a100x4", "A100", 4, 80, A100, 10.00, 568, 4000),
    _gpu("a100x8", "A100", 8, 80, A100, 20.00, 1136, 8000),
    _gpu("h200", "H200", 1, 141, H200, 5.00, 256, 3000),
    _gpu("h200x2", "H200", 2, 141, H200, 10.00, 512, 6000),
    _gpu("h200x4", "H200", 4, 141, H200, 20.00, 1024, 12000),
    _gpu("h200x8", "H200", 8, 141, H200, 40.00, 2048, 24000),
    _gpu("rtx-pro-6000", "RTX PRO 6000", 1, 96, RTX_PRO_6000, 2.75, 256, 475),
    _gpu("rtx-pro-6000x2", "RTX PRO 6000", 2, 96, RTX_PRO_6000, 5.50, 512, 950),
    _gpu("rtx-pro-6000x4", "RTX PRO 6000", 4, 96, RTX_PRO_6000, 11.00, 1024, 1900),
    _gpu("rtx-pro-6000x8", "RTX PRO 6000", 8, 96, RTX_PRO_6000, 22.00, 2048, 3800),
)

# Not in the client's enum, but offered by huggingface/ml-intern (agent/tools/jobs_tool.py): AWS Inferentia2, no CUDA.
_TABLE += (Flavor(name="inf2x6", gpu="Inferentia2"),)

FLAVORS: Mapping[str, Flavor] = MappingProxyType({flavor.name: flavor for flavor in _TABLE})


def find_flavor(name: str) -> Flavor | None:
    """The flavor of exactly this name; names are case-sensitive to the server."""
    return FLAVORS.get(name)


def closest_flavors(name: str, limit: int = 3) -> list[str]:
    """The names of flavors that `name` may be a slip of, best first; none where nothing is near."""
    import difflib

    asked = name.strip().lower().replace("_", "-")[:100]
    if asked in FLAVORS:
        return [asked]
    # `a100` lacks its ending: the table has the smallest machine of a kind first.
    beginning = [name for name in FLAVORS if asked and name.startswith(asked)]
    return beginning[:limit] or difflib.get_close_matches(asked, FLAVORS, n=limit, cutoff=0.6)
