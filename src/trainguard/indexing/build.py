"""Joins releases into an index: those that a file lacks are read and added, the others stay as they are."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from trainguard.indexing.cache import FileCache, key_of
from trainguard.indexing.link import read_interface
from trainguard.indexing.metadata import read_release
from trainguard.indexing.modules import read_module
from trainguard.indexing.slim import slim
from trainguard.indexing.sources import wheel_sources
from trainguard.indexing.writer import LibraryHistory, write
from trainguard.libraries.api.records import Interface
from trainguard.libraries.api.store import Store


def histories(path: Path) -> dict[str, LibraryHistory]:
    """All that a file of interfaces holds, ready for more; nothing if there is no file."""
    if not path.exists():
        return {}
    store = Store.open(path)
    found = {}
    for name in store.names:
        history = LibraryHistory(name, store.package(name).distribution)
        history.continue_from(store)
        found[name] = history
    return found


def add(path: Path, distribution: str, interfaces: Iterable[Interface], *, replace: bool = False) -> list[str]:
    """Adds releases to a file of interfaces and writes it; the versions that were new.

    A release that is there is left as it is, or with `replace` read again.
    """
    known = histories(path)
    added = []
    for interface in interfaces:
        version = interface.release.version
        history = known.setdefault(interface.package, LibraryHistory(interface.package, distribution))
        if version in history.versions:
            if not replace:
                continue
            history.remove(version)
        history.add(interface)
        added.append(version)
    if added:
        write(path, known.values())
    return added


def read_wheel(path: Path, library: str, *, date: str = "", yanked: bool = False, cache: FileCache | None) -> Interface:
    """The interface of one library in a wheel. Raises UnreadableInputError if it is none."""
    release = read_release(path, date=date, yanked=yanked)
    return slim(read_interface(library, wheel_sources(path), release, cache=cache))


def warm(wheels: Iterable[Path], cache: Path) -> None:
    """Reads the modules of many wheels into a cache, with all the processors there are."""
    paths = list(wheels)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_warm_one, paths, [cache] * len(paths)))


def _warm_one(wheel: Path, cache: Path) -> None:
    records = FileCache(cache)
    try:
        for source in wheel_sources(wheel):
            key = key_of(source.text)
            if records.get(key) is None:
                records.put(key, read_module(source.name, source.text, is_package=source.is_package))
    finally:
        records.close()
