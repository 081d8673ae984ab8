"""RUN015: the run ended cleanly and has not trained a single step."""

from __future__ import annotations

import re

import msgspec

from trainguard.findings import Finding
from trainguard.signals.base import Signal, State
from trainguard.signals.samples import Run, Sample

# TrainingArguments.logging_steps where it is not set (transformers 5.23, `training_args.py`).
_USUAL_INTERVAL = 500
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})/?$")


class ZeroStepsState(State, frozen=True, kw_only=True):
    """Since the last start, resume or file: the step that it began at, and whether anything was trained."""

    base: int = 0
    last: int = 0
    trained: bool = False
    resumed: bool = False
    seen: bool = False
    empty_summary: bool = False
    ended: bool = False


class ZeroSteps(Signal[ZeroStepsState]):
    """A run reports success and has trained nothing.

    *What it sees*: the end of a run with exit code 0 at the step that it began at: 0, or the step of the checkpoint
    that it resumed from.

    *Why it costs you*: a Trainer that resumes at or beyond max_steps skips all the data and reports success, for
    example when the next file is trained on the checkpoint of the last one. The model is the one from before.

    *What it is not*: a run that ended with an error, and one that is so short that no metric was logged but whose end
    names the steps.

    *What to do*: give the run steps of its own (max_steps above the checkpoint's global step, or start from the
    weights without resume_from_checkpoint), and look whether the data set is empty.
    """

    code = "RUN015"
    name = "zero-steps"
    severity = "error"
    state_type = ZeroStepsState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._planned = run.count("max_steps")
        self._interval = run.count("logging_steps")
        self._resumes = bool(run.declared.get("resume"))
        self._declared_base = _declared_base(run)

    def start(self) -> ZeroStepsState:
        base = self._declared_base
        return ZeroStepsState(base=base, last=base, resumed=base > 0)

    def step(self, state: ZeroStepsState, sample: Sample) -> tuple[ZeroStepsState, tuple[Finding, ...]]:
        if sample.kind == "resume":
            given = sample.finite("from_step")
            base = int(given) if given is not None and given >= 0 else (sample.step or state.last)
            return ZeroStepsState(base=base, last=base, resumed=True), ()
        if sample.kind == "start":
            # a start right after the resume belongs to it
            fresh = state.resumed and not state.trained
            return (state if fresh else self.start()), ()
        if sample.kind == "file" and state.trained:
            return ZeroStepsState(base=state.last, last=state.last, resumed=True), ()
        if sample.kind == "end":
            return self._end(state, sample)
        if sample.kind not in ("metrics", "evaluation", "summary"):
            return state, ()
        step = sample.step
        moved = step is not None and step > state.base
        trained = state.trained or moved
        if sample.kind == "metrics" and "loss" in sample.values and step != state.base:
            trained = True
        # "train_loss": 0.0 is what the Trainer reports of no step (transformers 5.23, `_finalize_training`)
        empty = state.empty_summary or (sample.kind == "summary" and sample.value("train_loss") == 0.0)
        last = max(state.last, step) if step is not None else state.last
        return msgspec.structs.replace(
            state, trained=trained, seen=state.seen or sample.kind == "metrics", empty_summary=empty, last=last
        ), ()

    def _end(self, state: ZeroStepsState, sample: Sample) -> tuple[ZeroStepsState, tuple[Finding, ...]]:
        after = msgspec.structs.replace(state, ended=True)
        code = sample.record.get("exit_code")
        if state.ended or state.trained or code not in (None, 0, 0.0, "0"):
            return after, ()
        step = sample.step
        if step is not None:
            at_end = self._resumes and not state.seen and self._must_log() and step >= (self._planned or 0)
            if step < 0 or (step > state.base and not at_end):
                return after, ()
            if step > state.base:  # declared to resume from a checkpoint that nobody named
                state = msgspec.structs.replace(state, base=step, resumed=True)
        elif not self._none(state, code):
            return after, ()
        planned = self._planned
        if state.resumed and state.base > 0:
            beyond = (
                f", which is not below max_steps={planned}" if planned is not None and state.base >= planned else ""
            )
            message = (
                f"the run resumed from step {state.base}{beyond} and ended with success without training a step: "
                "give this data steps of its own (raise max_steps, or start from the weights without "
                "resume_from_checkpoint)"
            )
        else:
            plan = f" of {planned} planned" if planned is not None else ""
            message = (
                f"the run ended with success after 0 steps{plan}: check that the data set is not empty, and that "
                "max_steps and num_train_epochs are above 0"
            )
        evidence = {"steps": 0, "from_step": state.base, "planned_steps": planned}
        return after, (self.finding(message, step=state.base, evidence=evidence),)

    def _none(self, state: ZeroStepsState, code: object) -> bool:
        """Whether nothing was trained, where the end does not name its step."""
        if state.empty_summary:
            return not state.seen
        if state.seen or code is None:
            return False
        # A run of fewer steps than logging_steps logs nothing either.
        return self._must_log() or self._resumes or state.resumed

    def _must_log(self) -> bool:
        """Whether a run that takes its planned steps logs at least once."""
        return self._planned is not None and self._planned >= (self._interval or _USUAL_INTERVAL)


def _declared_base(run: Run) -> int:
    """The step that a declared `resume` names, as a number or in the checkpoint's folder; 0 where it names none."""
    given = run.declared.get("resume")
    if isinstance(given, int) and not isinstance(given, bool):
        return given if given > 1 else 0
    found = _CHECKPOINT.search(given) if isinstance(given, str) else None
    return int(found.group(1)) if found else 0
