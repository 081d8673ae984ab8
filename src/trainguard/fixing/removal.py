"""Takes elements out of a list of arguments, of entries or of imported names, and the commas that go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainguard.fixing.changes import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """Where an element starts and ends, and the offset after its comma, None without one."""

    start: int
    end: int
    comma: int | None

    @property
    def whole(self) -> int:
        return self.end if self.comma is None else self.comma


def without(text: str, elements: Sequence[Element], gone: set[int], *, bracketed: bool) -> Iterator[Region]:
    """The regions to delete so that the elements of these numbers are gone. They may overlap.

    An element with lines of its own goes with them and with the comment behind it; comments on lines of
    their own stay. `bracketed` says whether the list may end with a comma.
    """
    kept_last = max((i for i in range(len(elements)) if i not in gone), default=None)
    for index in sorted(gone):
        element = elements[index]
        is_tail = kept_last is None or index > kept_last
        if (bracketed or not is_tail) and (lines := _own_lines(text, element)) is not None:
            yield lines
        elif is_tail:
            before = elements[kept_last].end if kept_last is not None else None
            joined = before is not None and "#" not in text[before : elements[_next_of(kept_last)].start]
            yield Region(start=before if joined and before is not None else element.start, end=element.whole)
        else:
            following = elements[index + 1].start
            blank = not text[element.whole : following].strip(" \t\n\\")
            yield Region(start=element.start, end=following if blank else element.whole)


def _next_of(index: int | None) -> int:
    return 0 if index is None else index + 1


def _own_lines(text: str, element: Element) -> Region | None:
    """The lines of an element that shares them with nothing but a comment behind it."""
    start = text.rfind("\n", 0, element.start) + 1
    end = text.find("\n", element.whole)
    rest = text[element.whole : end].strip() if end >= 0 else "?"
    if text[start : element.start].strip() or (rest and not rest.startswith("#")):
        return None
    return Region(start=start, end=end + 1)
