"""Steps of a training file that are left out: which examples those are, and how everything after them moves up.

A step takes one effective batch of the order of its epoch. To leave a step out is to leave these examples out, so that
the run is that of all steps without some of them, in the same order. Windows count the steps that are left after the
windows before them. The steps without any window are the *original* ones; they go on without end, epoch after epoch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trainguard.errors import UsageError

Window: TypeAlias = tuple[int, int]

_WINDOW = re.compile(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?", re.ASCII)


def parse_window(text: str) -> Window:
    """The window `A-B` or `A`: steps of this file, from 1 on, both included. Raises UsageError."""
    found = _WINDOW.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found is not None else (0, 0)
    if first < 1 or last < first:
        raise UsageError(f"--skip-steps {text!r}: is no window of steps; write the first and the last one, such as 5-8")
    return first, last


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The original steps that are left out, as ranges that neither touch nor overlap, in order."""

    ranges: tuple[Window, ...] = ()

    @classmethod
    def of(cls, windows: Sequence[Window]) -> LeftOut:
        """From windows in the order in which they were asked for."""
        found = cls()
        for first, last in windows:
            found = cls(_merged([*found.ranges, (found.original(first), found.original(last))]))
        return found

    def original(self, step: int) -> int:
        """The original number of a step that is made; both count from 1."""
        for first, last in self.ranges:
            if step < first:
                break
            step += last - first + 1
        return step

    def made(self, original: int) -> int:
        """How many of the first `original` steps are made."""
        gone = sum(min(last, original) - first + 1 for first, last in self.ranges if first <= original)
        return original - gone

    def within(self, first: int, last: int) -> tuple[Window, ...]:
        """What is left out of the original steps from `first` to `last`."""
        parts = ((max(first, begin), min(last, end)) for begin, end in self.ranges)
        return tuple((begin, end) for begin, end in parts if begin <= end)


def _merged(ranges: Sequence[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return tuple(merged)


OnLeftOut: TypeAlias = Callable[[int, Sequence[int]], None]


class Batches:
    """The micro-batches of all processes in one epoch, without those of the steps that are left out.

    Stands in the place of a torch BatchSampler, whose order it keeps. `group` is the number of micro-batches behind a
    step, over all processes; `gone` are steps of this epoch, counted from 0; `limit` cuts the epoch after so many
    micro-batches. `on_left_out(index of the micro-batch, rows)` is called for each that is left out.
    """

    def __init__(
        self,
        inner: Any,
        *,
        group: int,
        gone: Sequence[Window] = (),
        limit: int | None = None,
        on_left_out: OnLeftOut | None = None,
    ) -> None:
        self.batch_sampler = inner
        self._group, self._gone, self._limit = group, tuple(gone), limit
        self._on_left_out = on_left_out

    def __iter__(self) -> Iterator[Any]:
        for index, batch in enumerate(self.batch_sampler):
            if self._limit is not None and index >= self._limit:
                continue  # to the end: a sampler counts its epochs where it is exhausted
            step = index // self._group
            if not any(first <= step <= last for first, last in self._gone):
                yield batch
            elif self._on_left_out is not None:
                self._on_left_out(index, batch)

    def __len__(self) -> int:
        total = self.whole
        return total - sum(
            max(min((last + 1) * self._group, total) - first * self._group, 0) for first, last in self._gone
        )

    @property
    def whole(self) -> int:
        """Micro-batches of the epoch with those that are left out."""
        total = len(self.batch_sampler)
        return total if self._limit is None else min(total, self._limit)

    # What accelerate 1.15 asks of a batch sampler (data_loader.py, `BatchSamplerShard.__init__`).

    @property
    def batch_size(self) -> Any:
        return self.batch_sampler.batch_size

    @property
    def drop_last(self) -> Any:
        return self.batch_sampler.drop_last

    @property
    def sampler(self) -> Any:
        """What decides on the order, beneath everything that only cuts it."""
        return order_of(self.batch_sampler)


def order_of(sampler: Any) -> Any:
    """The sampler beneath batch samplers that are put into each other; None where there is none."""
    while (inner := getattr(sampler, "batch_sampler", None)) is not None:
        sampler = inner
    return getattr(sampler, "sampler", None)
