"""What a run is made of: its data by content, and the fields of its configuration on which the weights depend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from trainguard.errors import UsageError
from trainguard.facts.config.schema import RunConfig

# Fields on which the weights after the run depend, besides the data. What only watches, saves or logs is none of them.
TRAINING_FIELDS = (
    *("base_model", "tokenizer", "method", "lora", "max_length", "packing", "assistant_only_loss", "chat_template"),
    *("learning_rate", "scheduler", "scheduler_arguments", "warmup", "batch_size", "gradient_accumulation", "epochs"),
    *("max_steps", "optimizer", "weight_decay", "max_grad_norm", "precision", "seed", "trainer_arguments"),
)
_PIECE = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A training file by its content: hashes in hex."""

    name: str
    bytes: int
    xxh3_128: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a run trains on and how: files, ids of data on the hub, a hash over all, and the fields that matter.

    `file_id` tells two files of the same content apart; None where nobody gave one, so that the content decides.
    """

    files: tuple[DataFile, ...]
    names: tuple[str, ...]
    data_hash: str
    fields: Mapping[str, Any]
    effective_batch: int
    file_id: str | None = None


def training_fields(run: RunConfig) -> dict[str, Any]:
    """The fields on which the weights depend, as plain values."""
    plain = msgspec.to_builtins(run)
    return {name: plain[name] for name in TRAINING_FIELDS}


def identify(
    run: RunConfig, paths: Sequence[Path], names: Sequence[str], *, effective_batch: int, file_id: str | None = None
) -> Identity:
    """Reads all data once for its hashes; `names` stand for data of the hub, which has no files here.

    Raises UsageError for a file that cannot be read.
    """
    import xxhash

    files = tuple(each for path in paths for each in _hashed(path))
    total = xxhash.xxh3_128()
    for each in files:
        total.update(f"{each.bytes}:{each.xxh3_128}\n".encode())
    for name in names:
        total.update(f"hub:{name}\n".encode())
    return Identity(
        files=files,
        names=tuple(names),
        data_hash=total.hexdigest(),
        fields=training_fields(run),
        effective_batch=effective_batch,
        file_id=file_id,
    )


def _hashed(path: Path) -> list[DataFile]:
    if not path.is_dir():
        return [_hash(path, path.name)]
    found = []
    for parent, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(parent) / name
            if file.is_file() and not name.startswith("."):
                found.append(_hash(file, file.relative_to(path).as_posix()))
    return found


def _hash(path: Path, name: str) -> DataFile:
    import hashlib

    import xxhash

    fast, slow, size = xxhash.xxh3_128(), hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                fast.update(piece)
                slow.update(piece)
                size += len(piece)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    return DataFile(name=name, bytes=size, xxh3_128=fast.hexdigest(), sha256=slow.hexdigest())
