"""Writes a file of interfaces (`libraries.api.store` describes the format), the same bytes for the same releases.

A library's releases are given oldest first. A definition that does not change costs nothing but the end of its span,
so what a new release adds to the file is what it changed.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from packaging.version import Version

from trainguard.libraries.api.codec import Atom, dump, encode, module_head, runs
from trainguard.libraries.api.records import Class, Definition, Function, Interface, Module, Release
from trainguard.libraries.api.store import MAGIC, SHARDED_FROM, Store, shard_of

# Chosen on the file of 600 releases: larger blocks make it hardly smaller and each look-up slower.
_BLOCK_BYTES = 64_000

_Texts: TypeAlias = dict[int, tuple[Definition, tuple[str, ...]]]
Row = tuple[int, int, tuple[str, ...]]  # first and last release, and the atoms as text


class LibraryHistory:
    """The rows of one library, release after release."""

    def __init__(self, name: str, distribution: str) -> None:
        self.name = name
        self.distribution = distribution
        self.releases: list[Release] = []
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._texts: _Texts = {}
        self._known: dict[str, str] = {}

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(release.version for release in self.releases)

    def remove(self, version: str) -> None:
        """Takes a release out. Raises ValueError if it is not there."""
        number = self.versions.index(version)
        del self.releases[number]
        for key, rows in self._rows.items():
            kept = [(first - (first > number), last - (last >= number), atoms) for first, last, atoms in rows]
            self._rows[key] = _joined([row for row in kept if row[0] <= row[1]])
        self._rows = defaultdict(list, {key: rows for key, rows in self._rows.items() if rows})

    def add(self, interface: Interface) -> None:
        """Takes one more release, at its place among the others. Raises ValueError if it is there already."""
        version = Version(interface.release.version)
        versions = [Version(release.version) for release in self.releases]
        if version in versions:
            raise ValueError(f"{self.name} {version} is there already")
        number = bisect(versions, version)
        if number < len(versions):
            self._make_room(number)
        self.releases.insert(number, interface.release)
        for key, atoms in self._keys(interface):
            self._rows[key] = _joined([*self._rows[key], (number, number, atoms)])

    def _make_room(self, number: int) -> None:
        """Counts the releases from `number` on one further; a span across it is cut in two."""
        for key, rows in self._rows.items():
            moved: list[Row] = []
            for first, last, atoms in rows:
                if first < number <= last:
                    moved += [(first, number - 1, atoms), (number + 1, last + 1, atoms)]
                else:
                    shift = int(first >= number)
                    moved.append((first + shift, last + shift, atoms))
            self._rows[key] = moved

    def _keys(self, interface: Interface) -> Iterator[tuple[str, tuple[str, ...]]]:
        places: dict[str, list[str]] = defaultdict(list)
        before, self._texts = self._texts, {}
        for path, definition in interface.definitions.items():
            texts = self._encoded(definition, before)
            if isinstance(definition, Module) and len(definition.names) > SHARDED_FROM:
                yield path, (dump([*module_head(definition), 1]),)
                yield from _shards(path, texts[1:])
            else:
                yield path, texts
            module, _, name = path.rpartition(".")
            is_public = isinstance(definition, Class | Function) and not name.startswith("_")
            if is_public and ".models." not in module and isinstance(interface.definitions.get(module), Module):
                places[name].append(module)
        for name, modules in places.items():
            yield f"{self.name}!{name}", tuple(dump(module) for module in sorted(modules))

    def _encoded(self, definition: Definition, before: _Texts) -> tuple[str, ...]:
        """The atoms as text. What the cache of modules gives again is the same object, and not encoded again."""
        found = before.get(id(definition))
        if found is None or found[0] is not definition:
            atoms = [dump(atom) for atom in encode(definition)]
            found = (definition, tuple(self._known.setdefault(atom, atom) for atom in atoms))
        self._texts[id(definition)] = found
        return found[1]

    def continue_from(self, store: Store) -> None:
        """Takes all that a store holds of this library, so that newer releases can be added."""
        self.releases = list(store.package(self.name).releases)
        for mark in (".", "#", "!"):
            for key in store.keys(f"{self.name}{mark}"):
                self._take(store, key)
        self._take(store, self.name)

    def _take(self, store: Store, key: str) -> None:
        self._rows[key] = [(span.first, span.last, tuple(dump(a) for a in span.atoms)) for span in store.spans(key)]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each key with its history as JSON, unsorted."""
        for key, rows in self._rows.items():
            atoms = {atom: number for number, atom in enumerate(dict.fromkeys(a for row in rows for a in row[2]))}
            spans = [[first, last, runs(atoms[atom] for atom in texts)] for first, last, texts in rows]
            yield key, f"[[{','.join(atoms)}],{dump(spans)}]"


def _joined(rows: list[Row]) -> list[Row]:
    """In order, neighbours that say the same made one."""
    joined: list[Row] = []
    for row in sorted(rows) if len(rows) > 1 and rows[-1][0] < rows[-2][0] else rows:
        if joined and joined[-1][1] == row[0] - 1 and joined[-1][2] == row[2]:
            joined[-1] = (joined[-1][0], row[1], row[2])
        else:
            joined.append(row)
    return joined


def _shards(path: str, names: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    shards: dict[str, list[str]] = defaultdict(list)
    for text in names:
        shards[shard_of(text.lstrip('["').partition('"')[0])].append(text)
    for shard, texts in shards.items():
        yield f"{path}#{shard}", tuple(texts)


def write(path: Path, libraries: Iterable[LibraryHistory]) -> None:
    """Writes the file, whole or not at all."""
    histories = sorted(libraries, key=lambda history: history.name)
    requirements = sorted({text for history in histories for release in history.releases for text in release.requires})
    blocks, firsts = _blocks(histories)
    numbers = {text: number for number, text in enumerate(requirements)}
    days = [release.date for history in histories for release in history.releases]
    head = {
        "built": max(days, default=""),
        "requirements": requirements,
        "libraries": {h.name: [h.distribution, [_release(r, numbers) for r in h.releases]] for h in histories},
        "blocks": [[first, len(block)] for first, block in zip(firsts, blocks, strict=True)],
    }
    packed = zlib.compress(dump(head).encode(), 9)
    _replace(path, [MAGIC, len(packed).to_bytes(4, "little"), packed, *blocks])


def _release(release: Release, numbers: Mapping[str, int]) -> list[Atom]:
    requires = [numbers[text] for text in release.requires]
    return [release.version, release.date, release.python, requires, int(release.yanked)]


def _blocks(histories: Iterable[LibraryHistory]) -> tuple[list[bytes], list[str]]:
    lines = sorted(line for history in histories for line in history.lines())
    blocks, firsts = [], []
    block: list[str] = []
    size = 0
    for position, (key, text) in enumerate(lines):
        if not block:
            firsts.append(key)
        block.append(f"{key}\t{text}\n")
        size += len(block[-1])
        if size >= _BLOCK_BYTES or position == len(lines) - 1:
            blocks.append(zlib.compress("".join(block).encode(), 9))
            block, size = [], 0
    return blocks, firsts


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
