"""NaN and infinities in the raw bytes of floating-point tensors, found by their bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class _Format:
    """Bytes of an element, the mask of its exponent's bits, and the mask of its fraction's bits.

    A number whose exponent is all ones is a NaN if any bit of its fraction is set, else an infinity (IEEE 754-2019,
    3.4; the same for bfloat16 and for float8_e5m2).
    """

    bytes: int
    exponent: int
    fraction: int


_FORMATS: Mapping[str, _Format] = {
    "F64": _Format(8, 0x7FF0_0000_0000_0000, 0x000F_FFFF_FFFF_FFFF),
    "F32": _Format(4, 0x7F80_0000, 0x007F_FFFF),
    "F16": _Format(2, 0x7C00, 0x03FF),
    "BF16": _Format(2, 0x7F80, 0x007F),
    "F8_E5M2": _Format(1, 0x7C, 0x03),
}
# float8_e4m3fn has no infinities, and two NaN: all ones but for the sign (OCP 8-bit Floating Point 1.0, table 1).
_E4M3 = "F8_E4M3"
FLOATS = frozenset({*_FORMATS, _E4M3})
_CASTS: Mapping[int, Literal["Q", "I", "H", "B"]] = {8: "Q", 4: "I", 2: "H", 1: "B"}
# Below, importing numpy takes longer than counting without it.
_SMALL_BYTES = 8192
# The highest bytes of elements (stored lowest first) whose exponent may be all ones.
_HIGH_BYTES = {
    name: frozenset(
        byte
        for byte in range(256)
        if byte & (each.exponent >> (8 * each.bytes - 8)) == each.exponent >> (8 * each.bytes - 8)
    )
    for name, each in _FORMATS.items()
}


# What fits a processor's nearest cache: the numbers are looked at while they are there.
_BLOCK_BYTES = 1 << 18
_ZERO = b"\0\x80"


def are_zeros(piece: bytes) -> bool:
    """Whether all elements are zero, of either sign. (Numbers too small to matter may pass for zero.)"""
    return not piece[:_BLOCK_BYTES].translate(None, _ZERO) and not piece[_BLOCK_BYTES:].translate(None, _ZERO)


def has_special(piece: bytes, dtype: str) -> bool:
    """Whether there may be a NaN or an infinity: a quick look at the highest byte of each element."""
    if dtype == _E4M3:
        return b"\x7f" in piece or b"\xff" in piece
    size = _FORMATS[dtype].bytes
    return not _HIGH_BYTES[dtype].isdisjoint(piece[size - 1 :: size])


def count_special(piece: bytes, dtype: str) -> tuple[int, int]:
    """How many elements are NaN, and how many are infinite. `piece` holds whole elements, lowest byte first."""
    if dtype == _E4M3:
        return piece.count(b"\x7f") + piece.count(b"\xff"), 0
    each = _FORMATS[dtype]
    usable = len(piece) - len(piece) % each.bytes
    if usable <= _SMALL_BYTES:
        return _count_slowly(piece[:usable], each)
    try:
        import numpy as np
    except ImportError:
        return _count_slowly(piece[:usable], each)
    numbers = np.frombuffer(piece, dtype=f"<u{each.bytes}", count=usable // each.bytes)
    sign_less = np.empty(_BLOCK_BYTES // each.bytes, dtype=numbers.dtype)
    nan = infinite = 0
    for begin in range(0, len(numbers), len(sign_less)):
        block = numbers[begin : begin + len(sign_less)]
        # As whole numbers without their signs, infinities lie above all finite numbers, and NaN above those.
        magnitudes = np.bitwise_and(block, each.exponent | each.fraction, out=sign_less[: len(block)])
        if magnitudes.max() >= each.exponent:
            infinite += int(np.count_nonzero(magnitudes == each.exponent))
            nan += int(np.count_nonzero(magnitudes > each.exponent))
    return nan, infinite


def _count_slowly(piece: bytes, each: _Format) -> tuple[int, int]:
    numbers = memoryview(piece).cast(_CASTS[each.bytes])
    suspects = [number for number in numbers if number & each.exponent == each.exponent]
    nan = sum(1 for number in suspects if number & each.fraction)
    return nan, len(suspects) - nan
