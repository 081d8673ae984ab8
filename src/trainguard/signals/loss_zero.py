"""RUN018: the loss is 0 although the model cannot be perfect."""

from __future__ import annotations

import math

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._points import NEVER, at_step, counted_step, number, repeated, where
from trainguard.signals._robust import bounded, median, push
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

# Losses from which the level before the zeros is taken, and with which a later episode is another one.
_WINDOW = 5
_CLEAN = 5
# transformers before 5.0 rounded the logged loss to 4 decimals (`round(tr_loss_scalar / ..., 4)`), so a memorised
# set's 0.00004 was logged as 0.0: a loss that comes from below this was on its way there.
_MEMORISED = 0.002
_NEARLY = 1e-6  # below float32's resolution of the logits that give it: exp(-15) is 3e-7
# A norm is pinned if it repeats, or is the clip value, to this relative precision (float32 holds 6e-8).
_SAME = 1e-4
# A norm below this share of the clip value is small, as it should be near a loss of 0.
_SMALL = 0.1
# rewards/accuracies and rewards/margins from which a preference loss may well be 0: -log sigmoid(6) is 0.0025.
_SOLVED_ACCURACY = 0.99
_SOLVED_MARGIN = 6.0


class LossZeroState(State, frozen=True, kw_only=True):
    step: int | None = None
    counted: int = NEVER
    first: float | None = None  # the level of the first losses, to which "near 0" is relative
    recent: tuple[float, ...] = ()  # the last losses that are not 0
    zeros: int = 0
    pinned: int = 0
    norm: float | None = None
    clean: int = 0
    said: bool = False


class LossZero(Signal[LossZeroState]):
    """The loss is 0, or falls to 0 while the gradient norm is pinned.

    *What it sees*
    A loss of exactly 0.0 (or below 1e-6) over several logged points, which it reached from a usual level in one jump,
    or from the first point on; and a loss near 0 while `grad_norm` repeats the same value, or `max_grad_norm`, to the
    digit: near a loss of 0 gradients are small, so the two do not go together.

    *Why it costs you*
    Nothing is learnt any more, and the curve looks like a success. Common causes are NaN that something replaced by 0,
    labels that are all masked or empty, targets that the model is shown as its input, and broken mixed precision.

    *What it is not*
    With NaN in `grad_norm` it is RUN001, the Trainer's filter. GRPO's loss is 0 by construction and is not looked at.
    A tiny set learnt by heart, whose loss goes smoothly through 0.01 and 0.001, is no fault of the run. A preference
    loss that is 0 with accuracies of 1 and large margins is solved, not broken.

    *What to do*
    Decode one batch's labels: are there targets at all, and are they the right ones? Run one step in float32 with
    `logging_nan_inf_filter=False`. Weights from before the zeros are good, later ones are not to be trusted.
    """

    code = "RUN018"
    name = "loss-zero"
    severity = "warn"
    methods = frozenset({"sft", "dpo", "kto", "reward", "pretrain"})
    state_type = LossZeroState
    thresholds = (
        Threshold(
            key="points",
            default=3,
            unit="logged points in a row",
            about="a loss of 0 that was reached in one jump, or a pinned gradient norm near 0",
            source="a single 0 may be one batch without any label; no measurement gave several in a row",
        ),
        Threshold(
            key="points_from_below",
            default=15,
            unit="logged points in a row",
            about="a loss of 0 that was reached smoothly, from below 0.002",
            source="transformers before 5.0 logs the loss rounded to 4 decimals: a set learnt by heart ends at 0.0",
        ),
        Threshold(
            key="near_zero",
            default=0.02,
            unit="share of the first losses' level",
            about="how small a loss counts as near 0 beside a pinned gradient norm",
            source="measured: a tiny Llama that learns 8 texts by heart; below 2 % of its first loss its norm changes "
            "by 17 % a point in the median, never by less than 0.03 %",
        ),
    )

    def step(self, state: LossZeroState, sample: Sample) -> tuple[LossZeroState, tuple[Finding, ...]]:
        step = at_step(state.step, sample)
        if sample.kind in {"start", "resume"}:
            return LossZeroState(step=step, first=state.first), ()
        loss, norm = sample.finite("loss"), sample.value("grad_norm")
        if sample.kind != "metrics" or loss is None or repeated(state.counted, sample):
            return replace(state, step=step), ()
        if norm is not None and not math.isfinite(norm):  # RUN001's
            return replace(state, step=step, counted=counted_step(sample), zeros=0, pinned=0, norm=None), ()
        zero = abs(loss) < _NEARLY
        pinned = self._is_pinned(state, loss, norm)
        state = replace(
            state,
            step=step,
            counted=counted_step(sample),
            first=median((*state.recent, loss))
            if state.first is None and len(state.recent) + 1 >= _WINDOW
            else state.first,
            recent=state.recent if zero else push(state.recent, loss, _WINDOW),
            zeros=state.zeros + 1 if zero else 0,
            pinned=state.pinned + 1 if pinned else 0,
            norm=None if norm is None else bounded(norm),
            clean=0 if zero or pinned else min(state.clean + 1, _CLEAN),
        )
        if state.clean >= _CLEAN:
            return replace(state, said=False), ()
        if state.said or not (zero or pinned) or self._solved(sample):
            return state, ()
        finding = self._judged(state, loss, norm)
        return (replace(state, said=True), (finding,)) if finding else (state, ())

    def _is_pinned(self, state: LossZeroState, loss: float, norm: float | None) -> bool:
        """Whether the loss is near 0 while the norm is at the clip value or repeats the last one."""
        if norm is None or norm <= 0 or state.first is None or abs(loss) > self.threshold("near_zero") * state.first:
            return False
        clip = self.run.number("max_grad_norm")
        if norm < _SMALL * (clip or 1.0):  # of a set learnt by heart, with few digits in the log
            return False
        known = [value for value in (clip, state.norm) if value is not None and value > 0]
        return any(abs(norm - value) <= _SAME * value for value in known)

    def _judged(self, state: LossZeroState, loss: float, norm: float | None) -> Finding | None:
        least = self.threshold("points")
        if state.pinned >= least and norm is not None:
            return self.finding(
                f"loss is {number(loss)}{where(state.step)}, near 0, while grad_norm has been {number(norm)} for "
                f"{state.pinned} points: a loss near 0 has small gradients, so something is broken rather than "
                "learnt; look at the labels of a batch, and run a step in float32 without clipping",
                step=state.step,
                evidence={"loss": loss, "grad_norm": norm, "points": state.pinned, "level_before": state.first},
            )
        from_below = bool(state.recent) and median(state.recent) < _MEMORISED
        if state.zeros < (self.threshold("points_from_below") if from_below else least):
            return None
        level = median(state.recent) if state.recent else None
        before = "from the first point on" if level is None else f"after {number(level)}"
        hint = (
            "; without grad_norm in the log it may be NaN that the Trainer hides: set logging_nan_inf_filter=False"
            if norm is None
            else f" and grad_norm is {number(norm)}"
        )
        return self.finding(
            f"loss has been {number(loss)} for {state.zeros} points{where(state.step)}, {before}{hint}; no real set "
            "gives 0: look whether the labels of a batch are there (not all -100) and are not in the input as well",
            step=state.step,
            evidence={"loss": loss, "grad_norm": norm, "points": state.zeros, "level_before": level},
        )

    def _solved(self, sample: Sample) -> bool:
        """Whether a preference loss may be 0: every pair told apart, by far."""
        if self.run.method not in {"dpo", "reward", "kto"}:
            return False
        accuracy = sample.finite("rewards/accuracies")
        accuracy = sample.finite("accuracy") if accuracy is None else accuracy
        margin = sample.finite("rewards/margins")
        margin = sample.finite("margin") if margin is None else margin
        return (margin is not None and margin >= _SOLVED_MARGIN) or (
            margin is None and accuracy is not None and accuracy >= _SOLVED_ACCURACY
        )
