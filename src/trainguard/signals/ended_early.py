"""RUN026: the run ended cleanly with fewer steps than planned."""

from __future__ import annotations

import msgspec

from trainguard.findings import Finding
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Run, Sample

# Keys of an `end` event that say why the run has stopped: then it did not end by itself.
REASONS = ("reason", "stopped", "requested", "early_stopping")


class EndedEarlyState(State, frozen=True, kw_only=True):
    """The last step and epoch seen, how far apart records are, and how many evaluations there were."""

    step: int | None = None
    interval: int = 1
    epoch: float | None = None
    epoch_step: int | None = None
    began_at: int | None = None
    trained: bool = False
    evaluations: int = 0
    resumed: bool = False
    files: int = 0
    ended: bool = False


class EndedEarly(Signal[EndedEarlyState]):
    """A run ends with exit code 0 although steps are missing.

    *What it sees*: the end of a run whose exit was clean, at a step below max_steps or, where epochs are planned, at an
    epoch below num_train_epochs.

    *Why it costs you*: the process reports success, the model has seen part of the data, and the learning rate has
    not come down. Nothing else tells.

    *What it is not*: early stopping that is declared, a stop on request or a failure (their exit code is not 0), and
    the rounding of the last step: an epoch of 2.997 of 3 is done.

    *What to do*: look why the data ended (an iterable data set that is shorter than planned, a callback that sets
    should_training_stop), then resume from the last checkpoint.
    """

    code = "RUN026"
    name = "ended-early"
    severity = "error"
    thresholds = (
        Threshold(
            key="missing_share",
            default=0.005,
            unit="share of the planned steps",
            about="how much may be missing at the end",
            source="transformers 4.x, trainer.py: the last accumulation of an epoch is dropped, 2.997 of 3 epochs",
        ),
    )
    state_type = EndedEarlyState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._steps = run.count("max_steps")
        self._epochs = run.number("num_train_epochs")
        self._patience = run.number("early_stopping_patience")
        self._interval = run.count("logging_steps")

    def step(self, state: EndedEarlyState, sample: Sample) -> tuple[EndedEarlyState, tuple[Finding, ...]]:
        if sample.kind == "end":
            return self._end(state, sample)
        if sample.kind in ("resume", "start"):
            given = sample.finite("from_step")
            base = int(given) if given is not None else sample.step
            resumed = state.resumed or sample.kind == "resume"
            step = base if base is not None and base >= 0 else state.step
            return msgspec.structs.replace(
                state, step=step, began_at=step, trained=False, resumed=resumed, ended=False
            ), ()
        if sample.kind == "file":
            return msgspec.structs.replace(state, files=state.files + 1, epoch=None, epoch_step=None), ()
        if sample.kind not in ("metrics", "evaluation", "summary"):
            return state, ()
        step, interval = state.step, state.interval
        if sample.step is not None and sample.step >= 0:
            if step is not None and sample.step > step and sample.kind == "metrics":
                interval = sample.step - step
            step = sample.step
        epoch, at = state.epoch, state.epoch_step
        seen = sample.finite("epoch")
        if seen is not None and seen >= 0:
            epoch, at = seen, step
        return msgspec.structs.replace(
            state,
            step=step,
            interval=interval,
            epoch=epoch,
            epoch_step=at,
            trained=state.trained or (sample.kind == "metrics" and "loss" in sample.values),
            evaluations=state.evaluations + (sample.kind == "evaluation"),
            ended=False,
        ), ()

    def _end(self, state: EndedEarlyState, sample: Sample) -> tuple[EndedEarlyState, tuple[Finding, ...]]:
        again = state.ended
        state = msgspec.structs.replace(state, ended=True)
        code = sample.value("exit_code")
        if again or (code is not None and code != 0) or sample.record.get("exit_code", 0) not in (None, 0, 0.0, "0"):
            return state, ()
        if any(sample.record.get(key) for key in REASONS) or self._stopped_early(state):
            return state, ()
        step = sample.step if sample.step is not None and sample.step >= 0 else state.step
        base = state.began_at or 0
        if step is not None and step <= base and not state.trained:
            return state, ()  # no step at all is RUN015
        finding = self._by_steps(state, sample, step) if self._steps else self._by_epochs(state, sample, step)
        return state, (finding,) if finding else ()

    def _stopped_early(self, state: EndedEarlyState) -> bool:
        """Whether declared early stopping may have ended the run.

        EarlyStoppingCallback (transformers 5.23, `trainer_callback.py`) stops at the earliest with the evaluation
        number patience + 1 of a run: fewer than patience cannot have been it, where evaluations are seen at all.
        """
        if self._patience is None or self._patience <= 0:
            return self.run.flag("early_stopping") is True
        return state.resumed or state.evaluations == 0 or state.evaluations >= self._patience

    def _by_steps(self, state: EndedEarlyState, sample: Sample, step: int | None) -> Finding | None:
        planned = self._steps or 0
        if step is None:
            return None
        allowed = self.threshold("missing_share") * planned
        if sample.step is None:
            allowed = max(allowed, self._interval or 1, state.interval)
        if planned - step <= allowed:
            return None
        if state.files and sample.step is None:
            return None  # the steps of another file: whose plan max_steps is cannot be told
        return self.finding(
            f"the run ended with exit code 0 at step {step} of {planned}: {planned - step} planned steps are missing; "
            "look for data that ended early or a callback that stops, and resume from the last checkpoint",
            step=step,
            evidence={"steps": step, "planned_steps": planned, "missing_steps": planned - step},
        )

    def _by_epochs(self, state: EndedEarlyState, sample: Sample, step: int | None) -> Finding | None:
        planned, epoch, at = self._epochs, state.epoch, state.epoch_step
        if planned is None or planned <= 0 or epoch is None or not at or epoch <= 0 or state.files:
            return None
        if step is None:
            step = at
        per_step = epoch / at
        # the epoch was logged some steps before the end; after a resume on other data steps and epochs may not agree
        reached = epoch + max(0, step - at) * per_step
        # rounding loses up to one step an epoch
        allowed = max(self.threshold("missing_share") * planned, max(1.5, min(planned, 10.0)) * per_step)
        if sample.step is None:
            allowed = max(allowed, max(self._interval or 1, state.interval) * per_step)
        if planned - reached <= allowed:
            return None
        return self.finding(
            f"the run ended with exit code 0 at epoch {reached:.3g} of {planned:g} (step {step}); look for data that "
            "ended early or a callback that stops, and resume from the last checkpoint",
            step=step,
            evidence={"epoch": reached, "planned_epochs": planned, "steps": step},
        )
