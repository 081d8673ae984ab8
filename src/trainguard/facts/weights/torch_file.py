"""Files that torch.save writes, in all its formats, and bare pickles: their structure, never their objects.

Formats as torch 2.13 reads them (torch/serialization.py: `load`, `_load`, `_legacy_load`): a file that begins with a
zip's first signature is a zip; anything else is old: a tar, or five pickles with raw storages behind.
"""

from __future__ import annotations

import io
from io import FileIO
from pathlib import Path

from trainguard.facts.weights.files import UnsoundError, is_pointer, open_regular, read_at, why_unreadable
from trainguard.facts.weights.records import WeightsFile

ZIP_SIGNATURE = b"PK\x03\x04"
_TAR_AT, _TAR_MAGIC = 257, b"ustar"
_HEAD_BYTES = 512


def read_torch_file(path: Path) -> WeightsFile:
    """Reads the structure and walks the pickles. Whatever is wrong is the `problem`; raises nothing for what is there.

    `tensors` has the shapes of a state dict, without offsets; `dangerous` what would run while it is loaded.
    """
    size = 0
    try:
        with open_regular(path) as (file, size):
            return _read(path, file, size)
    except UnsoundError as error:
        return WeightsFile(path=path, format="unknown", bytes=size, problem=str(error))
    except OSError as error:
        return WeightsFile(path=path, format="unknown", bytes=size, problem=why_unreadable(error))


def _read(path: Path, file: FileIO, size: int) -> WeightsFile:
    from trainguard.facts.weights import torch_legacy, torch_zip

    if size == 0:
        raise UnsoundError("it is empty")
    head = read_at(file, 0, min(size, _HEAD_BYTES))
    if is_pointer(head, size):
        problem = "it is a Git LFS pointer, a text of a few lines that stands where the file should be"
        return WeightsFile(path=path, format="unknown", bytes=size, pointer=True, problem=problem)
    if not any(head):
        raise UnsoundError("it begins with zeros")
    if head.startswith(ZIP_SIGNATURE):
        return torch_zip.read(path, file, size)
    buffered = io.BufferedReader(file)
    try:
        if head[_TAR_AT : _TAR_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
            return torch_legacy.read_tar(path, buffered, size)
        return torch_legacy.read(path, buffered, size)
    finally:
        buffered.detach()
