"""RUN002: the loss is infinite."""

from __future__ import annotations

import math

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._points import at_step, eval_losses, number, where
from trainguard.signals.base import Signal, State
from trainguard.signals.samples import Sample

# Finite losses in a row after which a later infinity is another episode.
_CLEAN = 3


class LossInfState(State, frozen=True, kw_only=True):
    step: int | None = None
    clean: int = 0
    said: bool = False


class LossInf(Signal[LossInfState]):
    """The loss is infinite.

    *What it sees*
    An infinity in `loss`, in an evaluation's `eval_loss` or in the summary's `train_loss`: at once.

    *Why it costs you*
    The gradient of an infinite loss is infinite or NaN, and one optimizer step with it ends every weight. The Trainer
    hides most of these steps (`logging_nan_inf_filter`), so one that shows was one of several.

    *What it is not*
    An infinite `grad_norm` beside a finite loss: with fp16 that is the loss scaler at work, without it RUN020. A loss
    that is large but finite is RUN003.

    *What to do*
    Go back to a checkpoint from before it; use bf16 instead of fp16, a lower `learning_rate`, `max_grad_norm=1.0`; in
    a loss of your own, add an epsilon to each logarithm and each division.
    """

    code = "RUN002"
    name = "loss-inf"
    severity = "error"
    state_type = LossInfState

    def step(self, state: LossInfState, sample: Sample) -> tuple[LossInfState, tuple[Finding, ...]]:
        step = at_step(state.step, sample)
        if sample.kind in {"start", "resume"}:
            return LossInfState(step=step), ()
        name = "train_loss" if sample.kind == "summary" else "loss"
        loss = sample.value(name)
        losses = ([] if loss is None else [(name, loss)]) + list(eval_losses(sample))
        infinite = next(((key, value) for key, value in losses if math.isinf(value)), None)
        if infinite is not None:
            said = () if state.said else (self._finding(*infinite, step),)
            return LossInfState(step=step, said=True), said
        # An evaluation says nothing about whether training recovered, so only a training loss counts as clean.
        clean = state.clean + (sample.kind == "metrics" and loss is not None and math.isfinite(loss))
        return replace(state, step=step, clean=min(clean, _CLEAN), said=state.said and clean < _CLEAN), ()

    def _finding(self, key: str, value: float, step: int | None) -> Finding:
        return self.finding(
            f"{key} is {number(value)}{where(step)}: its gradients are infinite or NaN and end the weights in one "
            "step; go back to a checkpoint from before it, and lower learning_rate, use bf16 instead of fp16, or "
            "guard the logarithms and divisions of a loss of your own",
            step=step,
            evidence={"metric": key, "value": number(value)},
        )
