"""What a command that somebody else has written has saved so far, and from which of it another attempt goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainguard.checkpoints import QUARANTINE
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.verify import verify

# Weights and states of optimizers, by the names that torch, transformers, Keras, JAX and NumPy give them.
_WEIGHTS = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".distcp", ".h5", ".keras", ".npz", ".msgpack", ".gguf"}
)
_LEFT_OUT = frozenset({QUARANTINE, "node_modules", "site-packages", "__pycache__", "venv", "env"})
_MOST_ENTRIES, _MOST_FOLDERS_DEEP = 20_000, 4
# Times of files may be as coarse as two seconds (vfat).
_COARSE_SECONDS = 2.0
# "step 10", "epoch: 3", "[iter 200]": a loop that counts has begun to train.
_COUNTS = re.compile(rb"\b(?:step|iter|iteration|epoch)s?\b[\s:=#\[(]{0,3}\d", re.IGNORECASE)
_HEAD_BYTES, _TAIL_BYTES = 1 << 16, 1 << 20


def newest_since(output_dir: Path, began: float | None) -> Path | None:
    """The newest verified checkpoint, `began` (unix seconds) or later where it is given; None where there is none."""
    if began is None:
        return latest_verified_checkpoint(output_dir)
    with suppress(OSError):
        for folder in reversed(checkpoint_folders(output_dir)):
            if is_since(folder, began) and verify(folder, output_dir).verified:
                return folder
    return None


def saved_since(folder: Path, began: float) -> Path | None:
    """A file of weights in or below `folder` that is not older than `began` (unix seconds); None where none is seen."""
    return next((path for path in _files(folder) if path.suffix in _WEIGHTS and is_since(path, began)), None)


def has_counted(log: Path) -> bool:
    """Whether an output names steps or epochs: the training had begun."""
    try:
        with log.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL_BYTES, 0))
            return _COUNTS.search(head) is not None or _COUNTS.search(file.read(_TAIL_BYTES)) is not None
    except OSError:
        return False


def is_since(path: Path, began: float) -> bool:
    """By the newest of a folder's files: a checkpoint that is written anew keeps its folder."""
    with suppress(OSError):
        times = [each.stat().st_mtime for each in path.iterdir()] if path.is_dir() else []
        return max([*times, path.stat().st_mtime]) >= began - _COARSE_SECONDS
    return False


def _files(folder: Path) -> Iterator[Path]:
    """The files of a tree, the nearest first, as far as it is looked through."""
    seen, level = 0, [folder]
    for _ in range(_MOST_FOLDERS_DEEP):
        below: list[Path] = []
        for each in level:
            try:
                entries = sorted(os.scandir(each), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                seen += 1
                if seen > _MOST_ENTRIES:
                    return
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _LEFT_OUT and not entry.name.startswith("."):
                            below.append(Path(entry.path))
                    elif entry.is_file():
                        yield Path(entry.path)
        level = below
