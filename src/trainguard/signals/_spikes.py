"""What a spike is: how far above the level and the noise of a window values in a row have to be. For RUN003."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from trainguard.signals._robust import mad, median, noise, trend_z

# A spike: so many points in a row, each above the level by so many scales, so many standard deviations of the noise,
# and so many times the highest excursion of the window. The shorter, the higher.
# measured on seeded curves with normal, heavy-tailed, skewed and drifting noise of 1 to 60 % a point.
SPIKES = (
    (1, 2.0, 18.0, 3.0),
    (2, 0.8, 6.0, 2.0),
    (2, 0.4, 10.0, 2.0),
    (3, 0.5, 4.0, 1.3),
    (3, 0.3, 8.0, 1.5),
    (5, 0.35, 3.0, 1.0),
)
# The logarithms of losses of single texts are about normal: so many standard deviations, for so many values in a row,
# come by chance once in 30,000 points.
_LOG_DEVIATIONS, _LARGEST_EXPONENT = {1: 4.0, 2: 2.6, 3: 2.0, 5: 1.3}, 20.0
# A rise: this many points in a row so far above, and rising among themselves.
RISE = (5, 0.12, 6.0, 1.0)

# So high a learning rate is for optimizers that scale it (Prodigy's 1.0) and for soft prompts (0.3 in Lester et al.
# 2021). With one, two of the first losses far above the very first are no chance; with a usual one they may be.
_WILD_RATE = 0.01
# Below it the losses of single batches differ by their texts alone, by a factor of 3.
_SURE_LOSS = 0.2
LN_VOCABULARY = 8.0  # ln 3,000
_FIRST = 6  # first points that are looked at one by one


class Bar(NamedTuple):
    """What a value is held against: level, scale and noise of the window, and its highest excursion."""

    level: float
    scale: float
    spread: float
    excursion: float
    floor: float  # what a value has to be above in any case; minus infinity where there is none
    factor: float = 1.0  # the user's
    log_spread: float = 0.0  # the noise of the window's logarithms

    def is_above(self, value: float, length: int, scales: float, deviations: float, excursions: float) -> bool:
        """Whether one of `length` values in a row is above the level by so many scales, noises and excursions."""
        height = max(self.factor * max(scales * self.scale, deviations * self.spread), excursions * self.excursion)
        if self.log_spread:
            # Losses of small batches are skewed: a factor up is as usual as one down.
            usual = min(_LOG_DEVIATIONS[length] * self.log_spread, _LARGEST_EXPONENT)
            height = max(height, abs(self.level) * math.expm1(usual))
        return value - self.level > height and value > self.floor

    def may_become(self, value: float) -> bool:
        """Whether a value is high enough to be part of a long spike, or of a rise."""
        return self.is_above(value, *RISE) or self.is_above(value, *SPIKES[-1])

    def is_spike(self, raised: tuple[float, ...], *, least: int) -> bool:
        """Whether values in a row, at least `least` of them, are a spike."""
        return any(
            len(raised) >= spike[0] >= least and self.is_above(min(raised[-spike[0] :]), *spike) for spike in SPIKES
        )

    def is_rise(self, raised: tuple[float, ...]) -> bool:
        """Whether values in a row are above the level, and rise among themselves."""
        length = RISE[0]
        last = raised[-length:]
        return (
            len(last) == length
            and last[-1] - last[0] > 3 * self.spread
            and trend_z(last) > 1.5
            and self.is_above(min(last), *RISE)
        )


def spread_of(values: tuple[float, ...], level: float) -> float:
    """The noise: from point to point, or around the level where it wanders; at least 1 % of the level."""
    return max(noise(values), mad(values, level), 0.01 * abs(level))


def log_spread_of(values: tuple[float, ...]) -> float:
    """The noise of the logarithms from point to point, beside their trend; 0 where a value is not positive."""
    if not values or min(values) <= 0:
        return 0.0
    logs = [math.log(value) for value in values]
    return mad([b - a for a, b in pairwise(logs)]) / math.sqrt(2)


def level_of(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Level, noise and highest excursion above the level of a window; a fall within it counts for none of them."""
    half = len(values) // 2
    before, now = median(values[:half]), median(values[half:])
    slope = min((now - before) / (len(values) - half), 0.0)
    middle = half + (len(values) - half - 1) / 2
    flat = [value - slope * (i - middle) for i, value in enumerate(values)] if slope else values
    level = median(flat)
    return level, spread_of(tuple(flat), level), max(flat) - level


def climbs(
    start: tuple[float, ...], last: tuple[float, ...], blocks: tuple[float, ...], *, rate: float | None, floor: float
) -> float | None:
    """The level from which the first points of a run climb instead of falling; None where they do not.

    `start` are its first values (up to 6), `last` the newest 5, `blocks` medians of what came between, `rate` the
    learning rate, `floor` what a value has to be above in any case.
    """
    begun = start[0]
    early = len(start) < _FIRST or start[1:] == last
    if early and (rate or 0.0) >= _WILD_RATE and begun > 0 and sum(value > 1.6 * begun for value in start) >= 2:
        return begun
    if len(start) < _FIRST:
        return None
    # At once: the second point is above the first, and so on, far above.
    if early and begun > 0:
        least = 1.4 if begun > LN_VOCABULARY else 1.7
        # A ramp: one low first value before a flat loss is an odd batch, and so it may be where all vary much.
        ramp = begun > _SURE_LOSS and 1.15 < start[1] / begun < 3 and start[2] > 1.05 * start[1]
        if ramp and noise(start[2:]) < 0.2 * median(start[2:]) and min(start[2:]) > least * begun and min(last) > floor:
            return begun
    middle = median(start[:3])
    top, low = max(start[:3]), min(middle, *blocks) if blocks else middle
    four = min(last[-4:])
    sure = four > 2.0 * max(top, low) or (
        min(last) > 1.4 * max(top, low) and min(last) > top + 3 * spread_of(start[:3], middle)
    )
    if not sure or low <= 0 or four < floor:
        return None
    # On its way down again: the bump of a warm-up.
    return None if median(last[-3:]) < 0.9 * max(last) else low
