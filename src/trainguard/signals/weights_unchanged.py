"""RUN021: the weights that should train stay as they are."""

from __future__ import annotations

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._points import NEVER, at_step, counted_step, number, repeated, where
from trainguard.signals._robust import bounded
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

# A loss that repeats is telling only with enough digits: 0.0001 is rounding, and so is 1.2.
_LEAST_DIGITS = 4
_LEAST_LOSS = 0.01
_LN_2 = 0.6931
_KTO_START = 0.5


class WeightsUnchangedState(State, frozen=True, kw_only=True):
    step: int | None = None
    counted: int = NEVER
    rate: float | None = None  # the learning rate logged last
    stepped: bool = False  # a learning rate above 0 was logged
    still: int = 0  # looks in a row at which nothing had changed
    b_zero: int = 0  # looks in a row at which LoRA's B was 0
    loss: float | None = None
    same: int = 0  # points in a row with this very loss
    said_still: bool = False
    said_b: bool = False
    said_same: bool = False


class WeightsUnchanged(Signal[WeightsUnchangedState]):
    """Steps are taken, and the weights are the same as before.

    *What it sees*
    `weights_changed_share` (logged by GuardCallback: the share of the sampled trainable tensors that changed since the
    last look) or `weights_changed` (0 or 1) at 0 over several looks with a learning rate above 0; `lora_b_norm` (the
    norm of all of LoRA's B matrices, which begin at 0) still 0 after such steps; and, from the loss alone, the very
    same loss to the last digit over many points.

    *Why it costs you*
    The run costs what training costs, and its result is the base model. Usual causes: the optimizer was built before
    the parameters were frozen, wrapped or replaced, so it steps others than the model's; a learning rate so small that
    bfloat16 rounds each update away; an adapter that is loaded but not active.

    *What it is not*
    A learning rate of 0, as in the first step of a warm-up and at the end of a schedule. A loss that stays at a known
    constant is RUN004. A gradient of 0 is RUN020, and with GRPO groups of equal rewards RUN027.

    *What to do*
    Build the optimizer after freezing and after `get_peft_model`; compare the ids of the optimizer's parameters with
    those of `model.parameters()` that require gradients; train weights in float32, or raise `learning_rate`.
    """

    code = "RUN021"
    name = "weights-unchanged"
    severity = "warn"
    state_type = WeightsUnchangedState
    thresholds = (
        Threshold(
            key="looks",
            default=2,
            unit="looks in a row",
            about="no sampled tensor changed, at a learning rate above 0",
            source="an Adam step moves an element by about the learning rate (Kingma and Ba 2015, section 2.1), so one "
            "look shows it; the second is for a step that a loss scaler skipped",
        ),
        Threshold(
            key="looks_without_rate",
            default=5,
            unit="looks in a row",
            about="the same where no learning rate is logged, so that a warm-up's first steps are over",
            source="transformers 5.23, optimization.py: the rate of a warm-up is 0 at its first step only; the others "
            "are a margin, since nothing says how often is logged",
        ),
        Threshold(
            key="same_losses",
            default=5,
            unit="logged points in a row",
            about="the very same loss, of at least 4 digits",
            source="arithmetic: two losses that vary by 10 % share 4 digits by chance in about 1 of 200, five in a row "
            "in 1 of 10**9",
        ),
    )

    def step(self, state: WeightsUnchangedState, sample: Sample) -> tuple[WeightsUnchangedState, tuple[Finding, ...]]:
        step = at_step(state.step, sample)
        if sample.kind in {"start", "resume"}:
            return WeightsUnchangedState(step=step), ()
        if sample.kind != "metrics" or repeated(state.counted, sample):
            return replace(state, step=step), ()
        rate = sample.finite("learning_rate")
        state = replace(state, step=step, counted=counted_step(sample))
        if rate is not None:
            # What changed since the last look changed by the rate of the last point, too: both have to be above 0.
            moving = rate > 0 and state.rate is not None and state.rate > 0
            state = replace(state, rate=bounded(rate), stepped=state.stepped or rate > 0)
        else:
            moving = state.rate is None
        said: list[Finding] = []
        state = self._still(state, sample, said, moving=moving)
        state = self._b_zero(state, sample, said, moving=moving)
        state = self._same(state, sample, said, rate=rate)
        return state, tuple(said)

    def _least(self, state: WeightsUnchangedState) -> float:
        return self.threshold("looks" if state.rate is not None else "looks_without_rate")

    def _still(
        self, state: WeightsUnchangedState, sample: Sample, said: list[Finding], *, moving: bool
    ) -> WeightsUnchangedState:
        share = sample.finite("weights_changed_share")
        share = sample.finite("weights_changed") if share is None else share
        if share is None:
            return state
        if share > 0:
            return replace(state, still=0, said_still=False)
        if not moving or _no_gradient(sample):
            return state
        state = replace(state, still=state.still + 1)
        if state.said_still or state.still < self._least(state):
            return state
        said.append(
            self.finding(
                f"no sampled trainable weight changed in {state.still} looks{where(state.step)}, at "
                f"{_rate(state)}: the optimizer does not step this model's parameters, or its updates are "
                "rounded away; build the optimizer after freezing and wrapping the model, and keep trained weights in "
                "float32",
                step=state.step,
                evidence={"looks": state.still, "share": share, "learning_rate": state.rate},
            )
        )
        return replace(state, said_still=True)

    def _b_zero(
        self, state: WeightsUnchangedState, sample: Sample, said: list[Finding], *, moving: bool
    ) -> WeightsUnchangedState:
        norm = sample.finite("lora_b_norm")
        if norm is None:
            return state
        if norm != 0:
            return replace(state, b_zero=0, said_b=False)
        if not moving or _no_gradient(sample):
            return state
        state = replace(state, b_zero=state.b_zero + 1)
        # Where nothing at all changes, that was said.
        if state.said_b or state.said_still or state.b_zero < self._least(state):
            return state
        said.append(
            self.finding(
                f"LoRA's B matrices are still 0{where(state.step)}, after {state.b_zero} looks at {_rate(state)}: "
                "the adapter adds nothing to the model; check that it is active (model.set_adapter) and that the "
                "optimizer was built after get_peft_model",
                step=state.step,
                evidence={"looks": state.b_zero, "lora_b_norm": 0.0, "learning_rate": state.rate},
            )
        )
        return replace(state, said_b=True)

    def _same(
        self, state: WeightsUnchangedState, sample: Sample, said: list[Finding], *, rate: float | None
    ) -> WeightsUnchangedState:
        loss = sample.finite("loss")
        if loss is None or self.run.method == "grpo":
            return state
        loss = bounded(loss)
        if loss != state.loss:
            return replace(state, loss=loss, same=1, said_same=False)
        if rate == 0 or _no_gradient(sample) or not _telling(loss):
            return replace(state, same=1)
        state = replace(state, same=state.same + 1)
        if state.said_same or state.said_still or state.same < self.threshold("same_losses"):
            return state
        said.append(
            self.finding(
                f"loss has been exactly {loss!r} for {state.same} points{where(state.step)}, at {_rate(state)}: "
                "the weights do not change, or the same number is logged again; compare a weight before and after a "
                "step, and build the optimizer after freezing and wrapping the model",
                step=state.step,
                evidence={"loss": loss, "points": state.same, "learning_rate": state.rate},
            )
        )
        return replace(state, said_same=True)


def _no_gradient(sample: Sample) -> bool:
    """A gradient of 0 explains weights that stay: RUN020 and RUN027 say it. One that is not finite is RUN001's."""
    norm = sample.value("grad_norm")
    return norm is not None and not 0 < norm < float("inf")


def _telling(loss: float) -> bool:
    """Whether a loss has digits enough to be the same only by the same weights, and is no known constant (RUN004)."""
    if abs(loss) < _LEAST_LOSS or any(abs(loss - known) < 1e-3 for known in (_LN_2, _KTO_START)):
        return False
    return len(repr(abs(loss)).split("e")[0].replace(".", "").strip("0")) >= _LEAST_DIGITS


def _rate(state: WeightsUnchangedState) -> str:
    return "a learning rate that is not logged" if state.rate is None else f"learning_rate {number(state.rate)}"
