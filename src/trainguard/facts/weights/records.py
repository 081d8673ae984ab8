"""What is read of a file of weights, without loading any of them.

Sizes and offsets are in bytes. A file that is no sound file of weights has a `problem` in words and whatever could be
read all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

# "torch-zip" is what torch.save writes since 1.6, "torch-legacy" the row of pickles and storages that it wrote before
# (and writes with _use_new_zipfile_serialization=False), "tar" what it wrote before 0.1.10 (torch 2.13,
# serialization.py, `_legacy_load`). "pickle" is a bare pickle.
WeightsFormat: TypeAlias = Literal["safetensors", "torch-zip", "torch-legacy", "torch-tar", "pickle", "unknown"]


class TensorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One tensor of a file: its dtype as safetensors names it, its shape, and where its bytes lie in the file's data.

    The offsets (begin, end) count from the start of the data, after the header. In files of torch they are None: there
    storages are files of their own, in an order that only the pickle tells.
    """

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Its bytes, 0 where they cannot be told."""
        return self.data_offsets[1] - self.data_offsets[0] if self.data_offsets is not None else 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class DangerousGlobal:
    """A name that a pickle imports and that runs code, reads or writes when it is called while loading."""

    module: str
    name: str

    def __str__(self) -> str:
        return "a name that it makes up while loading" if self.module == "?" else f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A file of weights as its own structure describes it.

    `problem` says why no library loads it (or loads it wrongly); `pointer` is True for a Git LFS pointer that stands
    where the file should be. `tensors` is None where the format was read but its tensors cannot be told.
    `dangerous` are imports of a pickle that run code; `unscanned` says why a pickle could not be judged.
    """

    path: Path
    format: WeightsFormat
    bytes: int = 0
    problem: str | None = None
    pointer: bool = False
    tensors: Mapping[str, TensorEntry] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    data_start: int = 0
    dangerous: tuple[DangerousGlobal, ...] = ()
    imports: tuple[str, ...] = ()
    unscanned: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None
