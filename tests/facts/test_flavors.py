from __future__ import annotations

import pytest

from trainguard.libraries.flavors import DEFAULT_FLAVOR, FLAVORS, closest_flavors, find_flavor


@pytest.mark.parametrize("name", ["", "a10g", "A10G-Large", "h100", "a10g-large ", "zero-a10g"])
def test_unknown_names_are_not_found(name: str) -> None:
    assert find_flavor(name) is None


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("a10g-larg", "a10g-large"), ("A10G-Large", "a10g-large"), ("a10g_large", "a10g-large"), ("a100-x4", "a100x4"),
     ("h200x3", "h200x2"), ("l40s", "l40sx1"), ("t4", "t4-small"), ("a100", "a100-large"), ("h100", "h200"),
     ("rtx-pro-600", "rtx-pro-6000")],
)  # fmt: skip
def test_slips_are_recognised(slip: str, meant: str) -> None:
    assert meant in closest_flavors(slip)


def test_nothing_is_near_to_nonsense() -> None:
    assert closest_flavors("mainframe") == []
    assert closest_flavors("x" * 10_000) == []


def test_total_memory_is_the_sum_over_the_gpus() -> None:
    assert FLAVORS["a100x8"].total_gpu_memory_gb == 640
    assert FLAVORS["a10g-largex2"].total_gpu_memory_gb == 48
    assert FLAVORS["cpu-xl"].total_gpu_memory_gb == 0


@pytest.mark.parametrize(
    ("name", "bf16", "flash_2", "flash_3", "fp8"),
    [
        ("t4-small", False, False, False, False),
        ("a100-large", True, True, False, False),
        ("a10g-small", True, True, False, False),
        ("l4x1", True, True, False, True),
        ("h200", True, True, True, True),
        ("rtx-pro-6000", True, True, False, True),
    ],
)
def test_capabilities_follow_the_generation(name: str, bf16: bool, flash_2: bool, flash_3: bool, fp8: bool) -> None:
    flavor = FLAVORS[name]
    assert flavor.supports_bf16 is bf16
    assert flavor.supports_tf32 is bf16
    assert flavor.supports_flash_attention_2 is flash_2
    assert flavor.supports_flash_attention_3 is flash_3
    assert flavor.supports_fp8 is fp8


def test_every_flavor_is_consistent() -> None:
    for name, flavor in FLAVORS.items():
        assert name == flavor.name
        assert (flavor.gpu_count > 0) is (flavor.capability is not None)
        assert flavor.price_per_hour is None or flavor.price_per_hour > 0
    assert FLAVORS[DEFAULT_FLAVOR].price_per_hour == 0.01
