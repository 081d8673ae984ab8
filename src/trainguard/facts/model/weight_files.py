"""Which files of a folder hold its weights, and what their index says about them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainguard.facts.model.records import IndexMismatch
from trainguard.facts.weights.records import TensorEntry, WeightsFile
from trainguard.facts.weights.safetensors_file import read_safetensors
from trainguard.facts.weights.shard_index import SAFETENSORS_INDEX, TORCH_INDEX, ShardIndex, read_index
from trainguard.facts.weights.torch_file import read_torch_file

# The order in which transformers looks (transformers 5.23, modeling_utils.py, `_get_resolved_checkpoint_files`).
SINGLE_SAFETENSORS, SINGLE_TORCH = "model.safetensors", "pytorch_model.bin"
# Endings of files that one loads with torch.load or pickle.load.
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
# Other forms of weights, which are not looked into: GGUF, Flax, TensorFlow, ONNX, OpenVINO, NeMo, llamafile.
OTHER_WEIGHTS = (".gguf", ".ggml", ".msgpack", ".h5", ".onnx", ".xml", ".nemo", ".llamafile", ".tflite", ".mlmodel")
_NUMBERED = re.compile(r"^(.*)-(\d{5})-of-(\d{5})(\.(?:safetensors|bin))$")
# A listing that promises more shards than this has been made up.
_MOST_SHARDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWeights:
    """`loaded` are the files that hold the model's weights; `pickles` others that can be unpickled."""

    loaded: tuple[WeightsFile, ...] = ()
    pickles: tuple[WeightsFile, ...] = ()
    index: ShardIndex | None = None
    missing: tuple[str, ...] = ()


def read_folder_weights(folder: Path, files: Collection[str], preferred: Iterable[str] = ()) -> FolderWeights:
    """Reads the headers of the weights in `folder`. `preferred` are names that go before those of transformers."""
    index = _index(folder, files, preferred)
    names: list[str] = []
    missing: list[str] = []
    if index is not None:
        names = [name for name in index.shards if name in files]
        missing = [name for name in index.shards if name not in files]
    else:
        single = next((name for name in (*preferred, SINGLE_SAFETENSORS, SINGLE_TORCH) if name in files), None)
        names = [single] if single is not None else _numbered_or_any(files)
        missing = _missing_numbers(names, files) if single is None else []
    # A safetensors file is checked wherever it lies: it is weights by its name.
    more = [name for name in files if name.endswith(".safetensors") and name not in names]
    pickles = [name for name in files if name.endswith(_PICKLES) and name not in names]
    return FolderWeights(
        loaded=tuple(read_weights(folder / name) for name in (*names, *more)),
        pickles=tuple(read_torch_file(folder / name) for name in pickles),
        index=index,
        missing=tuple(missing),
    )


def read_weights(path: Path) -> WeightsFile:
    return read_safetensors(path) if path.name.endswith(".safetensors") else read_torch_file(path)


def _index(folder: Path, files: Collection[str], preferred: Iterable[str]) -> ShardIndex | None:
    if any(name in files for name in (*preferred, SINGLE_SAFETENSORS)):
        return None
    if SAFETENSORS_INDEX in files:
        return read_index(folder / SAFETENSORS_INDEX)
    return read_index(folder / TORCH_INDEX) if TORCH_INDEX in files and SINGLE_TORCH not in files else None


def _numbered_or_any(files: Collection[str]) -> list[str]:
    """Shards without an index; without those nothing, since any other name may be anything."""
    for ending in (".safetensors", ".bin"):
        numbered = [name for name in files if _NUMBERED.match(name) and name.endswith(ending)]
        if numbered:
            return sorted(numbered)
    return []


def _missing_numbers(names: Iterable[str], files: Collection[str]) -> list[str]:
    promised: set[str] = set()
    for name in names:
        match = _NUMBERED.match(name)
        if match is not None and int(match[3]) <= _MOST_SHARDS:
            numbers = range(1, int(match[3]) + 1)
            promised |= {f"{match[1]}-{number:05d}-of-{match[3]}{match[4]}" for number in numbers}
    return sorted(promised - set(files))


def all_tensors(weights: FolderWeights) -> dict[str, TensorEntry] | None:
    """The tensors of all files that a loader would open, None where one of them cannot be told."""
    tensors: dict[str, TensorEntry] = {}
    names = set(weights.index.shards) if weights.index is not None else None
    for file in weights.loaded:
        if names is not None and file.path.name not in names:
            continue
        if file.tensors is None or file.problem is not None:
            return None
        tensors.update(file.tensors)
    return tensors if tensors and not weights.missing else None


def index_mismatches(weights: FolderWeights) -> Iterator[IndexMismatch]:
    """Where the index and its shards disagree: tensors that it places wrongly, tensors that it leaves out."""
    index = weights.index
    if index is None or index.problem is not None:
        return
    held: Mapping[str, Mapping[str, TensorEntry]] = {
        file.path.name: file.tensors for file in weights.loaded if file.ok and file.tensors is not None
    }
    for tensor, shard in sorted(index.weight_map.items()):
        if shard in held and tensor not in held[shard]:
            yield IndexMismatch(tensor=tensor, shard=shard, kind="not-in-shard")
    for shard in index.shards:
        for tensor in sorted(set(held.get(shard, ())) - set(index.weight_map)):
            yield IndexMismatch(tensor=tensor, shard=shard, kind="not-in-index")
