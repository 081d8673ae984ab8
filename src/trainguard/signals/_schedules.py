"""The learning rate that a run has declared, step by step, for the schedules of transformers.

The factors are those of transformers 5.23, `optimization.py` (`_get_*_lr_lambda`), linear warm-up included. What a run
has not said is kept open: a value is given as the range in which it must lie.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainguard.signals.samples import Run

# SchedulerType in transformers 5.23, `trainer_utils.py`. What follows metrics (reduce_lr_on_plateau, greedy) has no
# value that could be known beforehand.
UNTOLD = frozenset({"reduce_lr_on_plateau", "greedy"})
CONSTANT = frozenset({"constant", "constant_with_warmup"})
# These end at the last planned step, so that their value depends on how many steps are planned.
PLANNED = frozenset(
    {
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "cosine_with_min_lr",
        "cosine_warmup_with_min_lr",
        "warmup_stable_decay",
    }
)
KNOWN = PLANNED | CONSTANT | {"inverse_sqrt"}
# `get_inverse_sqrt_schedule` takes this time scale where there is no warm-up.
INVERSE_SQRT_SCALE = 10_000
# `get_polynomial_decay_schedule_with_warmup`: the default of lr_end.
POLYNOMIAL_END = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A declared schedule. `kind` is an lr_scheduler_type, `peak` the declared learning rate.

    `warmup` is in steps, None where the run does not say; below 1 it is a share of the planned steps, as in
    transformers 5.23 (`TrainingArguments.get_warmup_steps`).
    """

    kind: str
    peak: float | None
    warmup: float | None
    options: Mapping[str, float]

    def warmup_steps(self, planned: int | None) -> int | None:
        """Warm-up in steps; None where it is not declared, or as a share of a number that nobody knows."""
        if self.kind == "constant":
            return 0  # get_scheduler gives it no warm-up, whatever the arguments say
        if self.warmup is None or self.warmup >= 1:
            return None if self.warmup is None else int(self.warmup)
        if self.warmup <= 0:
            return 0
        return math.ceil(self.warmup * planned) if planned is not None else None

    def factors(self, step: int, *, planned: int | None, warmup: int, peak: float) -> tuple[float, float] | None:
        """Least and largest share of `peak` that the learning rate may have after `step` updates; None: unknown."""
        if self.kind not in KNOWN or (self.kind in PLANNED and planned is None):
            return None
        if step < warmup:
            ramp = step / max(1, warmup)
            # cosine_warmup_with_min_lr starts at 1/warmup, or at warmup_lr_rate; warmup_stable_decay at its minimum.
            if self.kind == "cosine_warmup_with_min_lr":
                return min(ramp, (step + 1) / max(1, warmup)), 1.0
            return (ramp, max(ramp, 1.0)) if self.kind == "warmup_stable_decay" else (ramp, ramp)
        if self.kind in CONSTANT:
            return 1.0, 1.0
        if self.kind == "inverse_sqrt":
            scale = self.options.get("timescale") or warmup or INVERSE_SQRT_SCALE
            value = 1 / math.sqrt(max(1.0, (step + scale - warmup) / scale))
            return value, value
        return self._planned(step, planned or 0, warmup, peak)

    def _planned(self, step: int, planned: int, warmup: int, peak: float) -> tuple[float, float] | None:
        progress = min(1.0, (step - warmup) / max(1, planned - warmup))
        if self.kind == "linear":
            value = 1 - progress
        elif self.kind == "polynomial":
            end = min(1.0, self.options.get("lr_end", POLYNOMIAL_END) / peak) if peak > 0 else 0.0
            value = (1 - end) * (1 - progress) ** self.options.get("power", 1.0) + end
        elif self.kind == "cosine_with_restarts":
            cycles = self.options.get("num_cycles", 1.0)
            value = 0.0 if progress >= 1 else (1 + math.cos(math.pi * ((cycles * progress) % 1.0))) / 2
        elif self.kind == "warmup_stable_decay":
            return self._stable(step, planned, warmup)
        else:
            value = (1 + math.cos(math.pi * self.options.get("num_cycles", 0.5) * 2 * progress)) / 2
            if self.kind != "cosine":
                least = self._least(peak)
                if least is None:
                    return value, 1.0
                value = value * (1 - least) + least
        value = max(0.0, value)
        return value, value

    def _stable(self, step: int, planned: int, warmup: int) -> tuple[float, float] | None:
        """warmup_stable_decay: the shape of its decay (cosine, linear, 1-sqrt) and its end may not be declared."""
        decay = self.options.get("num_decay_steps")
        if decay is None:
            return None
        stable = self.options.get("num_stable_steps", planned - warmup - decay)
        into = step - warmup - stable
        if into < 0:
            return 1.0, 1.0
        least = self.options.get("min_lr_ratio", 0.0)
        progress = min(1.0, into / max(1.0, decay))
        shapes = (1 - progress, (1 + math.cos(math.pi * progress)) / 2, 1 - math.sqrt(progress))
        return min(shapes) * (1 - least) + least, max(shapes) * (1 - least) + least

    def _least(self, peak: float) -> float | None:
        """The floor of cosine_with_min_lr as a share of the peak."""
        rate = self.options.get("min_lr_rate")
        if rate is None and peak > 0:
            end = self.options.get("min_lr", self.options.get("lr_end"))
            rate = end / peak if end is not None else None
        return min(1.0, max(0.0, rate)) if rate is not None else None

    def band(
        self, step: int, *, planned: int | None, warmup: tuple[int, int], peak: float, slack: int
    ) -> tuple[float, float] | None:
        """Least and largest learning rate that a log at `step` may show; None where the schedule does not tell.

        The Trainer of 5.23 logs at global step N the rate of that update, which is the schedule at N - 1 (`trainer.py`:
        "get leaning rate before update"); older releases log the schedule at N. `slack` steps more on both sides make
        room for updates that fp16 skipped. `warmup` is the shortest and the longest that it can be.
        """
        first, last = max(0, step - 1 - slack), step + slack
        places = {first, last, *(first + (last - first) * part // 6 for part in range(1, 6))}
        low, high = math.inf, -math.inf
        for shortest_or_longest in set(warmup):
            turns = {place for place in (shortest_or_longest,) if first <= place <= last}
            for place in places | turns | self._jumps(first, last, planned, shortest_or_longest):
                pair = self.factors(place, planned=planned, warmup=shortest_or_longest, peak=peak)
                if pair is None:
                    return None
                low, high = min(low, pair[0]), max(high, pair[1])
        return low * peak, high * peak

    def _jumps(self, first: int, last: int, planned: int | None, warmup: int) -> set[int]:
        """The steps around the restarts between `first` and `last`: extremes that evenly spread places miss."""
        if self.kind != "cosine_with_restarts" or planned is None or planned <= warmup:
            return set()
        cycle = (planned - warmup) / max(1.0, self.options.get("num_cycles", 1.0))
        number = math.ceil((first - warmup) / cycle) if cycle > 0 else 0
        place = warmup + math.ceil(number * cycle)
        return {place, max(first, place - 1)} if cycle >= 1 and first <= place <= last else set()


def declared_schedule(run: Run) -> Schedule | None:
    """The schedule that a run has declared; None where it names none, or one that follows the metrics."""
    kind = run.text("lr_scheduler_type")
    kind = kind.lower() if kind is not None else None
    if kind not in KNOWN:
        return None
    options: dict[str, float] = {}
    given: Any = run.declared.get("lr_scheduler_kwargs")
    for source in (given if isinstance(given, Mapping) else {}, run.declared):
        for key in _OPTIONS:
            value = source.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
                options[key] = float(value)
    peak = run.number("learning_rate")
    return Schedule(
        kind=kind,
        peak=peak if peak is not None and peak > 0 else None,
        warmup=_warmup(run),
        options=options,
    )


def _warmup(run: Run) -> float | None:
    """Declared warm-up, in steps or (below 1) as a share; `warmup_ratio` counts where steps are 0 or not said."""
    steps, ratio = run.number("warmup_steps"), run.number("warmup_ratio")
    if ratio is not None and 0 < ratio < 1 and not steps:
        return ratio
    return max(0.0, steps) if steps is not None else None


_OPTIONS = (
    "num_cycles",
    "lr_end",
    "power",
    "timescale",
    "num_decay_steps",
    "num_stable_steps",
    "min_lr",
    "min_lr_rate",
    "min_lr_ratio",
)


def planned_steps(run: Run, *, step: int | None = None, epoch: float | None = None) -> int | None:
    """How many steps the run plans: max_steps, else from the epochs that it has declared and where it stands now.

    None where neither tells. `epoch` is the Trainer's share of passes over the data after `step` steps.
    """
    steps = run.count("max_steps")
    if steps is not None:
        return steps
    epochs = run.number("num_train_epochs")
    if epochs is None or epochs <= 0 or not step or not epoch or step <= 0 or epoch <= 0:
        return None
    return max(1, round(min(1e12, step * epochs / epoch)))
