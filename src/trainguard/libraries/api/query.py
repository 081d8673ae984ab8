"""Questions to the interfaces of the libraries, at the versions that a job will install.

Every answer has a third value: None means that nothing can be told (a library that is not indexed, names that are made
up at run time, a base class nobody knows), and a rule that gets it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from trainguard.libraries.api.index import Index
from trainguard.libraries.api.records import Class, Constant, Definition, Function, Module

_Test: TypeAlias = Callable[[str], bool]
_MAX_HOPS = 20  # from re-export to re-export
# Classes of other packages whose members and constructor are known to add nothing that a training script calls by name.
_PLAIN_BASES = {"object", "abc.ABC", "typing.Generic", "typing.Protocol", "enum.Enum", "str", "int"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to; `path` is where it is defined."""

    path: str
    definition: Definition

    @property
    def package(self) -> str:
        return self.path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Missing:
    """`name` is not in `owner` (a module, or a class all of whose bases are known) in this version."""

    owner: str
    name: str

    @property
    def package(self) -> str:
        return self.owner.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Past:
    """In which releases of a library something is, as seen from a version in which it is not.

    `last` is the newest older release that has it, `gone` the first release after that without it, `added` the first
    newer release that has it. Each None if there is none.
    """

    package: str
    version: str
    last: str | None = None
    gone: str | None = None
    added: str | None = None

    def __bool__(self) -> bool:
        return self.last is not None or self.added is not None


class Interfaces:
    """The interfaces of some libraries, each at one version."""

    def __init__(self, index: Index, versions: Mapping[str, str]) -> None:
        self.index = index
        self.versions = {name: version for name, version in versions.items() if version in index.versions(name)}
        self._found: dict[str, Found | Missing | None] = {}

    def version(self, library: str) -> str | None:
        """The version of a library by its import name; None where it is not known."""
        return self.versions.get(library)

    def at(self, library: str, version: str) -> Interfaces:
        """The same with another version of one library."""
        return Interfaces(self.index, {**self.versions, library: version})

    # -- one definition ------------------------------------------------------------

    def find(self, path: str) -> Found | Missing | None:
        """What a dotted path leads to, re-exports followed; None where that cannot be told."""
        if path not in self._found:
            self._found[path] = None  # asked again while being looked up: a circle of re-exports
            self._found[path] = self._find(path, 0)
        return self._found[path]

    def _find(self, path: str, hops: int) -> Found | Missing | None:
        library, *rest = path.split(".")
        version = self.version(library)
        if version is None or hops > _MAX_HOPS:
            return None
        root = self.index.definition(library, version, library)
        found: Found | Missing | None = Found(library, root) if root is not None else None
        for name in rest:
            if not isinstance(found, Found):
                return found
            found = self._step(found, name, hops)
        return found

    def _step(self, owner: Found, name: str, hops: int) -> Found | Missing | None:
        match owner.definition:
            case Module() as module:
                return self._in_module(owner.path, module, name, hops)
            case Class():
                return self.member(owner.path, name)
            case _:
                return None

    def _in_module(self, path: str, module: Module, name: str, hops: int) -> Found | Missing | None:
        library = path.partition(".")[0]
        version = self.versions[library]
        target = self.index.name(library, version, path, name)
        own = f"{path}.{name}"
        if not target or target == own:
            definition = self.index.definition(library, version, own)
            if definition is not None:
                return Found(own, definition)
            if target is not None or name.startswith("__"):
                return None  # it is there, and nothing is recorded of what it is
            if module.getattr or (module.partial and not self._ever(library, path, name)):
                return None
            return Missing(path, name)
        found = self._find(target, hops + 1)
        # A re-export of something that its library does not have: a backend's own condition, not for us to judge.
        return found if isinstance(found, Found) else None

    def _ever(self, library: str, module: str, name: str) -> bool:
        """Whether any release defines a name in a module, of which not all names are recorded."""
        versions = self.index.versions(library)
        return any(self.index.name(library, version, module, name) is not None for version in versions)

    # -- classes -------------------------------------------------------------------

    def line(self, path: str) -> tuple[Found, ...] | None:
        """A class and its ancestors in the order in which Python looks members up, `object` left out.

        None where an ancestor cannot be told. Raises nothing for a path that is no class: it gives None.
        """
        found = self.find(path)
        if not isinstance(found, Found) or not isinstance(found.definition, Class):
            return None
        known, complete = self._line(found, set())
        return known if complete else None

    def known_line(self, path: str) -> tuple[tuple[Found, ...], bool]:
        """The ancestors as far as they are known in order, and whether these are all."""
        found = self.find(path)
        if not isinstance(found, Found) or not isinstance(found.definition, Class):
            return (), False
        return self._line(found, set())

    def _line(self, found: Found, around: set[str]) -> tuple[tuple[Found, ...], bool]:
        assert isinstance(found.definition, Class)
        if found.path in around:
            return (), False
        lines: list[list[Found]] = []
        complete = True
        for base in found.definition.bases:
            above = self.find(base)
            if isinstance(above, Found) and isinstance(above.definition, Class):
                line, whole = self._line(above, around | {found.path})
                lines.append(list(line))
                complete &= whole
            elif not _is_plain(base):
                complete = False
            if not complete:
                break  # what comes after an unknown ancestor has no known place
        return (found, *_merged(lines)), complete

    def member(self, owner: str, name: str) -> Found | Missing | None:
        """A method, attribute or nested class of a class, its ancestors included."""
        line, complete = self.known_line(owner)
        for ancestor in line:
            assert isinstance(ancestor.definition, Class)
            definition = self.index.definition(
                ancestor.package, self.versions[ancestor.package], f"{ancestor.path}.{name}"
            )
            if definition is not None:
                return Found(f"{ancestor.path}.{name}", definition)
            known = ancestor.definition
            if known.getattr or known.kind == "opaque" or name in known.members:
                return None
            if any(name == field.name for field in known.fields) or any(name == value for value, _ in known.values):
                return Found(f"{ancestor.path}.{name}", Constant())
        return Missing(owner, name) if complete and not name.startswith("__") else None

    # -- past and future -------------------------------------------------------------

    def past(self, missing: Missing) -> Past:
        """In which other releases the missing name is there."""
        library = missing.package

        def has(version: str) -> bool:
            other = self.at(library, version)
            return isinstance(other.find(f"{missing.owner}.{missing.name}"), Found) or (
                other.index.name(library, version, missing.owner, missing.name) is not None
            )

        return self.timeline(library, has)

    def timeline(self, library: str, has: _Test) -> Past:
        """Asks `has` of the releases around the present one, nearest first."""
        version = self.versions[library]
        versions = list(self.index.versions(library))
        here = versions.index(version)
        last = next((at for at in range(here - 1, -1, -1) if has(versions[at])), None)
        added = next((other for other in versions[here + 1 :] if has(other)), None) if last is None else None
        if last is None:
            return Past(library, version, added=added)
        return Past(library, version, versions[last], versions[last + 1], None)

    def moved(self, missing: Missing) -> str | None:
        """The shortest public path by which this version has something of that name, None if it has none."""
        library = missing.package
        found = []
        for module in self.index.places(library, self.versions[library], missing.name):
            path = f"{module}.{missing.name}"
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                shorter = ".".join([*parts[:end], missing.name])
                at = self.find(shorter)
                if isinstance(at, Found) and at.path == path:
                    found.append(shorter)
                    break
        public = [path for path in found if not any(part.startswith("_") for part in path.split("."))]
        return min(public, key=lambda path: (path.count("."), path)) if public else None

    def similar(self, missing: Missing) -> str | None:
        """A name of the same owner that is spelled almost so."""
        library, version = missing.package, self.versions[missing.package]
        names = [name for name in self.index.names(library, version, missing.owner) if not name.startswith("_")]
        if not names:
            names = [name for name in self.members(missing.owner) if not name.startswith("_")]
        return next(iter(get_close_matches(missing.name, names, 1, 0.8)), None)

    def members(self, path: str) -> list[str]:
        """The names of a class and its known ancestors."""
        found: dict[str, None] = {}
        for ancestor in self.known_line(path)[0]:
            assert isinstance(ancestor.definition, Class)
            found.update(dict.fromkeys(ancestor.definition.members))
            found.update((field.name, None) for field in ancestor.definition.fields)
        return list(found)

    def method(self, line: tuple[Found, ...], name: str) -> tuple[int, Function] | None:
        """The first of `line` that writes the method `name`: its place in the line, and the method."""
        for place, ancestor in enumerate(line):
            version = self.versions[ancestor.package]
            found = self.index.definition(ancestor.package, version, f"{ancestor.path}.{name}")
            if isinstance(found, Function):
                return place, found
        return None


def _is_plain(base: str) -> bool:
    return base.removeprefix("builtins.") in _PLAIN_BASES or base.startswith(("typing.", "collections.abc."))


def _merged(lines: list[list[Found]]) -> list[Found]:
    """The C3 merge of the ancestors' lines (docs.python.org, The Python 2.3 Method Resolution Order)."""
    merged: list[Found] = []
    rest = [line for line in lines if line]
    while rest:
        heads = (line[0] for line in rest)
        head = next((h for h in heads if not any(h.path in [f.path for f in line[1:]] for line in rest)), rest[0][0])
        merged.append(head)
        rest = [kept for line in rest if (kept := [found for found in line if found.path != head.path])]
    return merged
