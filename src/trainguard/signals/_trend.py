"""What the detectors of slow faults share: how far a run is, whether it is past its warm-up, a curve kept short.

Pure Python, finite in and finite out, as `_robust`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from trainguard.signals._robust import bounded, halved
from trainguard.signals.samples import Run, Sample

# A step above this is no step: JSON and float arithmetic stay exact below 2^53.
LARGEST_STEP = 2**53
# "At its height": the learning rate is at least this share of its peak on the way up, and on the way down it still
# moves the weights at this one. Half of a linear warm-up, and where cosine has 80 % of its steps behind it.
RISEN, FADED = 0.5, 0.1
# Methods whose rates are so low (1e-6 and less in the papers on DPO) that half of it moves nothing that would be seen.
_GENTLE = frozenset({"dpo", "kto"})
# Where neither a learning rate nor a warm-up is known: the warm-up taken for granted, as a share of the planned steps
# and in points. 0.1 is the most that TRL's own example scripts use (trl 1.16, docs: `warmup_steps=0.1`).
ASSUMED_WARMUP_SHARE, ASSUMED_WARMUP_POINTS = 0.1, 10


def step_of(sample: Sample) -> int | None:
    """The global step of a sample where it is one: not negative, not beyond 2^53."""
    step = sample.step
    return step if step is not None and 0 <= step < LARGEST_STEP else None


def share_done(run: Run, sample: Sample) -> float | None:
    """How much of the planned run is done, 0 to 1; None where the run does not say or the sample does not."""
    planned, step = run.count("max_steps"), step_of(sample)
    if planned is not None and step is not None:
        return min(1.0, step / planned)
    epochs, epoch = run.number("num_train_epochs"), sample.finite("epoch")
    if epochs is not None and epochs > 0 and epoch is not None and epoch >= 0:
        return min(1.0, epoch / epochs)
    return None


def declared_warmup(run: Run) -> float | None:
    """The declared warm-up in steps; None where none is declared, or as a share of steps that are not known.

    `warmup_steps` below 1 is a share of the planned steps (transformers 5.23, training_args.py).
    """
    steps = run.number("warmup_steps")
    planned = run.count("max_steps")
    if steps is None or steps <= 0:
        steps = run.number("warmup_ratio")
        if steps is None or not 0 < steps < 1:
            return 0.0 if run.number("warmup_steps") == 0 else None
    if steps < 1:
        return steps * planned if planned is not None else None
    return steps


class Height(msgspec.Struct, frozen=True, kw_only=True):
    """The learning rate so far: its peak, and how many metrics were seen."""

    peak: float = 0.0
    points: int = 0


def at_height(height: Height, run: Run, sample: Sample) -> tuple[Height, bool]:
    """Whether a metrics sample was trained with a learning rate that moves the weights, past the warm-up.

    By the logged rate where there is one, else by the declared warm-up, else after a tenth of the run or ten points.
    """
    rate, step = sample.finite("learning_rate"), step_of(sample)
    points = height.points + 1
    warmup = declared_warmup(run)
    in_warmup = warmup is not None and step is not None and step < warmup * (1 if run.method in _GENTLE else RISEN)
    if rate is not None and rate >= 0:
        peak = max(height.peak, bounded(rate))
        target = run.number("learning_rate")
        if in_warmup or rate <= 0:
            high = False
        elif target is not None and target > 0:
            high = rate >= RISEN * target or (height.peak >= RISEN * target and rate >= FADED * target)
        else:
            high = points > 1 and rate <= height.peak * 1.000001 and rate >= FADED * peak
        return Height(peak=peak, points=points), high
    height = Height(peak=height.peak, points=points)
    if warmup is not None and step is not None:
        return height, not in_warmup
    planned = run.count("max_steps")
    if planned is not None and step is not None:
        return height, step >= ASSUMED_WARMUP_SHARE * planned
    return height, points > ASSUMED_WARMUP_POINTS


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """A whole curve in a bounded number of values, each the mean of `per` points in a row. `count`: points in all."""

    values: tuple[float, ...] = ()
    per: int = 1
    rest: tuple[float, ...] = ()
    count: int = 0


def followed(course: Course, value: float, size: int = 48) -> Course:
    """The course with one point more; beyond `size` values, neighbours are joined."""
    rest = (*course.rest, bounded(value))
    if len(rest) < course.per:
        return Course(values=course.values, per=course.per, rest=rest, count=course.count + 1)
    values, per = (*course.values, math.fsum(rest) / len(rest)), course.per
    if len(values) > size and len(values) % 2 == 0:
        values, per = halved(values, size), per * 2
    return Course(values=values, per=per, rest=(), count=course.count + 1)


def same_step(last: int | None, sample: Sample) -> bool:
    """Whether this is the step that was seen last, logged once more (the Trainer does at the end of a run)."""
    return last is not None and step_of(sample) == last


def shown(value: float) -> str:
    """A number for a message: four digits that matter."""
    return f"{value:.4g}"


def plain(value: float) -> float:
    """A number for the evidence: six digits that matter, finite."""
    return float(f"{bounded(value):.6g}")


def texts(value: Any, most: int = 64, longest: int = 4000) -> tuple[str, ...]:
    """The strings in a list, at most `most`, each cut to `longest` characters; nothing where it is no list.

    An output as a chat (`[{"role": ..., "content": ...}]`) counts with the content of its last message.
    """
    if not isinstance(value, list | tuple):
        return ()
    found = []
    for each in value[:most]:
        last = each[-1] if isinstance(each, list | tuple) and each else each
        text = last.get("content") if isinstance(last, dict) else last
        if isinstance(text, str):
            found.append(text[:longest])
    return tuple(found)
