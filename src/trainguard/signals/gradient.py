"""RUN020: the gradient is 0, vanishes or explodes."""

from __future__ import annotations

import math

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._points import NEVER, at_step, counted_step, number, repeated, scales_loss, where
from trainguard.signals._robust import bounded, halved, linear_fit, median, push, trend_z
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

_WINDOW = 40  # norms of which the median is the usual one
_LEAST = 8  # as many are needed to know it
_HISTORY = 32  # values of the whole run, at a resolution that falls
_FIRST = 12  # first norms, for the growth of gradients that are never zeroed
_SETTLES = 10  # the run's first points, in which a loss scaler finds its scale (see RUN001)
_PATIENCE = 25  # points after which a higher norm is the usual one
_CLEAN = 5
# Norms that rise by at least this share from point to point, several times in a row, are growth rather than noise.
_GROWTH = 1.1


class GradientState(State, frozen=True, kw_only=True):
    step: int | None = None
    counted: int = NEVER
    points: int = 0
    zeros: int = 0
    infinite: int = 0
    usual: tuple[float, ...] = ()
    high: tuple[float, ...] = ()  # norms in a row far above the usual
    recent: tuple[float, ...] = ()  # the last norms, whatever they are
    losses: tuple[float, ...] = ()  # the losses beside them
    norm_history: tuple[float, ...] = ()
    loss_history: tuple[float, ...] = ()
    stride: int = 1  # points that a value of the histories stands for
    pending: int = 0
    first: tuple[float, ...] = ()
    first_step: int | None = None
    clean: int = 0
    said_zero: bool = False
    said_high: bool = False
    said_low: bool = False


class Gradient(Signal[GradientState]):
    """The gradient norm is 0, vanishes, explodes, or adds up from step to step.

    *What it sees*
    `grad_norm` of exactly 0 over several points; `grad_norm` far above this run's own median and staying or growing
    there; infinite, where no loss scaler skips such steps; a thousandth of what it was while the loss has not
    improved; and norms that grow in proportion to the number of steps from the first on, as when gradients are never
    zeroed.

    *Why it costs you*
    With a norm of 0 nothing trains: usually the inputs do not require gradients (gradient checkpointing with a frozen
    base and no `enable_input_require_grads()`), or all is frozen. Exploding gradients end in NaN, vanishing ones in a
    model that stays as it is.

    *What it is not*
    One high point: clipping is made for it. A norm that rises slowly over a run, as LoRA's does, or falls as the loss
    falls. One infinite or NaN norm under fp16 (the loss scaler). GRPO with groups of equal rewards, whose gradient is
    0 (RUN027). A loss of 0 (RUN018).

    *What to do*
    0: call `model.enable_input_require_grads()`, or `gradient_checkpointing_kwargs={"use_reentrant": False}`, and
    check `requires_grad`. Exploding: lower `learning_rate`, more `warmup_steps`, `max_grad_norm=1.0`. Adding up: call
    `optimizer.zero_grad()` in each step.
    """

    code = "RUN020"
    name = "gradient"
    severity = "warn"
    state_type = GradientState
    thresholds = (
        Threshold(
            key="zero_points",
            default=3,
            unit="logged points in a row",
            about="a norm of exactly 0",
            source="arithmetic: a float32 norm is exactly 0 only if every gradient is below 1e-22; one such point may "
            "be a batch without a label, so three",
        ),
        Threshold(
            key="exploding_ratio",
            default=30,
            unit="times the median of the last 40 points",
            about="3 points in a row above it",
            source="measured: 3 points in a row reach at most 1.5 times the median in 27 of 28 healthy tiny runs, 22 "
            "times in one that learns its texts by heart (far below the clip value, which does not count)",
        ),
        Threshold(
            key="growing_ratio",
            default=8,
            unit="times the median of the last 40 points",
            about="4 points in a row above it, each at least a tenth higher than the last",
            source="measured on the same runs, none of which grows by a tenth a point four times in a row above it",
        ),
        Threshold(
            key="vanishing_ratio",
            default=1e-3,
            unit="share of the highest level of the run",
            about="the norm's level below it while the loss has not improved by a tenth",
            source="measured: in 28 healthy tiny runs the norm falls to no less than 0.0067 of its highest, and there "
            "the loss with it",
        ),
        Threshold(
            key="adding_up_fit",
            default=0.985,
            unit="R^2",
            about="how well the first 12 norms lie on a line through 0",
            source="TrainCheck (Jiang et al., OSDI 2025), missing zero_grad; measured: at most 0.83 in 28 healthy tiny "
            "runs",
        ),
    )

    def step(self, state: GradientState, sample: Sample) -> tuple[GradientState, tuple[Finding, ...]]:
        step = at_step(state.step, sample)
        if sample.kind in {"start", "resume"}:
            return GradientState(step=step), ()
        if sample.kind == "file":  # other data, other norms; a norm of 0 is one with all data
            return replace(state, step=step, high=(), usual=state.usual[-_LEAST:], norm_history=(), loss_history=()), ()
        norm = sample.value("grad_norm")
        if sample.kind != "metrics" or norm is None or repeated(state.counted, sample):
            return replace(state, step=step), ()
        state = replace(state, step=step, counted=counted_step(sample), points=state.points + 1)
        if math.isnan(norm) or norm < 0:  # RUN001's; no norm is negative
            return replace(state, zeros=0, infinite=0, first=()), ()
        if norm == 0:
            return self._zero(state, sample)
        if math.isinf(norm):
            return self._infinite(state, sample)
        state = replace(state, zeros=0, infinite=0, said_zero=False)
        return self._finite(state, sample, bounded(norm))

    def _zero(self, state: GradientState, sample: Sample) -> tuple[GradientState, tuple[Finding, ...]]:
        loss = sample.value("loss")
        # Equal rewards, or none in sight: GRPO's gradient is then 0 as it should be. A loss of 0 is RUN018's.
        idle = (self.run.method == "grpo" and not _spread(sample)) or (
            self.run.method != "grpo" and loss is not None and abs(loss) < 1e-6
        )
        if idle:
            return replace(state, zeros=0, infinite=0), ()
        state = replace(state, zeros=state.zeros + 1, infinite=0)
        if state.said_zero or state.zeros < self.threshold("zero_points"):
            return state, ()
        finding = self.finding(
            f"grad_norm has been 0 for {state.zeros} points{where(state.step)}: no trainable weight gets a gradient; "
            "with gradient checkpointing and a frozen base, call model.enable_input_require_grads() or set "
            'gradient_checkpointing_kwargs={"use_reentrant": False}; otherwise check requires_grad and the labels',
            step=state.step,
            evidence={"kind": "zero", "grad_norm": 0.0, "points": state.zeros, "loss": sample.finite("loss")},
        )
        return replace(state, said_zero=True), (finding,)

    def _infinite(self, state: GradientState, sample: Sample) -> tuple[GradientState, tuple[Finding, ...]]:
        scaler = scales_loss(self.run)
        state = replace(state, infinite=state.infinite + 1, zeros=0, first=())
        least = {True: _SETTLES if state.points <= _SETTLES else 5, False: 1, None: 3}[scaler]
        # A loss of exactly 0 beside it is a loss that the Trainer's filter replaced: RUN001's.
        if state.said_high or state.infinite < least or sample.value("loss") == 0.0:
            return state, ()
        finding = self.finding(
            f"grad_norm is infinite{where(state.step)}, {state.infinite} points in a row"
            f"{'' if scaler else ', and no loss scaler that skips such a step is declared (fp16)'}: clipping turns it "
            "into zeros and NaN; lower learning_rate, use bf16, and go back to a checkpoint from before it",
            step=state.step,
            evidence={"kind": "infinite", "grad_norm": "inf", "points": state.infinite, "fp16": scaler},
        )
        return replace(state, said_high=True), (finding,)

    def _finite(self, state: GradientState, sample: Sample, norm: float) -> tuple[GradientState, tuple[Finding, ...]]:
        loss = sample.finite("loss")
        said: list[Finding] = []
        state = self._adding_up(state, norm, said)
        state = self._exploding(state, norm, said)
        state = self._remember(state, norm, loss)
        if not said and self.run.method != "grpo":
            state = self._vanishing(state, said)
        return state, tuple(said)

    def _exploding(self, state: GradientState, norm: float, said: list[Finding]) -> GradientState:
        if len(state.usual) < _LEAST:
            return replace(state, usual=push(state.usual, norm, _WINDOW))
        usual = median(state.usual)
        # With Adam a small gradient that grows is harmless; what clipping would touch is not.
        clip = self.run.number("max_grad_norm") or 1.0
        wide = 3.0 if self.run.method == "grpo" else 1.0  # points without any gradient pull its median down
        least = max(self.threshold("growing_ratio") * wide * usual, clip)
        if norm <= least or len(state.high) >= _PATIENCE:
            clean = min(state.clean + 1, _CLEAN)
            return replace(
                state,
                usual=push(state.usual, norm, _WINDOW),
                high=() if norm <= least else state.high,
                clean=clean if norm <= least else 0,
                said_high=state.said_high and clean < _CLEAN,
            )
        state = replace(state, high=(*state.high, norm), clean=0)
        if state.said_high:
            return state
        far = max(self.threshold("exploding_ratio") * wide * usual, clip)
        rising = all(b >= _GROWTH * a for a, b in zip(state.high[-4:], state.high[-3:], strict=False))
        if not ((len(state.high) >= 3 and min(state.high[-3:]) > far) or (len(state.high) >= 4 and rising)):
            return state
        said.append(
            self.finding(
                f"grad_norm is {number(norm)}{where(state.step)}, {number(norm / usual)} times its median of "
                f"{number(usual)}, for {len(state.high)} points: the gradients explode; lower learning_rate, lengthen "
                "warmup_steps, keep max_grad_norm at 1.0, and go back to a checkpoint from before it if the loss "
                "follows",
                step=state.step,
                evidence={"kind": "exploding", "grad_norm": norm, "median": usual, "points": len(state.high)},
            )
        )
        return replace(state, said_high=True)

    def _adding_up(self, state: GradientState, norm: float, said: list[Finding]) -> GradientState:
        """Gradients that are never zeroed: the n-th norm is about n times the first."""
        step = state.counted
        if state.points != len(state.first) + 1 or len(state.first) >= _FIRST:
            return state
        if state.first and (state.first_step is None or step != state.first_step + len(state.first)):
            return replace(state, first=(0.0,) * _FIRST)  # not every step is logged: no telling
        first = (*state.first, norm)
        state = replace(state, first=first, first_step=step if len(first) == 1 else state.first_step)
        if len(first) < _FIRST:
            return state
        slope, intercept, fit = linear_fit(first)
        if fit < self.threshold("adding_up_fit") or slope <= 0 or not -1.0 <= intercept / slope <= 2.0:
            return state
        said.append(
            self.finding(
                f"grad_norm grows in proportion to the steps, from {number(first[0])} to {number(norm)} in "
                f"{_FIRST} steps{where(state.step)}: gradients of earlier steps are still in it; call "
                "optimizer.zero_grad() (or model.zero_grad()) after each optimizer step",
                step=state.step,
                evidence={"kind": "adding-up", "grad_norm": norm, "first": first[0], "slope": slope, "r2": fit},
            )
        )
        return replace(state, said_high=True)

    def _remember(self, state: GradientState, norm: float, loss: float | None) -> GradientState:
        state = replace(
            state,
            recent=push(state.recent, norm, _FIRST),
            losses=state.losses if loss is None else push(state.losses, loss, _FIRST),
            pending=state.pending + 1,
        )
        if state.pending < state.stride or loss is None:
            return state
        norms = (*state.norm_history, median(state.recent[-3:]))
        losses = (*state.loss_history, median(state.losses[-3:]))
        full = len(norms) > _HISTORY
        return replace(
            state,
            norm_history=halved(norms, _HISTORY),
            loss_history=halved(losses, _HISTORY),
            stride=state.stride * 2 if full else state.stride,
            pending=0,
        )

    def _vanishing(self, state: GradientState, said: list[Finding]) -> GradientState:
        norms, losses = state.norm_history, state.loss_history
        # Only when there is a new value in the history: asking at every point would cost and tell no more.
        if state.said_low or state.pending or len(norms) < 4 or state.points < _FIRST:
            return state
        now, loss = median(state.recent[-3:]), median(state.losses[-3:])
        top = max(range(len(norms)), key=norms.__getitem__)
        ratio = now / norms[top]
        # Towards a hundredth only a fall that goes on counts.
        falling = ratio < 10 * self.threshold("vanishing_ratio") and trend_z(state.recent) < -4
        # A norm that is all but 0 beside a loss that is far from it needs no curve of the loss to tell.
        gone = ratio < _GONE and loss > _FAR_FROM_ZERO * losses[top]
        if not gone and (not (ratio < self.threshold("vanishing_ratio") or falling) or loss < 0.9 * losses[top]):
            return state
        if abs(loss) < _LOW_LOSS:
            return state
        said.append(
            self.finding(
                f"grad_norm fell from {number(norms[top])} to {number(now)}{where(state.step)} while the loss "
                f"({number(losses[top])}, now {number(loss)}) {'is far from 0' if gone else 'did not improve'}: the "
                "gradients vanish; look for dead or "
                "saturated layers, float16 underflow (use bf16), or parameters that were detached",
                step=state.step,
                evidence={"kind": "vanishing", "grad_norm": now, "before": norms[top], "loss": loss},
            )
        )
        return replace(state, said_low=True)


# Softmax gradients fall with the loss itself, not by orders of magnitude more.
_GONE, _FAR_FROM_ZERO = 1e-5, 0.1
# Below it a loss has little gradient of its own.
_LOW_LOSS = 0.05


def _spread(sample: Sample) -> bool:
    """Whether the rewards of a group are known to differ, so that there should be a gradient."""
    spread, share = sample.finite("reward_std"), sample.finite("frac_reward_zero_std")
    if share is not None and share > 0.9:
        return False
    return spread is not None and spread > 1e-6
