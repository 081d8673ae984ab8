"""Files of rule examples that are no text: weights, empty folders, links. Each writes itself and says what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

# Bytes of an element by the dtype names of the safetensors format (safetensors 0.8, README "Format").
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, slots=True)
class Raw:
    """A file of these bytes."""

    content: bytes
    shown: str

    def write(self, path: Path) -> None:
        path.write_bytes(self.content)


@dataclass(frozen=True, slots=True)
class Folder:
    """An empty folder."""

    shown: str = "an empty folder"

    def write(self, path: Path) -> None:
        path.mkdir()


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link; `target` is relative to the folder of the link."""

    target: str

    @property
    def shown(self) -> str:
        return f"a link to {self.target}"

    def write(self, path: Path) -> None:
        path.symlink_to(self.target)


Recipe: TypeAlias = Raw | Folder | Link


def raw(content: bytes, shown: str) -> Raw:
    return Raw(content, shown)


def folder() -> Folder:
    return Folder()


def link(target: str) -> Link:
    return Link(target)


def tensors(
    entries: Mapping[str, tuple[str, Sequence[int]]],
    *,
    cut: int = 0,
    fill: int = 1,
    metadata: Mapping[str, str] | None = None,
    zero_tail: int = 0,
) -> Raw:
    """A safetensors file with tensors by name of (dtype, shape), every byte `fill`.

    `cut` takes so many bytes off its end, `zero_tail` makes the last bytes zero, as a power cut may leave them.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, (dtype, shape) in entries.items():
        size = _BYTES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    data = bytes([fill]) * (end - zero_tail) + bytes(zero_tail)
    content = len(encoded).to_bytes(8, "little") + encoded + data
    listed = ", ".join(f"{name} {dtype} {'x'.join(map(str, shape))}" for name, (dtype, shape) in entries.items())
    shown = f"safetensors: {listed}"
    if cut:
        content, shown = content[:-cut], f"{shown}; the last {cut} bytes are missing"
    if zero_tail:
        shown += f"; the last {zero_tail} bytes are zero"
    return Raw(content, shown)


def write_files(files: Mapping[str, str | Recipe], folder: Path) -> None:
    """Writes the files of an example into `folder`, with the folders that their names imply."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8", newline="")
        else:
            content.write(path)
