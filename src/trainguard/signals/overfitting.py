"""RUN005: the validation loss rises while the training loss falls."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._robust import bounded, median, push
from trainguard.signals._trend import plain, shown, step_of
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

# Evaluations and training points that are remembered.
_EVALUATIONS, _TRAINING = 40, 60
# The least noise of an evaluation, as a share: dropout is off and the data are the same, the batches may not be.
_QUIET = 0.002
# Evaluations whose roughness counts: the steep beginning of a run is none.
_ROUGH = 10
# What says how often the model is right on the validation data: where it is still rising, a rising loss is one of
# confidence, not of skill (Guo 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 3).
_ACCURACIES = ("eval_accuracy", "eval_rewards/accuracies", "eval_mean_token_accuracy", "eval_f1", "eval_exact_match")


class OverfittingState(State, frozen=True, kw_only=True):
    """`losses` and `steps` of the evaluations since the data began, `train` the training losses, each with the number
    of evaluations before it."""

    key: str | None = None
    losses: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    accuracies: tuple[float, ...] = ()
    accuracy_key: str | None = None
    train: tuple[float, ...] = ()
    train_at: tuple[int, ...] = ()
    seen: int = 0
    best_at: int = 0
    said: str | None = None


class Overfitting(Signal[OverfittingState]):
    """The loss on held-out data rises over several evaluations, while that on the training data falls.

    *What it sees*: the validation loss is above its minimum at each of the last evaluations and has risen by more than
    it varies by chance: two evaluations after the minimum where the rise is strong, three where it is slight. The
    training loss has fallen since. Said a level lower (`info`) where accuracy on the same data still rises, and where
    early stopping is declared and its patience not used up.

    *Why it costs you*: every step from there on makes the model worse on anything but its training data, and the last
    checkpoint is not the best one.

    *What it is not*: one evaluation that is higher; noise around a level; a training loss that rises too (RUN003); a
    new data file, with which the count begins anew.

    *What to do*: keep the checkpoint of the minimum (`load_best_model_at_end=True`), train for fewer epochs, or give it
    more data, `weight_decay` or `lora_dropout`.
    """

    code = "RUN005"
    name = "overfitting"
    severity = "warn"
    methods = frozenset({"sft", "pretrain", "reward", "dpo", "kto"})
    state_type = OverfittingState
    thresholds = (
        Threshold(
            key="evaluations",
            default=3,
            unit="evaluations",
            about="evaluations in a row above the minimum",
            source="Prechelt 1998, 'Early Stopping - But When?', criterion UP_s with s of 3 in the middle of his range",
        ),
        Threshold(
            key="rise",
            default=0.01,
            unit="share of the minimum",
            about="the least rise above the minimum",
            source="measured: evaluations of a finished run on 200 examples differ by less than 1 % between seeds",
        ),
        Threshold(
            key="strong_rise",
            default=0.05,
            unit="share of the minimum",
            about="a rise with which two evaluations do",
            source="Prechelt 1998: criterion GL_5, a generalisation loss of 5 %",
        ),
        Threshold(
            key="noises",
            default=3.0,
            unit="standard deviations of the evaluations' noise",
            about="the least rise above the minimum, where the noise is known",
            source="three standard deviations: one in 740 by chance, of normal noise",
        ),
    )

    def step(self, state: OverfittingState, sample: Sample) -> tuple[OverfittingState, tuple[Finding, ...]]:
        if sample.kind == "file":
            return OverfittingState(key=state.key), ()
        if sample.kind == "resume":
            from_step = sample.finite("from_step")
            return self._rewound(state, int(from_step)) if from_step is not None else state, ()
        if sample.kind in ("metrics", "summary"):
            loss = sample.finite("loss") if sample.kind == "metrics" else None
            if loss is not None:
                state = replace(
                    state,
                    train=push(state.train, loss, _TRAINING),
                    train_at=(*state.train_at[-_TRAINING + 1 :], state.seen),
                )
            if not any(key.startswith("eval_") for key in sample.values):
                return state, ()
        elif sample.kind != "evaluation":
            return state, ()
        key = state.key or _loss_key(sample)
        loss = sample.finite(key) if key else None
        if key is None or loss is None:
            return state, ()
        state = self._evaluated(replace(state, key=key), sample, loss)
        return self._judged(state, sample)

    def _rewound(self, state: OverfittingState, step: int) -> OverfittingState:
        """Forgets the evaluations after the step at which a run goes on."""
        kept = sum(1 for each in state.steps if each <= step)
        if kept == len(state.steps):
            return state
        losses = state.losses[:kept]
        return replace(
            state,
            losses=losses,
            steps=state.steps[:kept],
            accuracies=state.accuracies[:kept] if len(state.accuracies) == len(state.losses) else (),
        )

    def _evaluated(self, state: OverfittingState, sample: Sample, loss: float) -> OverfittingState:
        step = step_of(sample)
        place = step if step is not None else (state.steps[-1] + 1 if state.steps else 0)
        if state.steps and step is not None:
            # The same step once more: what was seen last counts. A step back: a resume that was not announced.
            state = self._rewound(state, step - 1)
        name = state.accuracy_key or next((each for each in _ACCURACIES if sample.finite(each) is not None), None)
        accuracy = sample.finite(name) if name else None
        accuracies = push(state.accuracies, accuracy, _EVALUATIONS) if accuracy is not None else ()
        return replace(
            state,
            losses=push(state.losses, loss, _EVALUATIONS),
            steps=(*state.steps[-_EVALUATIONS + 1 :], place),
            accuracies=accuracies,
            accuracy_key=name,
            seen=state.seen + 1,
        )

    def _judged(self, state: OverfittingState, sample: Sample) -> tuple[OverfittingState, tuple[Finding, ...]]:
        losses = state.losses
        best = min(losses)
        # The last of equal minima: the loss has risen since then.
        at = len(losses) - 1 - losses[::-1].index(best)
        after = losses[at + 1 :]
        if not after:
            return replace(state, said=None), ()
        latest = median(after[-3:]) if len(after) >= 3 else after[-1]
        rise = (latest - best) / abs(best) if best else 0.0
        if not self._risen(losses, at, rise) or not self._train_falls(state, len(after), rise):
            return state, ()
        severity, why = self._how_sure(state, at, len(after))
        if state.said == "warn" or state.said == severity:
            return state, ()
        where = f" at step {state.steps[at]}" if sample.step is not None else ""
        key = state.key or "eval_loss"
        message = (
            f"{key} has risen from {shown(best)}{where} to {shown(losses[-1])} over {len(after)} evaluations "
            f"({100 * rise:+.1f} %) while the training loss falls: the model learns its examples by heart{why}"
        )
        evidence: dict[str, Any] = {
            "best": plain(best),
            "best_step": state.steps[at],
            "latest": plain(losses[-1]),
            "rise": plain(rise),
            "evaluations": len(after),
        }
        fix = (
            "Keep the checkpoint of the minimum (`load_best_model_at_end=True`, `metric_for_best_model='eval_loss'`) "
            "and train for fewer epochs (`num_train_epochs`) or on more data"
        )
        said = self.finding(
            message, step=step_of(sample), severity="info" if severity == "info" else None, fix=fix, evidence=evidence
        )
        return replace(state, said=severity), (said,)

    def _risen(self, losses: tuple[float, ...], at: int, rise: float) -> bool:
        after = losses[at + 1 :]
        needed = max(2, int(self.threshold("evaluations")))
        noisy = _evaluation_noise(losses, at)
        # The minimum is the luckiest of all evaluations: of n normal values it lies sqrt(2 ln n) standard deviations
        # below their mean (Cramer 1946, section 28.6). And the noise itself is known from a few differences only.
        sure = (self.threshold("noises") + math.sqrt(2 * math.log(len(losses)))) * (1 + 1.5 / (len(losses) - 1))
        chance = sure * noisy / abs(losses[at]) if losses[at] else 0.0
        rough = _roughness(losses, at) / abs(losses[at]) if losses[at] else 0.0
        if len(after) >= needed:
            # Still on its way up, not a hump that is behind it.
            ups = sum(a < b for a, b in pairwise(after[-needed:]))
            return (
                rise >= max(self.threshold("rise"), chance)
                and ups >= needed - 2
                and losses[-1] >= max(after[-needed:-1])
            )
        # One jump is no rise: the first of the two has its part in it.
        steady = after[0] - losses[at] >= 0.2 * (after[-1] - losses[at]) and after[-1] > after[0]
        return (
            len(after) == needed - 1 >= 2
            and rise >= max(self.threshold("strong_rise"), 1.5 * chance, 4 * rough)
            and steady
        )

    def _train_falls(self, state: OverfittingState, since: int, rise: float) -> bool:
        """Whether the training loss is lower after the minimum of the validation loss than before it."""
        border = state.seen - since
        before = [value for value, at in zip(state.train, state.train_at, strict=True) if border - 2 <= at < border]
        after = [value for value, at in zip(state.train, state.train_at, strict=True) if at >= border]
        if not before:  # the minimum was evaluated before the first step
            before = after[: len(after) // 2]
        if not before or not after:
            # No training loss to ask: only where the rise leaves no doubt.
            return not state.train and rise >= 3 * self.threshold("strong_rise")
        return median(after[len(after) // 2 :]) < median(before)

    def _how_sure(self, state: OverfittingState, at: int, since: int) -> tuple[str, str]:
        accuracies = state.accuracies
        if len(accuracies) == len(state.losses) and since >= 1:
            before, latest = max(accuracies[: at + 1]), median(accuracies[-2:])
            if latest > before:
                return "info", f"; {state.accuracy_key} still rises, so its answers get no worse yet"
        patience = self.run.count("early_stopping_patience")
        # The Trainer stops by itself at the first evaluation with which its patience is used up.
        if patience is not None and since <= patience:
            return "info", f"; early stopping is declared and waits for {patience} evaluations"
        return "warn", ""


def _loss_key(sample: Sample) -> str | None:
    if "eval_loss" in sample.values:
        return "eval_loss"
    # Several validation sets: `eval_<name>_loss`. The first one seen is watched.
    return next((key for key in sorted(sample.values) if key.startswith("eval_") and key.endswith("_loss")), None)


def _evaluation_noise(losses: tuple[float, ...], at: int) -> float:
    """The noise of the evaluations, as a standard deviation: what fits no fall to the minimum and no rise from it.

    Of n differences of white noise half go the wrong way, with a mean square of twice the noise's. One that is as quiet
    as the seed of a shuffled evaluation is taken for granted.
    """
    moves = list(pairwise(losses[-_EVALUATIONS:]))
    wrong = [max(0.0, b - a) if place < at else max(0.0, a - b) for place, (a, b) in enumerate(moves)]
    squares = sum((bounded(each) / abs(losses[at])) ** 2 for each in wrong) if losses[at] else 0.0
    return abs(losses[at]) * max(_QUIET, math.sqrt(bounded(squares) / max(1, len(moves))))


def _roughness(losses: tuple[float, ...], at: int) -> float:
    """The noise of the latest evaluations beside a smooth curve, from second differences (of variance 6 times its own).

    The turn at the minimum `at` is left out; any other bend counts as noise, so that this is rather too large.
    """
    first = max(0, len(losses) - _ROUGH)
    sides = (losses[first : at + 1], losses[max(at, first) :])
    bends = [bounded(a - 2 * b + c) ** 2 for side in sides for a, b, c in zip(side, side[1:], side[2:], strict=False)]
    return math.sqrt(bounded(sum(bends)) / (6 * len(bends))) if bends else 0.0
