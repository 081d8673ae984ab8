"""The parts of `trainguard index` that write: the user's own index, and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.errors import UnreadableInputError, UsageError

if TYPE_CHECKING:
    from trainguard.indexing.sources import Source
    from trainguard.libraries.api.records import Interface, Release

_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:==(?P<version>[^=\s]+))?")


def add_package(package: str, *, wheel: Path | None, fetch: bool, library: str | None) -> str:
    """Adds one release to the user's index; what was done, in a line.

    Raises UsageError for a package that is not there, and UnreadableInputError for a wheel that cannot be read.
    """
    match = _PACKAGE.fullmatch(package.strip())
    if match is None:
        raise UsageError(f"{package!r} is no package; write NAME or NAME==VERSION")
    name, version = match["name"], match["version"]
    if wheel is not None:
        return _add(name, _of_wheel(wheel, name, version, library))
    if fetch:
        from trainguard.indexing.wheels import fetched, published

        releases = {each.version: each for each in published(name)}
        chosen = version or next(reversed(releases), None)
        if chosen is None or chosen not in releases:
            raise UsageError(f"{name}: the package index has no wheel of {chosen or 'any release'}")
        with fetched(name, chosen) as path:
            return _add(name, _of_wheel(path, name, None, library, date=releases[chosen].date))
    return _add(name, _of_environment(name, version, library))


def update_packages(packages: tuple[str, ...], *, dry_run: bool) -> str:
    """Adds the releases that came after the index's; what was done, a line for each."""
    from trainguard.cli.index import known_library
    from trainguard.indexing.wheels import fetched, published
    from trainguard.libraries.api.index import open_index

    index = open_index()
    names = [known_library(index, package) for package in packages] or list(index.libraries)
    lines = []
    for name in names:
        newest = index.versions(name)[-1]
        distribution = index.distribution(name)
        releases = [each for each in published(distribution, newest) if each.version not in index.versions(name)]
        for release in releases:
            if dry_run:
                lines.append(f"{name} {release.version} of {release.date} is newer than the index\n")
                continue
            with fetched(distribution, release.version) as path:
                lines.append(_add(distribution, _of_wheel(path, distribution, None, name, date=release.date)))
    return "".join(lines) or "The index has the newest releases.\n"


def remove_package(package: str) -> str:
    """Takes a library out of the user's index."""
    from trainguard.indexing.build import histories
    from trainguard.indexing.writer import write
    from trainguard.libraries.api.index import user_index

    path = user_index()
    known = histories(path)
    name = next((n for n, h in known.items() if _plain(package) in (_plain(n), _plain(h.distribution))), None)
    if name is None:
        own = ", ".join(known) or "nothing"
        raise UsageError(f"{package} is not in your own index, which has {own}")
    count = len(known.pop(name).releases)
    if known:
        write(path, known.values())
    else:
        path.unlink()
    return f"{name}: {count} {'release' if count == 1 else 'releases'} taken out of {path}\n"


def _add(distribution: str, interface: Interface) -> str:
    from trainguard.indexing.build import add
    from trainguard.libraries.api.index import user_index

    path = user_index()
    add(path, distribution, [interface], replace=True)
    count = len(interface.definitions)
    return f"{interface.package} {interface.release.version}: {count:,} definitions added to {path}\n"


def _of_wheel(path: Path, name: str, version: str | None, library: str | None, *, date: str = "") -> Interface:
    import zipfile

    from trainguard.indexing.metadata import read_release
    from trainguard.indexing.sources import wheel_sources

    try:
        release = read_release(path, date=date)
        if version is not None and release.version != version:
            raise UsageError(f"--wheel {path.name} holds {release.version}, not {version}")
        sources = list(wheel_sources(path))
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise UnreadableInputError(f"{path}: is no wheel that can be read: {error}") from error
    return _interface(name, sources, release, library)


def _of_environment(name: str, version: str | None, library: str | None) -> Interface:
    from trainguard.indexing.metadata import parse_release
    from trainguard.indexing.sources import installed_sources

    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"{name} is not installed here ({sys.prefix}); give --wheel FILE, or --fetch to have pip fetch it"
        ) from None
    if version is not None and distribution.version != version:
        raise UsageError(
            f"{name} {distribution.version} is installed here, not {version}; give --wheel FILE or --fetch"
        )
    release = parse_release(distribution.read_text("METADATA") or f"Version: {distribution.version}\n")
    return _interface(name, list(installed_sources(name)), release, library)


def _interface(name: str, sources: list[Source], release: Release, library: str | None) -> Interface:
    from trainguard.indexing.link import read_interface

    found = library or _import_name(name, sources)
    own = [source for source in sources if source.name.partition(".")[0] == found]
    if not own:
        names = sorted({source.name.partition(".")[0] for source in sources})
        raise UsageError(f"{name} has no package {found}; it has {', '.join(names) or 'no Python modules'}: --library")
    with _progress(f"reading {found} {release.version}", own) as shown:
        return read_interface(found, shown, release)


def _import_name(name: str, sources: Iterable[Source]) -> str:
    """The package of a distribution that is imported: of its name, else the one with the most modules."""
    counts: dict[str, int] = {}
    for source in sources:
        top = source.name.partition(".")[0]
        counts[top] = counts.get(top, 0) + 1
    named = next((top for top in counts if _plain(top) == _plain(name)), None)
    return named or max(counts, key=lambda top: counts[top], default=_plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


@contextmanager
def _progress(title: str, sources: list[Source]) -> Iterator[Iterable[Source]]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield track(sources, title, console=console, disable=not console.is_terminal)
