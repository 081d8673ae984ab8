"""Statistics that a few wild points do not move: for noisy, heavy-tailed curves of a run.

Pure Python, finite in and finite out. Windows are short tuples (tens of points), so O(n log n) and O(n^2) cost
microseconds. Put a value through `bounded` before it goes into a window: then no sum, square or difference of it
overflows, and the state of a signal stays writable as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

# The MAD of a normal distribution times this is its standard deviation: 1 / Phi^-1(3/4) (Rousseeuw and Croux 1993,
# "Alternatives to the Median Absolute Deviation", JASA 88).
NORMAL_MAD = 1.4826
# Beyond this no metric means anything; its square is still a float.
LARGEST = 1e100


def bounded(value: float) -> float:
    """A number cut to +-1e100. NaN becomes 0: ask for it before."""
    if value != value:
        return 0.0
    return min(LARGEST, max(-LARGEST, value))


def push(window: tuple[float, ...], value: float, size: int) -> tuple[float, ...]:
    """The window with `value` (bounded) at its end, and the oldest beyond `size` (>= 1) let go."""
    kept = window if len(window) < size else window[len(window) - size + 1 :]
    return (*kept, bounded(value))


def median(values: Sequence[float]) -> float:
    """The median; 0 of no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, interpolated; 0 of no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = min(1.0, max(0.0, share)) * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mad(values: Sequence[float], center: float | None = None) -> float:
    """The median absolute deviation, scaled to be the standard deviation of normal noise; 0 of no values."""
    if not values:
        return 0.0
    middle = median(values) if center is None else center
    return NORMAL_MAD * median([abs(value - middle) for value in values])


def noise(values: Sequence[float]) -> float:
    """The noise from one point to the next as a standard deviation: a trend does not count. 0 of fewer than 3 values.

    Differences of neighbours hold the noise twice, so their MAD is divided by sqrt 2 (von Neumann 1941).
    """
    if len(values) < 3:
        return 0.0
    return NORMAL_MAD * median([abs(b - a) for a, b in pairwise(values)]) / math.sqrt(2)


def robust_z(value: float, values: Sequence[float], *, floor: float = 0.0) -> float:
    """By how many standard deviations `value` lies above the median of `values`, their MAD taken as at least `floor`.

    0 where there is no spread and no floor.
    """
    middle = median(values)
    spread = max(mad(values, middle), floor)
    return bounded((value - middle) / spread) if spread > 0 else 0.0


def theil_sen(ys: Sequence[float], xs: Sequence[float] | None = None) -> tuple[float, float]:
    """The slope and the intercept of a robust line: the median of the slopes of all pairs (Sen 1968, JASA 63).

    `xs` are 0, 1, 2, ... where not given. O(n^2): 60 points cost about a millisecond, so ask seldom. (0, median) of
    fewer than 2 points.
    """
    places = list(range(len(ys))) if xs is None else list(xs)
    slopes = [
        bounded((ys[j] - ys[i]) / (places[j] - places[i]))
        for i in range(len(ys))
        for j in range(i + 1, len(ys))
        if places[j] != places[i]
    ]
    slope = median(slopes)
    return slope, median([bounded(y - slope * x) for x, y in zip(places, ys, strict=False)])


def trend_z(values: Sequence[float]) -> float:
    """How surely the values rise (> 0) or fall (< 0), in standard deviations: the test of Mann (1945) and Kendall.

    By signs of differences only, so no scale and no outlier matters. Noise that hangs together from point to point
    makes it too sure. 0 of fewer than 4 values. O(n^2).
    """
    n = len(values)
    if n < 4:
        return 0.0
    score = 0
    for i in range(n - 1):
        here = values[i]
        score += sum((later > here) - (later < here) for later in values[i + 1 :])
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return (score - (score > 0) + (score < 0)) / spread


def linear_fit(ys: Sequence[float], xs: Sequence[float] | None = None) -> tuple[float, float, float]:
    """Slope, intercept and R^2 of the least-squares line; R^2 is 0 where the values do not vary."""
    n = len(ys)
    places = [float(x) for x in (range(n) if xs is None else xs)]
    if n < 2:
        return 0.0, ys[0] if ys else 0.0, 0.0
    mean_x, mean_y = sum(places) / n, sum(ys) / n
    square_x = sum((x - mean_x) ** 2 for x in places)
    square_y = sum((y - mean_y) ** 2 for y in ys)
    if square_x <= 0 or square_y <= 0:
        return 0.0, mean_y, 0.0
    product = sum((x - mean_x) * (y - mean_y) for x, y in zip(places, ys, strict=False))
    slope = product / square_x
    return slope, mean_y - slope * mean_x, min(1.0, product / square_x * (product / square_y))


def change_point(values: Sequence[float], *, least: int = 3) -> tuple[int, float]:
    """Where the level most likely changes, and how surely: index of the first value after it, and a signed z.

    The cut with the largest Mann-Whitney z (Pettitt 1979, Applied Statistics 28), with at least `least` values on
    both sides; z > 0: higher after it. By ranks, so no outlier matters. (0, 0) of fewer than 2 * `least` values.
    As the best of many cuts, |z| of 3 comes by chance in about one of 20 windows of 40 points of plain noise.
    """
    n = len(values)
    if n < 2 * least or least < 1:
        return 0, 0.0
    ranks = _ranks(values)
    best, best_z, below = 0, 0.0, 0.0
    for cut in range(1, n - least + 1):
        below += ranks[cut - 1]
        if cut < least:
            continue
        spread = math.sqrt(cut * (n - cut) * (n + 1) / 12)
        z = (cut * (n + 1) / 2 - below) / spread
        if abs(z) > abs(best_z):
            best, best_z = cut, z
    return best, best_z


def _ranks(values: Sequence[float]) -> list[float]:
    """The ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in range(start, end + 1):
            ranks[order[place]] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def halved(window: tuple[float, ...], size: int) -> tuple[float, ...]:
    """A history that keeps the whole run at a resolution that falls: beyond `size` values, medians of pairs.

    A pair's median is its mean; the last odd value stays. The caller keeps how many points a value then stands for.
    """
    if len(window) <= size:
        return window
    pairs = tuple((window[i] + window[i + 1]) / 2 for i in range(0, len(window) - 1, 2))
    return pairs if len(window) % 2 == 0 else (*pairs, window[-1])
