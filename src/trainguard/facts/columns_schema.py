"""What is known of the columns of a dataset, and what the methods of `datasets` do to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from trainguard.libraries.dataset_formats import ColumnKind

# Where the rest of a dataset's columns comes from, by identity: the expression or the name that could not be read.
Origin: TypeAlias = object


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one table, as far as they are known.

    `present` are there for certain, with what they hold (None: cannot be told); `possible` may be. Where `origins` is
    empty there are no others; else there may be, but not those of `absent`. `source` says in words where the columns
    are known from.
    """

    present: Mapping[str, ColumnKind | None] = field(default_factory=dict)
    possible: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    origins: frozenset[Origin] = frozenset()
    source: str = ""

    def has(self, name: str) -> bool | None:
        """Whether there is a column of that name; None where it cannot be told."""
        if name in self.present:
            return True
        if name in self.absent:
            return False
        return None if name in self.possible or self.origins else False

    @property
    def closed(self) -> bool:
        """Whether all columns are known by name."""
        return not self.origins and not self.possible


@dataclass(frozen=True, slots=True)
class Splits:
    """A dict of tables by the name of the split; `others` where there may be more, all with the same columns."""

    tables: Mapping[str, Columns]
    others: Columns | None = None


Data: TypeAlias = Columns | Splits


@dataclass(frozen=True, slots=True)
class Rows:
    """What a function returns for a row: keys that are always there, keys that may be.

    `more` where there may be others. `whole_row` where the row that was given comes back with them, `same_row` where
    it is that very row, changed:
    then removed columns are removed from it too.
    """

    certain: Mapping[str, ColumnKind | None] = field(default_factory=dict)
    maybe: frozenset[str] = frozenset()
    more: bool = False
    whole_row: bool = False
    same_row: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """The columns that `remove_columns` names: `names`, and all of the table `of` but `kept`.

    `same` tells that `of` is the very table that they are removed from; `unknown` that nothing can be told.
    """

    names: frozenset[str] = frozenset()
    of: Columns | None = None
    kept: frozenset[str] = frozenset()
    same: bool = False
    unknown: bool = False

    def takes(self, name: str) -> bool | None:
        """Whether the column `name` is removed; None where it cannot be told."""
        if self.unknown:
            return None
        if name in self.names:
            return True
        return False if self.of is None or name in self.kept else self.of.has(name)


def unknown(origin: Origin) -> Columns:
    """A table of which nothing is known."""
    return Columns(origins=frozenset({origin}))


def joined(tables: Iterable[Columns]) -> Columns:
    """A table that is one of several."""
    several = list(tables)
    first = several[0]
    if len(several) == 1:
        return first
    names = dict.fromkeys(name for table in several for name in (*table.present, *table.possible))
    present = {name: _kind(several, name) for name in names if all(table.has(name) is True for table in several)}
    absent = {name for table in several for name in table.absent}
    return Columns(
        present=present,
        possible=frozenset(names) - present.keys(),
        absent=frozenset(name for name in absent if all(table.has(name) is False for table in several)),
        origins=frozenset(origin for table in several for origin in table.origins),
        source=first.source if len({table.source for table in several}) == 1 else "",
    )


def concatenated(tables: Iterable[Columns]) -> Columns:
    """Tables one under the other: datasets 5.2 gives each the columns of all (`_align_features`)."""
    several = list(tables)
    names = dict.fromkeys(name for table in several for name in table.present)
    possible = frozenset(name for table in several for name in table.possible)
    absent = {name for table in several for name in table.absent}
    return Columns(
        present={name: _kind([t for t in several if name in t.present], name) for name in names},
        possible=possible - names.keys(),
        absent=frozenset(name for name in absent if all(table.has(name) is False for table in several)),
        origins=frozenset(origin for table in several for origin in table.origins),
        source=several[0].source if len({table.source for table in several}) == 1 else "",
    )


def _kind(tables: Collection[Columns], name: str) -> ColumnKind | None:
    kinds = {table.present.get(name) for table in tables}
    return kinds.pop() if len(kinds) == 1 else None


def renamed(table: Columns, names: Mapping[str, str]) -> Columns:
    """`rename_columns(names)`, which fails where an old name is missing or a new one is there already."""
    kinds = {old: table.present.get(old) for old in names}
    left = without(table, names)
    return replace(
        left,
        present={**left.present, **{new: kinds[old] for old, new in names.items()}},
        possible=left.possible - set(names.values()),
        absent=left.absent - set(names.values()),
    )


def without(table: Columns, names: Collection[str]) -> Columns:
    gone = frozenset(names)
    return replace(
        table,
        present={name: kind for name, kind in table.present.items() if name not in gone},
        possible=table.possible - gone,
        absent=table.absent | gone if table.origins else table.absent,
    )


def only(table: Columns, names: Iterable[str]) -> Columns:
    """`select_columns(names)`, which fails where one is missing."""
    return Columns({name: table.present.get(name) for name in names}, source=table.source)


def removed(table: Columns, removal: Removal) -> Columns:
    """`table` without what a removal names."""
    if removal.unknown:
        return replace(table, present={}, possible=table.possible | table.present.keys())
    left = without(table, removal.names)
    if removal.of is None:
        return left
    if removal.same:
        kept = removal.kept - removal.names
        return Columns(
            present={name: kind for name, kind in left.present.items() if name in kept},
            possible=frozenset(name for name in kept if left.has(name) is None),
            source=table.source,
        )
    return _without_all(left, removal.of, removal.kept)


def _without_all(table: Columns, of: Columns, kept: frozenset[str]) -> Columns:
    """`table` without the columns of another one that was made of it, or that it was made of."""
    gone = {name for name in of.present if name not in kept}
    maybe_gone = {name for name in table.present if name not in gone and name not in kept and of.has(name) is None}
    left = without(table, gone)
    left = replace(
        left,
        present={name: kind for name, kind in left.present.items() if name not in maybe_gone},
        possible=left.possible | maybe_gone,
    )
    if len(table.origins) == 1 and table.origins == of.origins:
        # Of the columns that nobody knows, those stay that `of` had lost before, and those that are kept.
        stay = {name for name in (*of.absent, *kept) if left.has(name) is None}
        left = replace(left, possible=left.possible | stay, absent=frozenset(), origins=frozenset())
    return left


def mapped(table: Columns, rows: Rows, removal: Removal, origin: Origin) -> Columns:
    """`map(function, remove_columns=…)` with a function that returns `rows` (datasets 5.2, `_map_single`)."""
    certain, maybe = rows.certain, rows.maybe
    left = table if rows.whole_row and not rows.same_row else removed(table, removal)
    if rows.same_row:  # what is removed is taken out of the row that comes back, too
        fates = {name: removal.takes(name) for name in (*certain, *maybe)}
        doubtful = frozenset(name for name in certain if fates[name] is None)
        certain = {name: kind for name, kind in certain.items() if fates[name] is False}
        maybe = frozenset(name for name in maybe if fates[name] is not True) | doubtful
    found = replace(
        left,
        present={**{n: None if n in maybe else k for n, k in left.present.items()}, **certain},
        possible=(left.possible | maybe) - certain.keys() - left.present.keys(),
        absent=left.absent - certain.keys() - maybe,
    )
    if rows.more:
        found = replace(
            found,
            present={name: kind if name in certain else None for name, kind in found.present.items()},
            absent=frozenset(),
            origins=found.origins | {origin},
        )
    return found
