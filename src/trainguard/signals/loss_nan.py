"""RUN001: the loss is NaN, shown or hidden by the Trainer."""

from __future__ import annotations

import math

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._points import NEVER, at_step, counted_step, eval_losses, number, repeated, scales_loss, where
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

# Metrics that TRL takes from the model's own outputs and averages without a filter (trl 1.16: sft_trainer.py,
# dpo_trainer.py, grpo_trainer.py); NaN in one of them beside a loss of 0.0 means NaN outputs.
_COMPANIONS = ("entropy", "kl", "logits/chosen", "logps/chosen", "rewards/chosen", "rewards/margins")
# The scaler needs some skips to find its scale: from 2**16, ten halvings lead to 64. The run's first points.
_SCALER_SETTLES = 10
# Points in a row without NaN after which a later one is another episode.
_CLEAN = 3


class LossNanState(State, frozen=True, kw_only=True):
    step: int | None = None
    counted: int = NEVER
    points: int = 0
    hidden: int = 0  # points in a row whose gradient is NaN, or which are 0.0 beside another NaN
    zeros: int = 0  # of these, how many with a loss of exactly 0.0
    since: int | None = None  # the step of the first of them
    clean: int = 0
    said: bool = False


class LossNan(Signal[LossNanState]):
    """The loss is NaN, although the Trainer may show 0.0 instead.

    *What it sees*
    NaN in `loss`, in an evaluation's `eval_loss` or in the summary's `train_loss`: at once. And NaN that the Trainer
    hides: with `logging_nan_inf_filter` (on by default) a NaN step adds the average of the steps before it since the
    last log (transformers 5.23, `trainer.py`, `_run_epoch`), which is 0 right after a log: so the logged loss is
    exactly 0.0, or the first time a little low, while `grad_norm` is NaN.

    *Why it costs you*
    Clipping by norm multiplies every gradient by NaN, the optimizer writes NaN into every weight, and each step after
    that, and each checkpoint, is worthless. With the loss shown as 0.0 the run looks finished rather than dead.

    *What it is not*
    With fp16 the loss scaler skips a step whose gradients overflowed and halves its scale: one point with NaN or
    infinite `grad_norm` and a usual loss is how fp16 works, and so are a few at the start. GRPO's loss is 0 by
    construction, so a 0.0 says nothing there. A loss of 0.0 with finite gradients is RUN018.

    *What to do*
    Stop, and go back to a checkpoint from before it. Use bf16 instead of fp16, a lower `learning_rate`, warm-up and
    `max_grad_norm=1.0`; look at the batch of that step (empty labels, empty texts, a division by 0 in a custom loss).
    """

    code = "RUN001"
    name = "loss-nan"
    severity = "error"
    state_type = LossNanState
    thresholds = (
        Threshold(
            key="points",
            default=2,
            unit="logged points in a row",
            about="NaN gradients beside a usual loss, where the run does not declare its precision (fp16, bf16); "
            "where it declares one without a loss scaler, 1 is enough",
            source="torch 2.13, amp/grad_scaler.py: the scaler's backoff is one skipped step",
        ),
        Threshold(
            key="points_fp16",
            default=4,
            unit="logged points in a row",
            about="NaN gradients beside a usual loss under declared fp16",
            source="torch 2.13, amp/grad_scaler.py: each skip halves the scale, 4 in a row are a factor of 16 "
            "although growth is a factor of 2",
        ),
    )

    def step(self, state: LossNanState, sample: Sample) -> tuple[LossNanState, tuple[Finding, ...]]:
        step = at_step(state.step, sample)
        if sample.kind in {"start", "resume"}:  # another attempt: what was said is about the weights of the last
            return LossNanState(step=step), ()
        shown = _shown(sample)
        if shown is not None:
            said = () if state.said else (self._shown(shown, step),)
            return replace(state, step=step, counted=counted_step(sample), clean=0, said=True), said
        if sample.kind != "metrics" or repeated(state.counted, sample):
            return replace(state, step=step), ()
        return self._hidden(state, sample, step)

    def _hidden(
        self, state: LossNanState, sample: Sample, step: int | None
    ) -> tuple[LossNanState, tuple[Finding, ...]]:
        loss, norm = sample.value("loss"), sample.value("grad_norm")
        # Without a loss and a gradient norm there is nothing to judge (a record of rewards, say).
        if loss is None and norm is None:
            return replace(state, step=step), ()
        zero = loss == 0.0 and self.run.method != "grpo"
        nan_norm = norm is not None and math.isnan(norm)
        hidden = nan_norm or (zero and (norm == math.inf or _companion(sample)))
        points = min(state.points + 1, _SCALER_SETTLES)
        if not hidden:
            clean = state.clean + 1
            return replace(
                state,
                step=step,
                counted=counted_step(sample),
                points=points,
                hidden=0,
                zeros=0,
                since=None,
                clean=min(clean, _CLEAN),
                said=state.said and clean < _CLEAN,
            ), ()
        state = replace(
            state,
            step=step,
            counted=counted_step(sample),
            points=points,
            hidden=state.hidden + 1,
            zeros=state.zeros + zero,
            since=step if state.hidden == 0 else state.since,
            clean=0,
        )
        if state.said or not self._certain(state, nan_norm=nan_norm):
            return state, ()
        return replace(state, said=True), (self._of_hidden(state, loss, nan_norm=nan_norm),)

    def _certain(self, state: LossNanState, *, nan_norm: bool) -> bool:
        scaler = scales_loss(self.run)
        if scaler:
            least = self.threshold("points_fp16")
            settling = state.points < _SCALER_SETTLES
            # A loss that the filter replaced twice in a row is no overflow of scaled gradients: the outputs are NaN.
            return state.zeros >= 2 or state.hidden >= (max(least, _SCALER_SETTLES) if settling else least)
        if nan_norm and (scaler is False or state.zeros >= 1):
            return True
        return state.hidden >= self.threshold("points")

    def _shown(self, name: str, step: int | None) -> Finding:
        return self.finding(
            f"{name} is NaN{where(step)}: the weights that gave it, or the batch, are broken and no later step repairs "
            "them; go back to a checkpoint from before it, and lower learning_rate, or use bf16 instead of fp16, or "
            "look at that batch for examples without a label",
            step=step,
            evidence={"metric": name, "value": "NaN", "hidden": False},
        )

    def _of_hidden(self, state: LossNanState, loss: float | None, *, nan_norm: bool) -> Finding:
        shown = "" if loss is None else f" while the logged loss is {number(loss)}"
        filtered = (
            ": the Trainer hides a NaN loss (logging_nan_inf_filter=True adds the running average in its place, 0.0 "
            "right after a log)"
            if state.zeros
            else ""
        )
        what = "grad_norm is NaN" if nan_norm else "a metric of the model's outputs is not finite"
        since = "" if state.since is None or state.hidden == 1 else f" since step {state.since}"
        return self.finding(
            f"{what}{since or where(state.step)}{shown}{filtered}; NaN gradients make every weight NaN: stop without "
            "saving, go back to a checkpoint from before it, and lower learning_rate or use bf16 instead of fp16",
            step=state.step,
            evidence={
                "metric": "grad_norm" if nan_norm else "outputs",
                "value": "NaN",
                "hidden": True,
                "points": state.hidden,
                "points_with_loss_zero": state.zeros,
                "since_step": state.since,
            },
        )


def _shown(sample: Sample) -> str | None:
    """The name of a loss that is NaN in the sample."""
    name = "train_loss" if sample.kind == "summary" else "loss"
    value = sample.value(name)
    if value is not None and math.isnan(value):
        return name
    return next((each for each, loss in eval_losses(sample) if math.isnan(loss)), None)


def _companion(sample: Sample) -> bool:
    return any(math.isnan(sample.values.get(name, 0.0)) for name in _COMPANIONS)
