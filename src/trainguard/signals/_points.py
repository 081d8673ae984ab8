"""Reading records as the points of a curve: which step, which precision, whose metric."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from trainguard.signals.samples import Run, Sample

# A step beyond is no step, and JSON readers in other languages hold no larger whole number (IEEE 754 double).
_LARGEST_STEP = 2**53

# Points are said to be of one step if these are equal; a log file may hold the same line twice.
NEVER: Final = -1


def at_step(known: int | None, sample: Sample) -> int | None:
    """The step of a sample, else the last one known."""
    step = sample.step
    return step if step is not None and 0 <= step <= _LARGEST_STEP else known


def repeated(counted: int, sample: Sample) -> bool:
    """Whether the sample is of the step that was counted last (`NEVER`: none was). False without a step."""
    return sample.step is not None and sample.step == counted


def counted_step(sample: Sample) -> int:
    """What `repeated` compares the next sample with."""
    step = at_step(None, sample)
    return NEVER if step is None else step


def scales_loss(run: Run) -> bool | None:
    """Whether a loss scaler skips steps with non-finite gradients (fp16); None where the run does not say.

    A skipped step is healthy: torch.amp.GradScaler (torch 2.13, amp/grad_scaler.py) starts at 2**16, halves at each
    skip and doubles after 2,000 steps without one. bf16 and float32 have none: there, NaN gradients reach the weights.
    """
    fp16, bf16 = run.flag("fp16"), run.flag("bf16")
    if fp16:
        return True
    return False if bf16 or fp16 is False else None


def eval_losses(sample: Sample) -> Iterator[tuple[str, float]]:
    """`eval_loss`, and `eval_<name>_loss` of several evaluation sets; NaN and infinities too."""
    if sample.kind in {"evaluation", "metrics"}:
        for key, value in sample.values.items():
            if key.startswith("eval_") and key.endswith("_loss"):
                yield key, value


def number(value: float) -> str:
    """A number for a message: at most 4 digits that count."""
    if math.isnan(value):
        return "NaN"
    return f"{value:.4g}" if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def where(step: int | None) -> str:
    """`at step 120`, or nothing where no step is known: with a blank before it."""
    return "" if step is None else f" at step {step}"
