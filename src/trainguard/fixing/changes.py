"""What an edit comes to in a text: regions that are replaced. And the reasons why one is not made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


class CannotFixError(Exception):
    """Why an edit is not made, in words that follow "not fixed:"."""


class WriteError(Exception):
    """A file that could not be read or written, with the reason. Exit code 2."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Region:
    """The characters `start` to `end` (exclusive, from 0) of a text, and what is to stand there."""

    start: int
    end: int
    new: str = ""


# By notebook cell, None for a script: what changes in its text, in order.
Changes: TypeAlias = Mapping[int | None, Sequence[Region]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Another text at a place. `claim` is the name that it takes, and in which call or dict: one may."""

    start: int
    end: int
    new: str
    claim: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """An argument, or the entry of a dict: number `index` of the list that starts at `owner`."""

    start: int
    end: int
    owner: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveImport:
    """The imported name number `index` of the statement at `owner` comes from another module."""

    start: int
    end: int
    owner: int
    index: int
    module: str
    name: str


Action: TypeAlias = Replace | Remove | MoveImport


def disagree(one: Action, other: Action) -> bool:
    """Whether only one of the two can be made. The same action twice is one action."""
    if one == other:
        return False
    if isinstance(one, Replace) and isinstance(other, Replace) and one.claim is not None and one.claim == other.claim:
        return True
    return one.start < other.end and other.start < one.end


def merged(regions: Iterable[Region]) -> list[Region]:
    """The regions in order, deletions that touch each other joined. Raises CannotFixError where others overlap."""
    result: list[Region] = []
    for region in sorted(set(regions)):
        last = result[-1] if result else None
        if last is None or region.start >= last.end:
            result.append(region)
        elif last.new or region.new:
            raise CannotFixError("its edits overlap")
        else:
            result[-1] = Region(start=last.start, end=max(last.end, region.end))
    return result


def spliced(text: str, regions: Iterable[Region]) -> str:
    """`text` with the regions, in order and apart, replaced."""
    parts = []
    place = 0
    for region in regions:
        parts += [text[place : region.start], region.new]
        place = region.end
    return "".join([*parts, text[place:]])
