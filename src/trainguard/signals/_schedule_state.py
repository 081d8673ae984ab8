"""What RUN019 knows of a run after each log of the learning rate, and the plain questions to it."""

from __future__ import annotations

import math

import msgspec

from trainguard.signals.base import State

# Logs of the learning rate that are kept, to find the one of the step that a run resumes from.
KEPT = 48
# Rates below this share of nothing: the smallest rate that anybody trains with is far above it.
ZERO = 1e-12
# Half of the last digit of a rate that was rounded to six decimals on its way: 0 may then stand for this.
ROUNDED = 5e-7
# Logs after a resume in which a wrong rate is put down to it.
AFTER_RESUME = 8
# Logs within the schedule after which what was said is over.
CALM = 5


class ScheduleState(State, frozen=True, kw_only=True):
    """`steps` and `rates` are the last logs; `ramp` is where the first rise ended, between two steps.

    `peak` is the largest rate of all logs, `peak_before` that of all but the last two.
    """

    logs: int = 0
    steps: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    first_step: int = 0
    peak: float = 0.0
    peak_before: float = 0.0
    rising: bool = True
    ramp: tuple[int, int] = (0, 0)
    settled: int = 0
    fell: bool = False
    zeros: int = 0
    flat: int = 0
    flat_from: int = 0
    outside: int = 0
    inside: int = 0
    inside_from: int = 0
    above: int = 0
    other_file: bool = False
    resumed_from: int | None = None
    rate_before: float | None = None
    rates_after: tuple[float, ...] = ()
    resumes: int = 0
    planned: int | None = None
    planned_error: float = 0.0
    said: bool = False


def judged(
    state: ScheduleState, step: int, rate: float, band: tuple[float, float] | None, margin: float
) -> ScheduleState:
    """Counts logs in a row inside and outside the band. A rate of 0 is never a sign that all is well."""
    if band is None:
        return msgspec.structs.replace(state, outside=0, inside=0) if state.outside or state.inside else state
    out = rate < band[0] - margin or rate > band[1] + margin
    inside = 0 if out or rate <= ZERO else state.inside + 1
    return msgspec.structs.replace(
        state,
        outside=state.outside + 1 if out else 0,
        inside=inside,
        inside_from=step if inside == 1 else state.inside_from,
    )


def calm_again(state: ScheduleState, step: int) -> bool:
    """Within the schedule for long: a wrong rate crosses the right one, too, where a cosine restarts."""
    return state.inside >= CALM and step - state.inside_from >= 0.2 * (state.planned or 0)


def looks_rounded(rates: tuple[float, ...]) -> bool:
    """Whether all rates are whole millionths: then they may have been rounded to six decimals."""
    return all(abs(rate * 1e6 - round(rate * 1e6)) < 1e-4 for rate in rates[-8:])


def count_or(value: float | None, otherwise: int | None) -> int | None:
    if value is None or not math.isfinite(value) or value < 0:
        return otherwise
    return int(value)
