"""Requirements and releases as an installer reads them: names, version ranges, markers.

The parts are parsed by the `packaging` library, and each text once: the releases of a library repeat the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, TypeAlias

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

# PEP 508. Metadata before 2024 has the versions in brackets (`transformers (>=4.18.0)`).
_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?\s*"
    r"(?:@\s*(?P<url>[^\s;]+(?:\s*;(?=\S))?\S*)\s*|\(?\s*(?P<specifier>[<>=!~][^;()]*?)?\s*\)?\s*)(?:;\s*(?P<marker>.*))?"
)
_EXACT = re.compile(r"={2,3}(?P<version>[^,*]+)")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_FILE = re.compile(r"([A-Za-z0-9._]+)-\d[^-/\\]*(?:-[^/\\]*)?\.(?:whl|tar\.gz|zip)")
_UPPER = ("<", "~=", "==")

Outside: TypeAlias = Literal["older", "newer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A requirement: `name` is canonical (PEP 503), `specifier` its version part, `text` what was written.

    `direct` tells that a URL, repository or file is asked for, whose version nobody can tell from its text.
    """

    name: str
    text: str
    specifier: str = ""
    extras: frozenset[str] = frozenset()
    marker: str = ""
    direct: bool = False

    @property
    def exact(self) -> str | None:
        """The only version that it takes, None where it takes several."""
        return _exact(self.specifier)

    @property
    def bounded(self) -> bool:
        """Whether it takes no release newer than some version."""
        return _bounded(self.specifier)


def canonical(name: str) -> str:
    """The name as PEP 503 normalises it: lower case, single hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=4096)
def read_wanted(text: str) -> Wanted | None:
    """The requirement that `text` states, None where not even its name can be told (`-e .`, a repository)."""
    text = text.strip()
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        name = _name_in_address(text)
        return Wanted(name=name, text=text, direct=True) if name else None
    specifier = re.sub(r"\s+", "", match["specifier"] or "")
    if match["url"] is None and _specifiers(specifier) is None:
        return None
    extras = frozenset(canonical(extra.strip()) for extra in (match["extras"] or "").split(",") if extra.strip())
    return Wanted(
        name=canonical(match["name"]),
        text=re.sub(r"\s+", "", text.partition(";")[0]) if match["url"] is None else text,
        specifier=specifier,
        extras=extras,
        marker=(match["marker"] or "").strip(),
        direct=match["url"] is not None,
    )


@lru_cache(maxsize=4096)
def dependencies(requires: tuple[str, ...], extra: str, python: str) -> tuple[Wanted, ...]:
    """What a release with these `requires` needs on this Python (`3.12.99`): always, or for `extra` alone."""
    wanted = [found for text in requires if (found := read_wanted(text)) is not None and not found.direct]
    if not extra:
        return tuple(each for each in wanted if marker_holds(each.marker, "", python))
    asked = [each for each in wanted if "extra" in each.marker and not marker_holds(each.marker, "", python)]
    return tuple(each for each in asked if marker_holds(each.marker, extra, python))


@lru_cache(maxsize=4096)
def marker_holds(marker: str, extra: str, python: str) -> bool:
    """Whether an environment marker holds for CPython `python` on x86-64 Linux, with `extra` asked for."""
    if not marker:
        return True
    plain = re.fullmatch(r"extra\s*==\s*['\"]([^'\"]*)['\"]", marker)
    if plain is not None:
        return canonical(plain[1]) == extra
    from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName  # 10 ms that few requirements need

    environment = {
        "implementation_name": "cpython", "implementation_version": python, "os_name": "posix",
        "platform_machine": "x86_64", "platform_python_implementation": "CPython", "platform_release": "",
        "platform_system": "Linux", "platform_version": "", "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]), "sys_platform": "linux", "extra": extra,
    }  # fmt: skip
    try:
        return Marker(marker).evaluate(environment)
    except (InvalidMarker, UndefinedEnvironmentName, InvalidVersion):
        return False


@lru_cache(maxsize=16384)
def admits(specifier: str, text: str) -> bool:
    """Whether a version range takes a version; a range that cannot be read takes all."""
    specifiers, read = _specifiers(specifier), version(text)
    return specifiers is None or read is None or specifiers.contains(read, prereleases=True)


def admits_outside(specifier: str, outside: Outside, bound: str) -> bool:
    """Whether a version range takes releases older, or newer, than the version `bound`."""
    edge = version(bound)
    return edge is None or all(_reaches(part, outside, edge) for part in _parts(specifier))


def _reaches(part: str, outside: Outside, edge: Version) -> bool:
    match = re.fullmatch(r"(===|==|~=|!=|<=|>=|<|>)(.+?)(\.\*)?", part)
    limit = version(match[2]) if match is not None else None
    if match is None or limit is None or match[1] == "!=":
        return True
    if match[1] in ("<", "<="):
        return outside == "older" or limit > edge
    if match[1] in (">", ">="):
        return outside == "newer" or limit < edge
    if match[1] == "~=":  # ~=4.51.0 is >=4.51.0 and ==4.51.*
        prefix = limit.release[:-1]
        return limit < edge if outside == "older" else prefix >= edge.release[: len(prefix)]
    if match[3]:
        prefix = limit.release
        return limit < edge if outside == "older" else prefix >= edge.release[: len(prefix)]
    return limit < edge if outside == "older" else limit > edge


@cache
def version(text: str) -> Version | None:
    """The version, None where it is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def loosened(specifier: str, outside: Outside) -> str:
    """What releases older (or newer) than the oldest (newest) known probably ask: their bound on that side is gone."""
    kept: list[str] = []
    for part in _parts(specifier):
        if outside == "newer" and part.startswith((">", "!=")):
            kept.append(part)
        elif outside == "newer" and part.startswith("~="):
            kept.append(part.replace("~=", ">=", 1))
        elif outside == "older" and part.startswith(("<", "!=")):
            kept.append(part)
    return ",".join(kept)


@lru_cache(maxsize=4096)
def disjoint(first: str, second: str) -> bool:
    """Whether two version ranges have certainly no version in common, by their pins and bounds."""
    for one, other in ((first, second), (second, first)):
        pinned = _exact(one)
        if pinned is not None:
            return not admits(other, pinned)
        for lower in filter(None, (_bound(part, ">") for part in _parts(one))):
            for upper in filter(None, (_bound(part, "<") for part in _parts(other))):
                if lower[0] > upper[0] or (lower[0] == upper[0] and not (lower[1] and upper[1])):
                    return True
    return False


def _bound(part: str, side: Literal["<", ">"]) -> tuple[Version, bool] | None:
    """The bound that one clause sets on a side, and whether it is taken itself; None where it sets none."""
    match = re.fullmatch(r"(~=|==|<=|>=|<|>)(.+?)(\.\*)?", part)
    limit = version(match[2]) if match is not None else None
    if match is None or limit is None or (match[1] == "==" and not match[3]):
        return None
    if match[1].startswith(side):
        return limit, match[1].endswith("=")
    if match[1] not in ("~=", "=="):
        return None
    if side == ">":
        return limit, True
    prefix = limit.release if match[3] else limit.release[:-1]  # ==4.51.* and ~=4.51.0 end below 4.52
    following = version(".".join(map(str, (*prefix[:-1], prefix[-1] + 1)))) if prefix else None
    return (following, False) if following is not None else None


def is_prerelease(text: str) -> bool:
    read = version(text)
    return read is not None and read.is_prerelease


@lru_cache(maxsize=4096)
def _specifiers(specifier: str) -> SpecifierSet | None:
    try:
        return SpecifierSet(specifier)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=4096)
def _exact(specifier: str) -> str | None:
    return next((match["version"] for part in _parts(specifier) if (match := _EXACT.fullmatch(part))), None)


@lru_cache(maxsize=4096)
def _bounded(specifier: str) -> bool:
    return any(part.startswith(_UPPER) for part in _parts(specifier))


def _parts(specifier: str) -> Iterable[str]:
    return filter(None, specifier.split(","))


def _name_in_address(text: str) -> str | None:
    """The distribution that a repository's or file's address names; None where it does not (`-e .`)."""
    if match := _EGG.search(text):
        return canonical(match[1])
    path = re.split(r"[#?]", text)[0].rstrip("/")
    if match := _FILE.fullmatch(re.split(r"[/\\]", path)[-1]):
        return canonical(match[1])
    if not text.startswith(("git+", "hg+", "svn+", "bzr+")):
        return None
    repository = path.rpartition("/")[2].partition("@")[0].removesuffix(".git")
    return canonical(repository) if re.fullmatch(r"[A-Za-z0-9._-]+", repository) else None
