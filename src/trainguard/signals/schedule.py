"""RUN019: the learning rate is not what the run has declared, stays at 0, or jumps on a resume."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec

from trainguard.findings import Finding
from trainguard.signals import _schedule_state as history
from trainguard.signals._schedule_state import CALM, ROUNDED, ZERO, ScheduleState
from trainguard.signals._schedules import PLANNED, Schedule, declared_schedule, planned_steps
from trainguard.signals.base import Signal, Threshold
from trainguard.signals.samples import Run, Sample

# The Trainer rounded the epoch to two decimals until transformers 5 (`trainer.py`, `log`).
_EPOCH_ROUNDING = 0.005
# Updates that fp16 skips while the loss scale, 65536 at first (torch.amp.GradScaler), comes down; the schedule waits.
_FP16_SKIPPED = 10
_FP16_ZERO_STEPS = 50
# An update beyond the plan by this share is not yet another plan: the last accumulation is rounded.
_BEYOND = 1.02


class ScheduleSignal(Signal[ScheduleState]):
    """The learning rate does not follow the declared schedule.

    *What it sees*: a learning rate that never leaves 0 or is 0 long before the end, that does not decay although a
    decaying schedule is declared, that has another peak than declared, or that is another one after a resume than
    before it. Where schedule, learning rate, warm-up and planned steps are declared, each logged rate is held against
    the value that transformers gives at this step; where they are not, only what is certain is said.

    *Why it costs you*: at a rate of 0 the run trains nothing and looks busy. A rate that does not decay leaves the
    model worse than it could be; one that starts again on a resume destroys what had been learnt.

    *What it is not*: a rate of 0 in the first logs of a warm-up, restarts of cosine_with_restarts, steps down of
    reduce_lr_on_plateau, a new warm-up on another file, updates that fp16 has skipped, a tiny rate at the end.

    *What to do*: compare max_steps, warmup_steps and lr_scheduler_type with the run; on a resume restore the scheduler
    (`resume_from_checkpoint`) rather than building a new one.
    """

    code = "RUN019"
    name = "schedule"
    severity = "warn"
    thresholds = (
        Threshold(
            key="margin",
            default=0.1,
            unit="share of the peak learning rate",
            about="how far outside the declared schedule a logged rate must lie",
            source="convention: common floors (10 % of the peak, Hoffmann et al. 2022) stay within it",
        ),
        Threshold(
            key="slack",
            default=0.02,
            unit="share of the planned steps",
            about="by how much the schedule may be early or late",
            source="updates that fp16 skips, and planned steps that are estimated from epochs",
        ),
        Threshold(
            key="logs",
            default=2,
            unit="logs",
            about="logs in a row outside the schedule before it is said",
            source="a learning rate has no noise; the second log is for a record that was mixed up",
        ),
        Threshold(
            key="zero_logs",
            default=10,
            unit="logs",
            about="logs in a row at 0 where no schedule is declared",
            source="transformers 5.23, optimization.py: linear warm-up leaves 0 with the second update",
        ),
        Threshold(
            key="flat_logs",
            default=4,
            unit="logs",
            about="logs in a row with exactly one rate where the declared schedule falls",
            source="transformers 5.23, optimization.py: a decaying schedule changes with every update",
        ),
        Threshold(
            key="jump",
            default=1.5,
            unit="factor",
            about="change of the rate on a resume, where no schedule is declared",
            source="convention: one that was restored goes on within some per cent",
        ),
    )
    state_type = ScheduleState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._schedule: Schedule | None = declared_schedule(run)
        self._kind = (run.text("lr_scheduler_type") or "").lower()
        self._declared_peak = run.number("learning_rate")
        self._fp16 = run.flag("fp16") is True
        self._interval = run.count("logging_steps")

    def step(self, state: ScheduleState, sample: Sample) -> tuple[ScheduleState, tuple[Finding, ...]]:
        if sample.kind == "resume":
            return self._resumed(state, history.count_or(sample.value("from_step"), sample.step)), ()
        if sample.kind == "file" and state.logs:
            # another file may begin a schedule of its own: nothing that was declared is known to hold for it
            return ScheduleState(other_file=True, logs=state.logs, said=state.said), ()
        rate = sample.finite("learning_rate")
        if sample.kind != "metrics" or rate is None or rate < 0 or rate > 1e6:
            return state, ()
        last = state.steps[-1] if state.steps else None
        step = sample.step
        if step is None:
            step = (last or 0) + (self._interval or 1)
        if step < 0 or step == last:
            return state, ()
        if last is not None and step < last:
            earlier = [each for each in state.steps if each < step]
            if state.resumed_from is None:
                state = self._resumed(state, earlier[-1] if earlier else max(0, step - 1))
        state = self._noted(state, step, rate, sample)
        known = sample.step is not None or self._interval is not None
        band = self._band(state, step) if known else None
        state = history.judged(state, step, rate, band, self._margin(state))
        if self._kind in PLANNED and state.flat >= int(self.threshold("flat_logs")):
            state = msgspec.structs.replace(state, inside=0)  # a rate that stands still only crosses the right one
        if state.said:
            calm = history.calm_again(state, step) if band is not None else self._usual_again(state)
            return (msgspec.structs.replace(state, said=False) if calm else state), ()
        finding = (
            self._zero(state, sample, step, rate, band)
            or self._outside(state, sample, step, rate, band)
            or self._flat(state, sample, step, rate)
            or (self._jump(state, sample, step, rate) if self._open(state, band) else None)
            or (self._too_large(state, sample, step, rate) if band is None else None)
        )
        return (msgspec.structs.replace(state, said=True, inside=0), (finding,)) if finding else (state, ())

    # -- what is known after a log -------------------------------------------------------------------------------

    def _resumed(self, state: ScheduleState, from_step: int | None) -> ScheduleState:
        before = [(step, rate) for step, rate in zip(state.steps, state.rates, strict=True)]
        if from_step is not None:
            before = [pair for pair in before if pair[0] <= from_step] or before[:1]
        past_ramp = bool(before) and not state.rising and before[-1][0] >= state.ramp[1]
        return msgspec.structs.replace(
            state,
            resumed_from=from_step if from_step is not None else (state.steps[-1] if state.steps else 0),
            rate_before=before[-1][1] if past_ramp else None,
            rates_after=(),
            resumes=state.resumes + 1,
            said=state.said and state.inside < CALM,
            zeros=0,
            flat=0,
            outside=0,
            above=0,
        )

    def _noted(self, state: ScheduleState, step: int, rate: float, sample: Sample) -> ScheduleState:
        last = state.rates[-1] if state.rates else None
        first = last is None
        rising, ramp, settled, fell = state.rising, state.ramp, state.settled, state.fell
        if rising and last is not None and rate <= last and rate > ZERO:
            # the peak was reached after the last log that was still lower
            lower = [each for each, value in zip(state.steps, state.rates, strict=True) if value < last * (1 - 1e-9)]
            rising, ramp = False, (lower[-1] if lower else 0, state.steps[-1] if rate == last else step)
        settled = 0 if rising else settled + 1
        fell = fell or (not rising and rate < state.peak * 0.99)
        same = last is not None and rate == last
        planned, error = state.planned, state.planned_error
        if state.resumes == 0 and not state.other_file:
            epoch = sample.finite("epoch")
            planned = planned_steps(self.run, step=sample.step, epoch=epoch)
            estimated = self.run.count("max_steps") is None
            error = _EPOCH_ROUNDING / epoch if estimated and epoch and epoch > 0 else 0.0
            if estimated and planned is None:
                planned, error = state.planned, state.planned_error
        return msgspec.structs.replace(
            state,
            logs=state.logs + 1,
            steps=(*state.steps, step)[-history.KEPT :],
            rates=(*state.rates, rate)[-history.KEPT :],
            first_step=step if first else state.first_step,
            peak=max(state.peak, rate),
            peak_before=max(state.peak_before, *state.rates[:-1][-1:], 0.0),
            rising=rising,
            ramp=ramp,
            settled=settled,
            fell=fell,
            zeros=state.zeros + 1 if rate <= ZERO else 0,
            flat=state.flat + 1 if same else 1,
            flat_from=state.flat_from if same and state.flat else step,
            rates_after=(*state.rates_after, rate)[: history.KEPT] if state.resumed_from is not None else (),
            planned=planned,
            planned_error=min(1.0, error),
        )

    def _peak(self, state: ScheduleState) -> float | None:
        if self._schedule is None:
            return None
        if self._schedule.peak is not None:
            return self._schedule.peak
        # seen from the beginning and past the warm-up: the peak is what was seen
        seen = not state.rising and state.first_step <= max(10, 0.03 * (state.planned or 0))
        if self._kind == "inverse_sqrt":
            return None  # falls fast from the first update on: what was seen is not the peak
        return state.peak if seen and state.peak > 0 else None

    def _margin(self, state: ScheduleState) -> float:
        return self.threshold("margin") * (self._peak(state) or 0.0) + (
            ROUNDED if history.looks_rounded(state.rates) else 0
        )

    def _least(self, state: ScheduleState) -> float:
        """A rate that cannot be a 0 that was rounded on its way."""
        return max(ROUNDED, 0.005 * (self._peak(state) or 0.0))

    def _band(self, state: ScheduleState, step: int, *, slack: int | None = None) -> tuple[float, float] | None:
        """Least and largest rate that the declared schedule allows at this log; None where it does not tell."""
        schedule, planned, peak = self._schedule, state.planned, self._peak(state)
        if schedule is None or peak is None or state.other_file:
            return None
        if schedule.kind in PLANNED and (planned is None or step > planned * _BEYOND or state.planned_error > 0.1):
            return None
        if slack is None:
            share = self.threshold("slack") + state.planned_error
            slack = 1 + math.ceil(share * (planned or step)) + (_FP16_SKIPPED if self._fp16 else 0)
        warmup = schedule.warmup_steps(planned)
        if warmup is not None:
            spans = (warmup, warmup)
        elif schedule.kind == "inverse_sqrt":
            return None  # its time scale is the warm-up
        elif state.rising:
            # still in a warm-up of unknown length, which is the slowest where it takes the whole run
            low = peak * max(0, step - 1 - slack) / planned if planned is not None and self._kind in PLANNED else 0.0
            return min(low, peak), peak
        else:
            spans = state.ramp
        return schedule.band(step, planned=planned, warmup=spans, peak=peak, slack=slack)

    # -- what is said ----------------------------------------------------------------------------------------------

    def _zero(
        self, state: ScheduleState, sample: Sample, step: int, rate: float, band: tuple[float, float] | None
    ) -> Finding | None:
        if not state.zeros:
            return None
        planned, ever = state.planned, state.peak > ZERO
        if planned is not None and step > planned and not state.other_file:
            return None  # beyond the plan there is no schedule
        many = int(self.threshold("zero_logs"))
        if band is not None:
            sure = state.zeros >= (3 if ever else 4) and band[0] > self._least(state)
        elif ever:
            left = planned is not None and step < 0.9 * planned and not state.other_file
            sure = state.zeros >= (3 if left else many)
        else:
            warmup = self.run.count("warmup_steps") or 0
            over = 0 < warmup < step - max(10, 0.1 * warmup)
            sure = state.zeros >= (4 if over else many) and step >= many
        if not sure or (self._fp16 and not ever and step < _FP16_ZERO_STEPS):
            return None
        since = state.steps[-min(state.zeros, len(state.steps))]
        if ever:
            until = f" of {planned}" if planned is not None else ""
            message = (
                f"the learning rate is 0 since step {since}{until}, so nothing is learnt any more; "
                "build the schedule for the steps that the run really takes (max_steps or num_train_epochs)"
            )
        else:
            message = (
                f"the learning rate is still 0 at step {step}, after {state.zeros} logs, so nothing is learnt; "
                "check learning_rate, warmup_steps and that the scheduler is stepped after the optimizer"
            )
        return self._say("zero", message, sample, step, rate, state, band)

    def _outside(
        self, state: ScheduleState, sample: Sample, step: int, rate: float, band: tuple[float, float] | None
    ) -> Finding | None:
        if band is None or state.outside < int(self.threshold("logs")):
            return None
        kind, peak, low, high = self._kind, self._peak(state) or 0.0, band[0], band[1]
        expected = f"{high:.3g}" if high - low < 0.02 * high else f"{low:.3g} to {high:.3g}"
        declared = f"{kind} from learning_rate {peak:.3g}, max_steps {state.planned}"
        if state.resumed_from is not None and len(state.rates_after) <= history.AFTER_RESUME:
            before = f", it was {state.rate_before:.3g} before" if state.rate_before is not None else ""
            what, shape = (
                f"after the resume from step {state.resumed_from} the learning rate is {rate:.3g}{before}",
                "resume",
            )
            fix = "resume with resume_from_checkpoint, so that the scheduler's state is restored"
        elif rate > peak * (1 + self.threshold("margin")):
            what, shape = f"the learning rate is {rate:.3g}, above the declared one", "above"
            fix = "make learning_rate and the optimizer's own rate agree"
        elif rate > high and kind in PLANNED:
            what, shape = f"the learning rate is {rate:.3g} and does not decay as declared", "no-decay"
            fix = "step the scheduler once an update and build it for this run's max_steps"
        else:
            what, shape = f"the learning rate is {rate:.3g}, below the declared schedule", "below"
            fix = "build the schedule for this run's max_steps and warmup_steps, and step it once an update"
        message = f"{what}; at step {step} the declared schedule ({declared}) gives {expected}: {fix}"
        return self._say(shape, message, sample, step, rate, state, band)

    def _flat(self, state: ScheduleState, sample: Sample, step: int, rate: float) -> Finding | None:
        """A rate that has not moved by one digit while the declared schedule has fallen: earlier than the band."""
        if state.flat < int(self.threshold("flat_logs")) or rate <= ZERO or self._kind not in PLANNED:
            return None
        if sample.step is None and self._interval is None:
            return None
        then = self._band(state, state.flat_from, slack=0)
        # one update earlier: an older release logs the rate after the update
        now = self._band(state, max(state.flat_from, step - 1), slack=0)
        peak = self._peak(state)
        if then is None or now is None or peak is None:
            return None
        drop = then[0] - now[1]
        least = max(
            (0.08 if self._fp16 else 0.03) * peak, 4 * 2 * ROUNDED if history.looks_rounded(state.rates) else 0.0
        )
        if drop < least:
            return None
        message = (
            f"the learning rate has stayed at {rate:.6g} since step {state.flat_from}, over {state.flat} logs, where "
            f"the declared {self._kind} schedule falls from {then[0]:.3g} to {now[1]:.3g}: step the scheduler once an "
            f"update, and check that lr_scheduler_type reaches the trainer"
        )
        return self._say("no-decay", message, sample, step, rate, state, now)

    def _jump(self, state: ScheduleState, sample: Sample, step: int, rate: float) -> Finding | None:
        """After a resume without a declared schedule to hold it against."""
        before, after, factor = state.rate_before, state.rates_after, self.threshold("jump")
        if before is None or before <= ZERO or len(after) < 2 or len(after) > 6 or state.other_file:
            return None
        if len(after) == 2 and min(after) >= factor * before:
            # a restart of the cosine's own comes at its end
            may = self._kind == "cosine_with_restarts" or (not self._kind and before < 0.02 * state.peak)
            if (may and max(after) <= 1.05 * self._seen_before(state)) or self._kind == "greedy":
                return None
            shape, what = "resume", f"jumps from {before:.3g} to {rate:.3g}"
        elif len(after) >= 3 and after[0] * factor <= before and all(a < b for a, b in pairwise(after)):
            shape, what = "resume", f"warms up again from {after[0]:.3g}, it was {before:.3g} before"
        else:
            return None
        message = (
            f"after the resume from step {state.resumed_from} the learning rate {what}: resume with "
            "resume_from_checkpoint, so that the scheduler's state is restored and no new schedule begins"
        )
        return self._say(shape, message, sample, step, rate, state, None)

    def _open(self, state: ScheduleState, band: tuple[float, float] | None) -> bool:
        """Whether the declared schedule leaves nearly everything open, as a floor that is not declared does."""
        return band is None or band[1] - band[0] > 0.5 * (self._peak(state) or 0.0)

    def _seen_before(self, state: ScheduleState) -> float:
        """The largest rate among the logs before the resume that are still kept."""
        return max(state.rates[: -len(state.rates_after)], default=0.0)

    def _too_large(self, state: ScheduleState, sample: Sample, step: int, rate: float) -> Finding | None:
        """Where no schedule is known: above what is declared, or far above a peak that was left behind."""
        if self._kind == "greedy" or state.other_file:
            return None
        peak = self._declared_peak
        rates = state.rates[-int(self.threshold("logs")) :]
        if len(rates) < int(self.threshold("logs")):
            return None
        if peak is not None and peak > 0:
            if min(rates) <= 1.5 * peak:
                return None
            message = (
                f"the learning rate is {rate:.3g}, {rate / peak:.3g} times the declared learning_rate {peak:.3g}: "
                "make learning_rate and the optimizer's own rate agree"
            )
            return self._say("above", message, sample, step, rate, state, None)
        # the peak of all logs but the last two
        earlier = state.peak_before
        if state.logs < 7 or not state.fell or state.resumes or min(rates) < 2 * earlier:
            return None
        message = (
            f"the learning rate jumps to {rate:.3g}, it was {earlier:.3g} at most before and had begun to fall: "
            "check what sets the optimizer's rate"
        )
        return self._say("jump", message, sample, step, rate, state, None)

    def _usual_again(self, state: ScheduleState) -> bool:
        """Where no schedule is known: the last logs are above 0, not above what is declared, and without a leap."""
        last = state.rates[-CALM:]
        if len(last) < CALM or min(last) <= ZERO or max(last) >= 1.5 * min(last):
            return False
        return self._declared_peak is None or max(last) <= 1.5 * self._declared_peak

    def _say(
        self,
        shape: str,
        message: str,
        sample: Sample,
        step: int,
        rate: float,
        state: ScheduleState,
        band: tuple[float, float] | None,
    ) -> Finding:
        evidence: dict[str, Any] = {"shape": shape, "learning_rate": rate, "planned_steps": state.planned}
        if band is not None:
            evidence |= {"expected_low": band[0], "expected_high": band[1]}
        if state.resumed_from is not None:
            evidence |= {"resumed_from": state.resumed_from, "learning_rate_before": state.rate_before}
        return self.finding(message, step=step if sample.step is not None else None, evidence=evidence)
