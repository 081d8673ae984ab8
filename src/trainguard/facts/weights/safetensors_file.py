"""The header of a safetensors file, held against all that the format demands. No tensor is read.

What the library refuses is refused, and what it accepts is accepted, but for names that stand twice: the format
forbids them, and the library takes the last (safetensors 0.8: README "Format"; `Metadata::validate` in
safetensors/src/tensor.rs). Tests compare both on made-up files.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.facts.weights.dtypes import BITS
from trainguard.facts.weights.files import UnsoundError, is_pointer, open_regular, read_at, why_unreadable
from trainguard.facts.weights.records import TensorEntry, WeightsFile

if TYPE_CHECKING:
    from trainguard.facts.weights.safetensors_header import Header

_LENGTH_BYTES = 8
# safetensors 0.8, tensor.rs, MAX_HEADER_SIZE.
MAX_HEADER_BYTES = 100_000_000
_LARGEST = 2**64 - 1


def read_safetensors(path: Path) -> WeightsFile:
    """Reads the header. Whatever is wrong is the `problem` of the result; raises nothing for what is on the disk."""
    size = 0
    try:
        with open_regular(path) as (file, size):
            header_bytes, pointer = _header_bytes(file, size)
            if pointer:
                return WeightsFile(path=path, format="safetensors", bytes=size, pointer=True, problem=_POINTER_PROBLEM)
    except UnsoundError as error:
        return WeightsFile(path=path, format="safetensors", bytes=size, problem=str(error))
    except OSError as error:
        return WeightsFile(path=path, format="safetensors", bytes=size, problem=why_unreadable(error))
    return _judged(path, size, header_bytes)


_POINTER_PROBLEM = "it is a Git LFS pointer, a text of a few lines that stands where the file should be"


def _header_bytes(file: FileIO, size: int) -> tuple[bytes, bool]:
    if size < _LENGTH_BYTES:
        raise UnsoundError(f"it has {size:,} bytes, fewer than the 8 that every safetensors file begins with")
    first = read_at(file, 0, _LENGTH_BYTES)
    if is_pointer(first + read_at(file, _LENGTH_BYTES, min(size, 64) - _LENGTH_BYTES), size):
        return b"", True
    length = int.from_bytes(first, "little")
    if length > MAX_HEADER_BYTES:
        if not any(first):
            raise UnsoundError("it begins with zeros")
        raise UnsoundError(
            f"its header would have {length:,} bytes, more than the {MAX_HEADER_BYTES:,} that are allowed"
        )
    if _LENGTH_BYTES + length > size:
        raise UnsoundError(f"its header has {length:,} bytes, and the file ends after {size:,}")
    return read_at(file, _LENGTH_BYTES, length), False


def _judged(path: Path, size: int, header_bytes: bytes) -> WeightsFile:
    from trainguard.facts.weights.safetensors_header import parse_header

    start = _LENGTH_BYTES + len(header_bytes)
    try:
        header: Header = parse_header(header_bytes)
    except UnsoundError as error:
        return WeightsFile(path=path, format="safetensors", bytes=size, problem=str(error), data_start=start)
    return WeightsFile(
        path=path,
        format="safetensors",
        bytes=size,
        problem=_layout_problem(header.tensors, size - start),
        tensors=header.tensors,
        metadata=header.metadata,
        data_start=start,
    )


def _layout_problem(tensors: Mapping[str, TensorEntry], data_bytes: int) -> str | None:
    """What `Metadata::validate` refuses: holes, overlaps, sizes that differ from shape x dtype, a wrong length."""
    expected = 0
    for name, entry in sorted(tensors.items(), key=_offsets):
        begin, end = _offsets((name, entry))
        bits = _bits(entry)
        if begin == expected and bits == (end - begin) * 8:
            expected = end
            continue
        return _entry_problem(name, entry, expected, bits)
    if expected > data_bytes:
        missing = f"the last {expected - data_bytes:,} bytes are missing"
        return f"its header lists {expected:,} bytes of tensors, and only {data_bytes:,} follow: {missing}"
    if expected < data_bytes:
        return f"its header lists {expected:,} bytes of tensors, and {data_bytes:,} follow"
    return None


def _entry_problem(name: str, entry: TensorEntry, expected: int, bits: int) -> str:
    begin, end = _offsets((name, entry))
    if begin != expected:
        between = "leaves a hole" if begin > expected else "overlaps the one before it"
        return f"tensor {name!r} begins at {begin:,} where {expected:,} is expected, so it {between}"
    if end < begin:
        return f"tensor {name!r} ends at {end:,}, before it begins at {begin:,}"
    if bits > _LARGEST:
        return f"tensor {name!r} has a shape too large to count: {list(entry.shape)}"
    shape = "x".join(map(str, entry.shape)) or "scalar"
    return f"tensor {name!r} has {end - begin:,} bytes, and {entry.dtype} {shape} needs {bits / 8:,.10g}"


def _offsets(item: tuple[str, TensorEntry]) -> tuple[int, int]:
    return item[1].data_offsets or (0, 0)


def _bits(entry: TensorEntry) -> int:
    """Bits of the tensor, beyond 64 bits where the library's numbers overflow (even if a later length is 0)."""
    product = 1
    for length in entry.shape:
        product *= length
        if product > _LARGEST or length < 0:
            return _LARGEST + 1
    return product * BITS[entry.dtype]
