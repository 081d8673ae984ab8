"""Sequences of logs, and how two of them are compared: what tells whether batches come again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

# What stands for a value that is not there: no loss and no count of tokens is this.
NONE = -1e99


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One log: loss, gradient norm, the tokens since the log before, epoch; `NONE` where a value is not there."""

    step: int
    gap: int
    loss: float = NONE
    norm: float = NONE
    tokens: float = NONE
    epoch: float = NONE


def close(a: float, b: float, share: float) -> bool:
    return a == b or abs(a - b) <= share * max(abs(a), abs(b))


def telling(values: Sequence[float], name: str) -> bool:
    """Whether equal values tell batches apart: packing gives each the same tokens, a stuck loss each the same loss."""
    if len(set(values)) < 3:
        return False
    if name == "tokens":
        # a count of few tokens is shared by many batches
        return len(set(values)) >= 3 and (min(values) >= 100 or len(values) >= 6)
    digits = max(abs(each) for each in values)
    return digits >= 0.05 or len(values) >= 6


def bends(values: Sequence[float]) -> list[float]:
    """How far each value lies from the middle of its neighbours: the batch without the trend."""
    return [values[i] - (values[i - 1] + values[i + 1]) / 2 for i in range(1, len(values) - 1)]


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 where there are no ranks."""
    n = len(a)
    if n < 4 or n != len(b) or len(set(a)) < n or len(set(b)) < n:
        return 0.0
    place_a = {value: rank for rank, value in enumerate(sorted(a))}
    place_b = {value: rank for rank, value in enumerate(sorted(b))}
    total = sum((place_a[x] - place_b[y]) ** 2 for x, y in zip(a, b, strict=True))
    return 1 - 6 * total / (n * (n * n - 1))
