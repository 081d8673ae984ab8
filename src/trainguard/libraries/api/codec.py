"""Definitions as rows of small JSON values ("atoms"), so that what two releases share is stored once.

A definition is a sequence of atoms: its head first, then one atom for each parameter, name or notice. The history of a
path is the set of atoms that it ever had, and for each span of releases the numbers of those that it has in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from trainguard.libraries.api.records import (
    Class,
    Constant,
    Definition,
    Deprecation,
    Function,
    Module,
    Parameter,
)

Atom: TypeAlias = Any  # a string, or a list whose first item says what it is
_CLASS_FLAGS = ("kw_only", "has_init", "has_new", "getattr")


def encode(definition: Definition) -> list[Atom]:
    """The atoms of a definition; `decode` is its inverse."""
    match definition:
        case Module():
            return [module_head(definition), *_names(definition.names.items())]
        case Class():
            flags = [int(getattr(definition, flag)) for flag in _CLASS_FLAGS]
            atoms: list[Atom] = [["C", definition.kind, list(definition.bases), *flags]]
            atoms += [_parameter(field) for field in definition.fields]
            atoms += [["v", name, value] for name, value in definition.values]
            return [*atoms, *map(_deprecation, definition.deprecations), *definition.members]
        case Function():
            head: Atom = ["F", definition.kind, int(definition.refuses_rest), int(definition.dynamic)]
            atoms = [head, *map(_parameter, definition.parameters), *map(_deprecation, definition.deprecations)]
            atoms += [["t", name] for name in definition.taken]
            return [*atoms, *(["w", path] for path in definition.forwards)]
        case Constant(source):
            return [["K", source]]


def decode(atoms: Sequence[Atom]) -> Definition:
    """The definition that `encode` made these atoms of."""
    head, rest = atoms[0], atoms[1:]
    match head[0]:
        case "M":
            return Module(decode_names(rest), bool(head[1] & 1), bool(head[1] & 2))
        case "C":
            flags = {flag: bool(value) for flag, value in zip(_CLASS_FLAGS, head[3:], strict=True)}
            return Class(
                kind=head[1],
                bases=tuple(head[2]),
                fields=tuple(_read_parameter(atom) for atom in rest if atom[0] == "p" and not isinstance(atom, str)),
                values=tuple((atom[1], atom[2]) for atom in rest if not isinstance(atom, str) and atom[0] == "v"),
                deprecations=_read_deprecations(rest),
                members=tuple(atom for atom in rest if isinstance(atom, str)),
                **flags,
            )
        case "F":
            return Function(
                kind=head[1],
                refuses_rest=bool(head[2]),
                dynamic=bool(head[3]),
                parameters=tuple(_read_parameter(atom) for atom in rest if atom[0] == "p"),
                deprecations=_read_deprecations(rest),
                taken=tuple(atom[1] for atom in rest if atom[0] == "t"),
                forwards=tuple(atom[1] for atom in rest if atom[0] == "w"),
            )
        case _:
            return Constant(head[1])


def module_head(module: Module) -> Atom:
    """The first atom of a module."""
    return ["M", int(module.getattr) + 2 * int(module.partial)]


def decode_names(atoms: Iterable[Atom]) -> dict[str, str]:
    """The names of a module (see `records.Module.names`) from their atoms."""
    return dict((atom, "") if isinstance(atom, str) else (atom[0], atom[1]) for atom in atoms)


def _names(names: Iterable[tuple[str, str]]) -> list[Atom]:
    return [[name, target] if target else name for name, target in sorted(names)]


def _parameter(parameter: Parameter) -> Atom:
    choices = list(parameter.choices) if parameter.choices is not None else None
    return _trimmed(["p", parameter.name, parameter.kind, parameter.default, parameter.annotation, choices])


def _read_parameter(atom: Atom) -> Parameter:
    name, kind, default, annotation, choices = _padded(atom)
    return Parameter(name, kind or 0, default, annotation, tuple(choices) if choices is not None else None)


def _deprecation(notice: Deprecation) -> Atom:
    flags = int(notice.same) + 2 * int(notice.accepted)
    return _trimmed(["d", notice.name, flags, notice.new or None, notice.removal or None, notice.message or None])


def _read_deprecations(atoms: Iterable[Atom]) -> tuple[Deprecation, ...]:
    found = []
    for atom in atoms:
        if not isinstance(atom, str) and atom[0] == "d":
            name, flags, new, removal, message = _padded(atom)
            found.append(Deprecation(name, new or "", bool(flags & 1), removal or "", bool(flags & 2), message or ""))
    return tuple(found)


def _padded(atom: Sequence[Any]) -> list[Any]:
    """The five values after the mark, those that `_trimmed` took away again."""
    return [*atom[1:], *[None] * (6 - len(atom))]


def _trimmed(atom: list[Any]) -> list[Any]:
    """Without the empty values at its end."""
    while atom[-1] is None:
        atom.pop()
    return atom


# -- numbers of atoms as text: 0-44,47,50-52 -------------------------------------


def runs(numbers: Iterable[int]) -> str:
    """Numbers as runs: `[0, 1, 2, 7]` is `0-2,7`. Order is kept."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def numbers(text: str) -> list[int]:
    """The inverse of `runs`."""
    found: list[int] = []
    for run in text.split(",") if text else ():
        first, _, last = run.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def dump(value: Any) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
