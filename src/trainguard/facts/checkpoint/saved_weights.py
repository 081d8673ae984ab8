"""The weights of a checkpoint: which files a Trainer loads, and whether they are whole.

Which it loads: transformers 5.23, trainer.py:3671-3732. One file of weights comes before an adapter, safetensors before
torch's format, and a sharded model is found by its index. What an index leaves out, or a shard lacks, stays at the
values of the base model, silently (`load_state_dict(..., strict=False)`, trainer_utils.py:1123; tested against).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainguard.facts.checkpoint.folder import (
    ADAPTER_CONFIG,
    OLD_ADAPTER,
    OLD_INDEX,
    OLD_WEIGHTS,
    SAFE_ADAPTER,
    SAFE_INDEX,
    SAFE_WEIGHTS,
    Folder,
)
from trainguard.facts.checkpoint.torch_archive import read_archive
from trainguard.facts.checkpoint.zeros import Progress, torn
from trainguard.facts.weights.records import TensorEntry
from trainguard.facts.weights.safetensors_file import read_safetensors
from trainguard.facts.weights.shard_index import read_index

# So much is read of a file without `deep`: 32 MiB are below 30 ms of reading and summing.
READ_WHOLE_BELOW = 32 * 2**20
_INDEXES = {SAFE_INDEX: "safetensors", OLD_INDEX: "torch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWeights:
    """`files` in the order in which a save writes them; `problems` as (file, words); `names` are tensors with shapes.

    `names` is None where they cannot be told (files of torch). `outdated` says that only torch's older format is there.
    """

    files: tuple[str, ...] = ()
    adapter: bool = False
    outdated: bool = False
    problems: tuple[tuple[str, str], ...] = ()
    names: Mapping[str, TensorEntry] | None = field(default_factory=dict)

    @property
    def missing(self) -> bool:
        return not self.files


def find_weights(folder: Folder) -> SavedWeights:
    """Which files hold the weights, by name alone."""
    adapter = folder.has(ADAPTER_CONFIG) or folder.has(SAFE_ADAPTER) or folder.has(OLD_ADAPTER)
    for name in (SAFE_WEIGHTS, OLD_WEIGHTS):
        if folder.has(name):
            return SavedWeights(files=(name,), outdated=name == OLD_WEIGHTS)
    for name in (SAFE_ADAPTER, OLD_ADAPTER):
        if folder.has(name):
            return SavedWeights(files=(name,), adapter=True, outdated=name == OLD_ADAPTER)
    for name in (SAFE_INDEX, OLD_INDEX):
        if folder.has(name):
            return SavedWeights(files=(name,), outdated=name == OLD_INDEX)
    return SavedWeights(adapter=adapter)


def read_weights(folder: Folder, *, deep: bool, progress: Progress | None = None) -> SavedWeights:
    """The weights of a checkpoint folder, with what is wrong with them."""
    found = find_weights(folder)
    if found.missing:
        return found
    if found.files[0] in _INDEXES:
        return _read_sharded(folder, found, deep, progress)
    names, problem = _read_file(folder, found.files[0], deep, progress)
    problems = [(found.files[0], problem)] if problem is not None else []
    if found.adapter and not folder.has(ADAPTER_CONFIG):
        problems.append((ADAPTER_CONFIG, "is missing"))
    return replace(found, problems=tuple(problems), names=names)


def _read_sharded(folder: Folder, found: SavedWeights, deep: bool, progress: Progress | None) -> SavedWeights:
    index_name = found.files[0]
    index = read_index(folder.path / index_name)
    if index.problem is not None:
        return replace(found, problems=((index_name, f"cannot be used: {index.problem}"),), names=None)
    if index.escapes:
        words = f"names {index.escapes[0]!r}, a file outside of the checkpoint"
        return replace(found, problems=((index_name, words),), names=None)
    if not index.shards:
        return replace(found, problems=((index_name, "names no file"),), names=None)
    problems: list[tuple[str, str]] = []
    names: dict[str, TensorEntry] | None = {}
    for shard in index.shards:
        if not folder.has(shard):
            problems.append((shard, "is missing"))
            continue
        tensors, problem = _read_file(folder, shard, deep, progress)
        if problem is not None:
            problems.append((shard, problem))
        if tensors is None or names is None:
            names = None
            continue
        names.update(tensors)
        listed = {name for name, file in index.weight_map.items() if file == shard}
        if problem is None and (lacking := sorted(listed - tensors.keys())):
            words = f"lacks {len(lacking):,} of the tensors that {index_name} lists in it, such as {lacking[0]!r}"
            problems.append((shard, words))
    return replace(found, files=(*index.shards, index_name), problems=tuple(problems), names=names)


def _read_file(
    folder: Folder, name: str, deep: bool, progress: Progress | None
) -> tuple[Mapping[str, TensorEntry] | None, str | None]:
    """The tensors of a file, None where they cannot be told, and what is wrong with it."""
    path = folder.path / name
    if name.endswith(".safetensors"):
        read = read_safetensors(path)
        if read.problem is not None:
            return read.tensors, f"is damaged: {read.problem}"
        problem = torn(read, whole=deep or read.bytes < READ_WHOLE_BELOW, progress=progress)
        return read.tensors, f"is damaged: {problem}" if problem is not None else None
    torch = read_archive(path, sum_below=READ_WHOLE_BELOW, deep=deep)
    return None, f"is damaged: {torch.problem}" if torch.problem is not None else None


def tensors_of(path: Path) -> Mapping[str, TensorEntry] | None:
    """The tensors of a model folder by the headers of its safetensors files, None where they cannot be told."""
    single = read_safetensors(path / SAFE_WEIGHTS)
    if single.problem is None and single.tensors is not None:
        return single.tensors
    index = read_index(path / SAFE_INDEX)
    if index.problem is not None or not index.shards or index.escapes:
        return None
    names: dict[str, TensorEntry] = {}
    for shard in index.shards:
        read = read_safetensors(path / shard)
        if read.problem is not None or read.tensors is None:
            return None
        names.update(read.tensors)
    return names
