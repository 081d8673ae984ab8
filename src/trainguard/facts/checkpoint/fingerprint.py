"""What a base model is, in 32 hexadecimal digits: its tensors and samples of their bytes.

Two models of one architecture have the same header, and a base and what was tuned from it differ in their bytes alone.
Samples suffice: training changes nearly every number of a tensor.
"""

from __future__ import annotations

from pathlib import Path

from trainguard.facts.checkpoint.folder import SAFE_INDEX, SAFE_WEIGHTS
from trainguard.facts.weights.files import UnsoundError, open_regular, read_at
from trainguard.facts.weights.records import WeightsFile
from trainguard.facts.weights.safetensors_file import read_safetensors
from trainguard.facts.weights.shard_index import read_index

# Tensors of which bytes are read, and how many bytes from the middle of each.
_SAMPLED_TENSORS = 256
_SAMPLED_BYTES = 512


def fingerprint(base: Path) -> str | None:
    """The fingerprint of a model folder, None where it has no sound safetensors files.

    It stays the same when the folder is copied, sharded in another way, or its configuration is rewritten.
    """
    import xxhash

    files = _files(base)
    if not files:
        return None
    tensors = sorted((name, file) for file in files for name in file.tensors or {})
    step = max(len(tensors) // _SAMPLED_TENSORS, 1)
    total = xxhash.xxh3_128()
    try:
        for number, (name, file) in enumerate(tensors):
            entry = (file.tensors or {})[name]
            total.update(f"{name}\0{entry.dtype}\0{entry.shape}\n".encode("utf-8", "surrogatepass"))
            if number % step == 0:
                total.update(_sample(file, name))
    except (OSError, UnsoundError):
        return None
    return total.hexdigest()


def _files(base: Path) -> list[WeightsFile]:
    """The files of weights of a model, [] where one of them is not sound."""
    names: tuple[str, ...] = (SAFE_WEIGHTS,)
    if not (base / SAFE_WEIGHTS).is_file():
        index = read_index(base / SAFE_INDEX)
        names = index.shards if index.problem is None and not index.escapes else ()
    files = [read_safetensors(base / name) for name in names]
    return files if all(file.ok and file.tensors is not None for file in files) else []


def _sample(file: WeightsFile, name: str) -> bytes:
    offsets = file.tensors[name].data_offsets if file.tensors is not None else None
    if offsets is None:
        return b""
    begin, end = offsets
    count = min(_SAMPLED_BYTES, end - begin)
    with open_regular(file.path) as (handle, _):
        return read_at(handle, file.data_start + begin + (end - begin - count) // 2, count)
