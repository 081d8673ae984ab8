"""The interfaces that are known here: the file that ships with trainguard, and those that the user has added."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from packaging.version import Version

from trainguard.libraries.api.codec import decode, decode_names
from trainguard.libraries.api.records import Definition, Module, Release
from trainguard.libraries.api.store import Span, Store, shard_of

BUNDLED = Path(__file__).with_name("index.bin")


class Index:
    """Several stores as one. Where two know a release, the first one given counts."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)
        self._places: dict[str, dict[str, tuple[Store, int]]] = {}
        self._decoded: dict[tuple[int, str], Definition] = {}

    @cached_property
    def libraries(self) -> tuple[str, ...]:
        """The import names of all libraries."""
        return tuple(sorted({name for store in self._stores for name in store.names}))

    @cached_property
    def all_releases(self) -> Mapping[str, tuple[Release, ...]]:
        """All releases of all libraries, by import name, oldest first."""
        return {library: self.releases(library) for library in self.libraries}

    def releases(self, library: str) -> tuple[Release, ...]:
        """All releases of a library, oldest first; none if it is unknown."""
        return tuple(store.package(library).releases[at] for store, at in self._versions(library).values())

    def versions(self, library: str) -> tuple[str, ...]:
        """The versions of all releases, oldest first."""
        return tuple(self._versions(library))

    def distribution(self, library: str) -> str:
        """The name under which a library is installed. Raises KeyError if it is unknown."""
        return next(store.package(library).distribution for store in self._stores if library in store.names)

    def own_releases(self, library: str) -> int:
        """How many of a library's releases the user has added."""
        return sum(store.path != BUNDLED for store, _ in self._versions(library).values())

    def _versions(self, library: str) -> dict[str, tuple[Store, int]]:
        if library not in self._places:
            found: dict[str, tuple[Store, int]] = {}
            for store in self._stores:
                releases = store.package(library).releases if library in store.names else ()
                for number, release in enumerate(releases):
                    found.setdefault(release.version, (store, number))
            several = sum(library in store.names for store in self._stores) > 1
            self._places[library] = dict(sorted(found.items(), key=lambda v: Version(v[0]))) if several else found
        return self._places[library]

    # -- one release -------------------------------------------------------------

    def definition(self, library: str, version: str, path: str) -> Definition | None:
        """What `path` is in a release; None if it has no such definition. A large module comes without its names."""
        span = self._span(library, version, path)
        return self._decode(span) if span is not None else None

    def _decode(self, span: Span) -> Definition:
        key = (id(span), "")
        if key not in self._decoded:
            self._decoded[key] = decode(span.atoms[:1] if _is_sharded(span) else span.atoms)
        return self._decoded[key]

    def _span(self, library: str, version: str, key: str) -> Span | None:
        place = self._versions(library).get(version)
        if place is None:
            return None
        store, number = place
        return next((span for span in store.spans(key) if span.first <= number <= span.last), None)

    def mentions(self, library: str, path: str, word: str) -> bool:
        """Whether any release's definition of `path` has a name or text that is `word`; much cheaper than to look."""
        return any(store.mentions(path, word) for store in self._stores if library in store.names)

    def name(self, library: str, version: str, module: str, name: str) -> str | None:
        """Where a module has a name from, empty if it defines it; None if it has no such name."""
        span = self._span(library, version, module)
        if span is None:
            return None
        if not _is_sharded(span):
            found = self._decode(span)
            return found.names.get(name) if isinstance(found, Module) else None
        shard = self._span(library, version, f"{module}#{shard_of(name)}")
        return decode_names(shard.atoms).get(name) if shard is not None else None

    def names(self, library: str, version: str, module: str) -> dict[str, str]:
        """All names of a module, and where it has them from."""
        span = self._span(library, version, module)
        if span is None:
            return {}
        if not _is_sharded(span):
            found = self._decode(span)
            return dict(found.names) if isinstance(found, Module) else {}
        store, _ = self._versions(library)[version]
        shards = (self._span(library, version, key) for key in store.keys(f"{module}#"))
        return {name: at for shard in shards if shard is not None for name, at in decode_names(shard.atoms).items()}

    def places(self, library: str, version: str, name: str) -> tuple[str, ...]:
        """The modules of a release that define a public class or function of this name."""
        span = self._span(library, version, f"{library}!{name}")
        return span.atoms if span is not None else ()

    def paths(self, library: str, version: str, prefix: str) -> Iterator[str]:
        """All paths of a release that begin with `prefix`. Reads much; for lists and comparisons."""
        place = self._versions(library).get(version)
        for key in place[0].keys(prefix) if place is not None else ():
            if "#" not in key and "!" not in key and self._span(library, version, key) is not None:
                yield key


def _is_sharded(span: Span) -> bool:
    head = span.atoms[0]
    return isinstance(head, list) and head[0] == "M" and len(head) > 2


def user_index() -> Path:
    """The file of what the user has added: in `$TRAINGUARD_CACHE`, else in the platform's folder for caches."""
    folder = os.environ.get("TRAINGUARD_CACHE")
    if folder is None:
        from platformdirs import user_cache_path  # some milliseconds

        return user_cache_path("trainguard") / "index.bin"
    return Path(folder) / "index.bin"


def open_index() -> Index:
    """The bundled index, with what the user has added.

    Raises UnreadableInputError, naming the file, if one of them is damaged.
    """
    own = user_index()
    try:
        stamp = own.stat().st_mtime_ns
    except OSError:
        return _open(None, 0)
    return _open(own, stamp)


@lru_cache(maxsize=2)
def _open(own: Path | None, _stamp: int) -> Index:
    bundled = Store.open(BUNDLED)
    return Index([bundled] if own is None else [Store.open(own), bundled])
