"""What changed in a library's public interface between two of its releases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from trainguard.libraries.api.query import Found, Interfaces, Missing
from trainguard.libraries.api.records import Class, Function, Parameter
from trainguard.libraries.api.signatures import Signature, Signatures

ChangeKind: TypeAlias = Literal[
    "removed", "moved", "added", "argument-removed", "argument-renamed", "argument-added", "argument-required",
    "default-changed", "choice-removed", "choice-added", "deprecated",
]  # fmt: skip
KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `path` is the public path of the name, `argument` the keyword that it is about.

    `old` and `new` say what it was and is: a path for what moved, a keyword for what was renamed, a default's source.
    """

    kind: ChangeKind
    path: str
    argument: str = ""
    old: str = ""
    new: str = ""


def changes(before: Interfaces, after: Interfaces, library: str) -> Iterator[Change]:
    """The differences of the names that the library's top level offers, and of their constructors and methods.

    `before` and `after` differ in the version of `library` alone, so that no other library's changes are listed.
    """
    old_names, new_names = _public(before, library), _public(after, library)
    old, new = Signatures(before), Signatures(after)
    for name in sorted(old_names | new_names):
        path = f"{library}.{name}"
        if name not in new_names:
            yield _gone(before, after, path)
        elif name not in old_names:
            yield Change(kind="added", path=path)
        else:
            yield from _in_name(old, new, path)


def _public(interfaces: Interfaces, library: str) -> set[str]:
    names = interfaces.index.names(library, interfaces.versions[library], library)
    return {name for name in names if not name.startswith("_")}


def _gone(before: Interfaces, after: Interfaces, path: str) -> Change:
    library, _, name = path.rpartition(".")
    moved = after.moved(Missing(library, name))
    old = before.find(path)
    if moved is not None and isinstance(old, Found):
        return Change(kind="moved", path=path, old=path, new=moved)
    return Change(kind="removed", path=path)


def _in_name(old: Signatures, new: Signatures, path: str) -> Iterator[Change]:
    before, after = old.interfaces.find(path), new.interfaces.find(path)
    if not isinstance(before, Found) or not isinstance(after, Found):
        return
    yield from _in_callable(old, new, path)
    if not isinstance(before.definition, Class) or not isinstance(after.definition, Class):
        return
    if before.path == after.path and before.definition == after.definition and _same_methods(old, new, before.path):
        return
    names = [*before.definition.members, *(n for n in after.definition.members if n not in before.definition.members)]
    for name in names:
        if not name.startswith("_"):
            yield from _in_member(old, new, f"{path}.{name}")


def _same_methods(old: Signatures, new: Signatures, path: str) -> bool:
    """Whether no method of a class has changed."""
    library = path.partition(".")[0]
    index = old.interfaces.index
    spans = [
        {p: index.definition(library, i.versions[library], p) for p in index.paths(library, i.versions[library], path)}
        for i in (old.interfaces, new.interfaces)
    ]
    return spans[0] == spans[1]


def _in_member(old: Signatures, new: Signatures, path: str) -> Iterator[Change]:
    before, after = old.interfaces.find(path), new.interfaces.find(path)
    was = isinstance(before, Found) and isinstance(before.definition, Function)
    if was and isinstance(after, Found) and isinstance(after.definition, Function):
        yield from _in_callable(old, new, path)
    elif was and after is not None and not isinstance(after, Found):
        yield Change(kind="removed", path=path)
    elif isinstance(after, Found) and isinstance(after.definition, Function) and not was and before is not None:
        yield Change(kind="added", path=path)


def _in_callable(old: Signatures, new: Signatures, path: str) -> Iterator[Change]:
    before, after = old.of(path), new.of(path)
    if before is None or after is None:
        return
    for name in before.keywords:
        was, now = before.parameter(name), after.parameter(name)
        if not after.names(name):
            yield from _lost(before, after, path, name)
        elif was is not None and now is not None:
            yield from _in_parameter(was, now, path)
    for name in after.keywords:
        now = after.parameter(name)
        if not before.names(name):
            required = now is not None and now in after.required
            yield Change(kind="argument-required" if required else "argument-added", path=path, argument=name)
    for notice in after.deprecations:
        if notice.name and notice.accepted and before.names(notice.name) and before.notice(notice.name) is None:
            yield Change(kind="deprecated", path=path, argument=notice.name, new=notice.new, old=notice.removal)


def _lost(before: Signature, after: Signature, path: str, name: str) -> Iterator[Change]:
    notice = before.notice(name)
    if notice is not None and notice.new and after.names(notice.new):
        yield Change(kind="argument-renamed", path=path, argument=name, new=notice.new)
    else:
        yield Change(kind="argument-removed", path=path, argument=name)


def _in_parameter(was: Parameter, now: Parameter, path: str) -> Iterator[Change]:
    if was.default != now.default and was.default is not None and now.default is not None:
        yield Change(kind="default-changed", path=path, argument=was.name, old=was.default, new=now.default)
    if was.choices is not None and now.choices is not None:
        for choice in was.choices:
            if choice not in now.choices:
                yield Change(kind="choice-removed", path=path, argument=was.name, old=repr(choice))
        for choice in now.choices:
            if choice not in was.choices:
                yield Change(kind="choice-added", path=path, argument=was.name, new=repr(choice))
