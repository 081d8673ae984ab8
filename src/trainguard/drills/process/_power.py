"""What is on a disk after the power was cut, made from the list of the operations until then. Pure but for `write_to`.

A journalling file system (ext4 with data=ordered, XFS) keeps changes of names in their order, and those before a sync
for certain; of a file's bytes only those that were synced are certain. What came later may be there or not: all of it,
none, or any part, with a write torn in its middle (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

Cut: TypeAlias = Literal["kept", "lost", "torn"]

CUTS: tuple[Cut, ...] = ("kept", "lost", "torn")
_SECTOR_BYTES = 512  # what a disk writes whole or not at all
_ROOT = 1


@dataclass(slots=True)
class _Node:
    mode: int
    content: bytearray = field(default_factory=bytearray)
    entries: dict[bytes, int] = field(default_factory=dict)


def after_power_cut(log: Sequence[tuple[Any, ...]], upto: int, cut: Cut, seed: int = 0) -> dict[int, _Node]:
    """The nodes of the disk, the root under 1, when the power went after `upto` operations.

    "kept": all of them reached the disk (as with a process that is killed). "lost": what was not synced is gone.
    "torn": of what was not synced, names up to some moment and any of the writes are there, one of them in part.
    """
    chance = random.Random(f"{seed} {upto}")
    synced_names = 0
    synced_bytes: dict[int, int] = {}
    for place in range(upto):
        if log[place][0] == "sync":
            synced_names = place
            synced_bytes[log[place][1]] = place
    if cut == "kept":
        names = upto
    else:
        names = synced_names if cut == "lost" else chance.randint(synced_names, upto)
    nodes = {_ROOT: _Node(stat.S_IFDIR | 0o755)}
    for place in range(upto):
        what, *rest = log[place]
        if what in ("write", "size"):
            certain = cut == "kept" or place < synced_bytes.get(rest[0], 0)
            if rest[0] in nodes and (certain or (cut == "torn" and chance.random() < 0.5)):
                _change_bytes(nodes[rest[0]], what, rest[1:], None if certain else chance)
        elif what != "sync" and place < names:
            _change_names(nodes, what, rest)
    return nodes


def write_to(folder: Path, nodes: dict[int, _Node]) -> None:
    """Makes the disk's tree in `folder`, which must not exist."""
    made: dict[int, Path] = {}
    for path, number in _walk(nodes, folder, _ROOT):
        node = nodes[number]
        if stat.S_ISDIR(node.mode):
            path.mkdir()
        elif stat.S_ISLNK(node.mode):
            path.symlink_to(os.fsdecode(bytes(node.content)))
        elif number in made:
            os.link(made[number], path)
        else:
            path.write_bytes(node.content)
            path.chmod(stat.S_IMODE(node.mode))
            made[number] = path


def _walk(nodes: dict[int, _Node], path: Path, number: int) -> Iterator[tuple[Path, int]]:
    yield path, number
    for name, child in nodes[number].entries.items():
        yield from _walk(nodes, path / os.fsdecode(name), child)


def _change_bytes(node: _Node, what: str, rest: list[Any], chance: random.Random | None) -> None:
    if what == "size":
        size = rest[0]
        node.content[size:] = b"\0" * max(size - len(node.content), 0)
        return
    offset, data = rest
    if chance is not None and chance.random() < 0.5:
        data = data[: chance.randint(0, len(data) // _SECTOR_BYTES) * _SECTOR_BYTES]
    if offset > len(node.content):
        node.content += b"\0" * (offset - len(node.content))
    node.content[offset : offset + len(data)] = data


def _change_names(nodes: dict[int, _Node], what: str, rest: list[Any]) -> None:
    if what == "create":
        folder, name, number, mode, target = rest
        nodes[number] = _Node(mode, bytearray(target))
        nodes[folder].entries[name] = number
    elif what == "link":
        folder, name, number = rest
        nodes[folder].entries[name] = number
    elif what == "unlink":
        folder, name = rest
        del nodes[folder].entries[name]
    elif what == "rename":
        folder, name, target_folder, target_name = rest
        nodes[target_folder].entries[target_name] = nodes[folder].entries.pop(name)
    elif what == "mode" and rest[0] in nodes:
        nodes[rest[0]].mode = stat.S_IFMT(nodes[rest[0]].mode) | stat.S_IMODE(rest[1])
