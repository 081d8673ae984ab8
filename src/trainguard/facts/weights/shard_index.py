"""The index of a model in several files: which tensor lies in which shard.

`save_pretrained` of transformers writes `model.safetensors.index.json` and `pytorch_model.bin.index.json` as
{"metadata": {"total_size": bytes}, "weight_map": {tensor: file}} (transformers 5.23, modeling_utils.py,
`save_pretrained`; huggingface_hub 1, serialization/_base.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import msgspec

from trainguard.facts.weights.files import UnsoundError, is_pointer, open_regular, read_at, why_unreadable

SAFETENSORS_INDEX = "model.safetensors.index.json"
TORCH_INDEX = "pytorch_model.bin.index.json"
# A million tensors have an index of about 100 MB, as the largest header of a safetensors file.
MAX_INDEX_BYTES = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIndex:
    """An index as it stands. `problem` says why it cannot be used; `escapes` are file names that leave the folder."""

    path: Path
    problem: str | None = None
    pointer: bool = False
    weight_map: Mapping[str, str] = field(default_factory=dict)
    total_size: int | None = None
    escapes: tuple[str, ...] = ()

    @property
    def shards(self) -> tuple[str, ...]:
        """The files that it names and that lie in the folder, each once, in order of their names."""
        return tuple(sorted(set(self.weight_map.values()) - set(self.escapes)))


class _Index(msgspec.Struct):
    weight_map: dict[str, str]
    metadata: Any = None


def read_index(path: Path) -> ShardIndex:
    """Reads an index. Whatever is wrong is the `problem` of the result."""
    try:
        with open_regular(path) as (file, size):
            if size > MAX_INDEX_BYTES:
                raise UnsoundError(f"it has {size:,} bytes, more than any index needs")
            text = read_at(file, 0, size)
    except UnsoundError as error:
        return ShardIndex(path=path, problem=str(error))
    except OSError as error:
        return ShardIndex(path=path, problem=why_unreadable(error))
    if is_pointer(text, len(text)):
        return ShardIndex(path=path, pointer=True, problem="it is a Git LFS pointer")
    try:
        index = msgspec.json.decode(text, type=_Index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return ShardIndex(path=path, problem=f"it is no index of shards: {error}")
    total = index.metadata.get("total_size") if isinstance(index.metadata, dict) else None
    return ShardIndex(
        path=path,
        weight_map=index.weight_map,
        total_size=int(total) if isinstance(total, int | float) and not isinstance(total, bool) else None,
        escapes=tuple(sorted(name for name in set(index.weight_map.values()) if leaves_folder(name))),
    )


def leaves_folder(name: str) -> bool:
    """Whether a file's name, joined to a folder, may lead out of it. Names of Windows count too: the folder travels."""
    windows = PureWindowsPath(name)
    parts = (*PurePosixPath(name).parts, *windows.parts)
    return name.startswith(("/", "\\")) or bool(windows.drive) or ".." in parts or "\0" in name
