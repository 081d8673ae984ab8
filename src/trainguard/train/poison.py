"""From the suspicion that something was not finite to what is said of it: are the weights lost, or was it one batch?"""

from __future__ import annotations

from typing import Any

from trainguard.findings import Finding
from trainguard.signals.codes import run_finding
from trainguard.train.before import shown
from trainguard.train.looking import ModelWatch
from trainguard.train.nonfinite import Suspicion, nonfinite_parameters

# Steps in which the loss was not finite and the weights survived, after which the run is lost all the same.
_TIMES = 3
_NAMES = 3


class Poison:
    """Judges what a ModelWatch has seen. `weights_lost` once weights are not finite, `said` once anything was said."""

    def __init__(self, trainer: Any = None) -> None:
        self.weights_lost = False
        self.said = False
        self._times = 0
        # With a loss scaler (fp16) gradients overflow now and then on purpose, and the step is skipped.
        self._scaled = getattr(getattr(trainer, "accelerator", None), "scaler", None) is not None

    def check(self, watch: ModelWatch, step: int, *, certain: bool) -> Finding | None:
        """What is to be said at the end of `step`. With `certain` all trainable weights are read, which waits."""
        suspicion = watch.nonfinite.look_now(step) if certain else watch.nonfinite.look(step)
        if suspicion is None and not certain:
            return None
        # This waits for the device, but only before a save, or where the run is probably lost.
        names = nonfinite_parameters(watch.named)
        if names:
            self.weights_lost = self.said = True
            return _lost(names, len(watch.named), step, suspicion)
        watch.nonfinite.clear()
        if suspicion is None or (self._scaled and not suspicion.loss):
            return None
        # Without a label the mean over none of them is NaN, and a few batches later that is said as what it is.
        if watch.labels is not None and watch.labels.none_so_far():
            return None
        self._times += 1
        if self._scaled or self._times not in (1, _TIMES):
            return None
        self.said = True
        return self._survived(suspicion, step)

    def _survived(self, suspicion: Suspicion, step: int) -> Finding:
        what = "loss" if suspicion.loss else "gradients"
        were = f"{what} of step {step:,} or shortly before {'was' if suspicion.loss else 'were'}"
        return run_finding(
            _code(suspicion),
            f"the {were} {'infinite' if suspicion.infinite else 'NaN or infinite'}, {self._times} times so far, which "
            "logging_nan_inf_filter keeps out of the logged loss; the weights are still finite: look for a batch "
            "without any label that counts, or lower learning_rate",
            step=step,
            severity="error" if self._times >= _TIMES else "warn",
            evidence={"what": what, "times": self._times, "weights_finite": True},
        )


def _lost(names: list[str], trainable: int, step: int, suspicion: Suspicion | None) -> Finding:
    seen = (
        "the logged loss need not show it"
        if suspicion is None
        else "a loss was infinite before"
        if suspicion.infinite
        else "the loss or the gradients were too"
    )
    return run_finding(
        _code(suspicion),
        f"{len(names):,} of {trainable:,} trainable tensors hold NaN or infinities at step {step:,} ({shown(names)}), "
        f"and {seen}; nothing is saved from now on: go on from the last verified checkpoint with a lower "
        "learning_rate, bf16 in place of fp16, or max_grad_norm=1.0",
        step=step,
        fix="resume from the last verified checkpoint",
        evidence={
            "tensors": len(names),
            "trainable_tensors": trainable,
            "names": names[:_NAMES],
            "weights_finite": False,
        },
    )


def _code(suspicion: Suspicion | None) -> str:
    return "RUN002" if suspicion is not None and suspicion.infinite else "RUN001"
