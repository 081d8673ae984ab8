"""The file of interfaces: opened by its head, read block by block, only where a check asks.

The format (version 1), made to be small and to be read in parts:

    8 bytes   magic, `TGAPI` and the format's version
    4 bytes   length of the head, little endian
    head      zlib of JSON: {"built": day of the newest release, "requirements": [text, …],
              "libraries": {import name: [distribution, [[version, date, python, [number of a requirement, …],
              yanked], …]]}, "blocks": [[first key, length], …]}
    blocks    one after another, each zlib of lines `KEY<tab>JSON`, sorted by key through all blocks

A line is the history of one path: `[[atom, …], [[first, last, runs], …]]`. First and last count the library's
releases in the order of their versions; runs are the numbers of the atoms that the definition has in that span (see
`codec`). A path that is not there in a release has no span for it.

Three kinds of key: `transformers.trainer.Trainer` is a definition; `transformers#tr` holds those names of a large
module that begin so (its own line says `["M", getattr, 1]`); `transformers!AdamW` lists the modules that define a
public name, to tell where something has moved (those of single models left out).
"""

from __future__ import annotations

import json
import weakref
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainguard.errors import UnreadableInputError
from trainguard.libraries.api.codec import Atom, numbers
from trainguard.libraries.api.records import Release

MAGIC = b"TGAPI\x00\x00\x01"
SHARDED_FROM = 200  # names of a module; more are spread over several lines


def shard_of(name: str) -> str:
    """Under which of a large module's lines a name stands."""
    return name[:2].lower()


@dataclass(frozen=True, slots=True)
class Library:
    """A library in a store; `releases` ascend by version."""

    name: str
    distribution: str
    releases: tuple[Release, ...]


class Span:
    """The releases `first` to `last` (positions in the library's list) in which a definition is the same."""

    __slots__ = ("_atoms", "_runs", "_table", "first", "last")

    def __init__(self, first: int, last: int, table: Sequence[Atom], runs: str) -> None:
        self.first = first
        self.last = last
        self._table = table
        self._runs = runs
        self._atoms: tuple[Atom, ...] | None = None

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The definition; put together when asked for, since a check asks for one release of many."""
        if self._atoms is None:
            self._atoms = tuple(self._table[number] for number in numbers(self._runs))
        return self._atoms


class Store:
    """One file of interfaces. Not thread-safe: reads move the file's position."""

    def __init__(self, path: Path, file: IO[bytes], head: Mapping[str, Any], start: int) -> None:
        self.path = path
        self.built: str = head["built"]
        self._file = file
        weakref.finalize(self, file.close)  # open as long as somebody asks: a file put in its place changes nothing
        self._head = head
        self._libraries: dict[str, Library] = {}
        self._firsts: list[str] = [first for first, _ in head["blocks"]]
        self._lengths: list[int] = [length for _, length in head["blocks"]]
        self._offsets: list[int] | None = None
        self._start = start
        self._blocks: dict[int, str] = {}
        self._keys: dict[int, list[str]] = {}
        self._spans: dict[str, tuple[Span, ...]] = {}

    @classmethod
    def open(cls, path: Path) -> Store:
        """Opens a file of interfaces.

        Raises `UnreadableInputError` if it is not there, cut short or of another format.
        """
        try:
            with ExitStack() as stack:
                file = stack.enter_context(path.open("rb"))
                if file.read(8) != MAGIC:
                    raise UnreadableInputError(f"{path} is no index of interfaces of this version; build it again")
                length = int.from_bytes(file.read(4), "little")
                head = json.loads(zlib.decompress(file.read(length)))
                stack.pop_all()
        except (OSError, zlib.error, ValueError) as error:
            raise UnreadableInputError(f"{path}: the index of interfaces cannot be read: {error}") from error
        return cls(path, file, head, 12 + length)

    @property
    def names(self) -> tuple[str, ...]:
        """The import names of the libraries."""
        return tuple(self._head["libraries"])

    def package(self, name: str) -> Library:
        """One library. Raises KeyError if the store does not know it."""
        if name not in self._libraries:
            distribution, rows = self._head["libraries"][name]
            texts = self._head["requirements"]
            releases = tuple(
                Release(
                    version=version,
                    date=date,
                    python=python,
                    requires=tuple(texts[number] for number in requires),
                    yanked=bool(yanked),
                )
                for version, date, python, requires, yanked in rows
            )
            self._libraries[name] = Library(name, distribution, releases)
        return self._libraries[name]

    def mentions(self, key: str, word: str) -> bool:
        """Whether any release's definition of a key has a name or text that is `word`."""
        line = self._line(key)
        return line is not None and f'"{word}"' in line

    def spans(self, key: str) -> tuple[Span, ...]:
        """The history of a key, oldest first; empty if no release has it."""
        if key not in self._spans:
            self._spans[key] = self._read_spans(key)
        return self._spans[key]

    def _read_spans(self, key: str) -> tuple[Span, ...]:
        line = self._line(key)
        if line is None:
            return ()
        atoms, rows = json.loads(line)
        return tuple(Span(first, last, atoms, text) for first, last, text in rows)

    def _line(self, key: str) -> str | None:
        block = bisect_right(self._firsts, key) - 1
        if block < 0:
            return None
        text = self._block(block)
        start = text.find(f"\n{key}\t")
        if start < 0:
            return None
        start += len(key) + 2
        return text[start : text.index("\n", start)]

    def _block(self, number: int) -> str:
        """A block's lines, with a line break before the first."""
        if number not in self._blocks:
            if self._offsets is None:
                self._offsets = [self._start]
                for length in self._lengths:
                    self._offsets.append(self._offsets[-1] + length)
            self._file.seek(self._offsets[number])
            try:
                text = zlib.decompress(self._file.read(self._lengths[number])).decode()
            except (OSError, zlib.error, ValueError) as error:
                raise UnreadableInputError(f"{self.path}: the index of interfaces is damaged: {error}") from error
            self._blocks[number] = f"\n{text}"
        return self._blocks[number]

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with `prefix`, sorted. Reads every block that may hold one."""
        for number in range(max(bisect_right(self._firsts, prefix) - 1, 0), len(self._firsts)):
            keys = self._keys_of(number)
            for key in keys[bisect_left(keys, prefix) :]:
                if not key.startswith(prefix):
                    return
                yield key

    def _keys_of(self, number: int) -> list[str]:
        if number not in self._keys:
            self._keys[number] = [line.partition("\t")[0] for line in self._block(number)[1:-1].split("\n")]
        return self._keys[number]
