"""RUN009: throughput has collapsed and stays down."""

from __future__ import annotations

import msgspec

from trainguard.findings import Finding
from trainguard.signals._robust import bounded, median, push, quantile
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Run, Sample

_WINDOW = 24
# Points that are needed before a level is known. The first is left out: it holds compilation and warm caches.
_LEVEL_POINTS = 5
# Points between two updates of the best level that the run has had.
_LEVEL_EVERY = 8


class SlowState(State, frozen=True, kw_only=True):
    """`mark` is where the running interval began, `paused` seconds in it that were no training.

    `steps_rate` and `tokens_rate` are the rates of healthy points (steps and tokens a second); `low` are the ratios of
    the points in a row that were slow.
    """

    step: int | None = None
    tokens: float | None = None
    mark: float | None = None
    pause_from: float | None = None
    skip: bool = True
    steps_rate: tuple[float, ...] = ()
    tokens_rate: tuple[float, ...] = ()
    best_steps: float = 0.0
    best_tokens: float = 0.0
    count: int = 0
    low: tuple[float, ...] = ()
    fine: int = 0
    since: int | None = None
    said: bool = False


class Slow(Signal[SlowState]):
    """The run has become much slower than it was.

    *What it sees*: tokens a second (as logged, or from num_tokens and the clock) and steps a second, without the time
    of evaluations and known saves; both, where both are known, below a share of the run's own level for several points.

    *Why it costs you*: a GPU that is shared or throttled, a data loader that starves or a slow disk multiplies the
    bill, and the job's time limit may come before the last step.

    *What it is not*: the slow first step, an evaluation, a save, a resume, another file, and longer sequences: there
    steps a second fall and tokens a second stay. Shorter ones: tokens a second fall and steps a second stay.

    *What to do*: look at the GPU's utilisation, clocks and other processes, at dataloader_num_workers and at the disk.
    """

    code = "RUN009"
    name = "slow"
    severity = "warn"
    thresholds = (
        Threshold(
            key="share",
            default=0.5,
            unit="share of the run's own throughput",
            about="below this a point is slow",
            source="convention: half; a GPU shared with another job loses about half",
        ),
        Threshold(
            key="points",
            default=3,
            unit="logged points",
            about="slow points in a row that are certain when all lie below half of `share`",
            source="measured: one or two slow points come with unannounced saves",
        ),
        Threshold(
            key="more_points",
            default=4,
            unit="logged points",
            about="slow points in a row otherwise",
            source="measured: as `points`, one more for what is closer to the level",
        ),
    )
    state_type = SlowState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        interval = run.count("logging_steps")
        every = [each for each in (run.count("save_steps"), run.count("eval_steps")) if each is not None]
        # a save in every interval is part of its time
        self._pauses = [each for each in every if interval is None or interval % each]
        self._interval = interval

    def step(self, state: SlowState, sample: Sample) -> tuple[SlowState, tuple[Finding, ...]]:
        t = sample.t
        if sample.kind in ("start", "resume", "file", "end"):
            return SlowState(mark=t, said=False), ()
        if sample.kind == "phase" and t is not None:
            if sample.phase == "train":
                return self._pause_over(state, t), ()
            return (msgspec.structs.replace(state, pause_from=t) if state.pause_from is None else state), ()
        if sample.kind == "evaluation":
            # its record comes at the end of the evaluation: the interval of the next steps begins here
            return msgspec.structs.replace(state, mark=t, pause_from=None, skip=state.skip or t is None), ()
        if sample.kind != "metrics":
            return state, ()
        if state.pause_from is not None and t is not None:
            # back from a pause whose end nobody told
            state = msgspec.structs.replace(state, pause_from=None, skip=True)
        return self._point(state, sample)

    def _pause_over(self, state: SlowState, t: float) -> SlowState:
        if state.pause_from is None or state.mark is None:
            return msgspec.structs.replace(state, pause_from=None)
        return msgspec.structs.replace(state, pause_from=None, mark=state.mark + max(0.0, t - state.pause_from))

    def _point(self, state: SlowState, sample: Sample) -> tuple[SlowState, tuple[Finding, ...]]:
        t, step = sample.t, sample.step
        before = state.step
        if step is None:
            step = before + (self._interval or 1) if before is not None else (self._interval or 1)
        tokens = sample.finite("num_tokens")
        given = sample.finite("tokens_per_second")
        steps_rate = tokens_rate = None
        seconds = t - state.mark if t is not None and state.mark is not None else None
        gap = step - before if before is not None else 0
        if seconds is not None and seconds > 0 and gap > 0:
            steps_rate = bounded(gap / seconds)
            more = tokens - state.tokens if tokens is not None and state.tokens is not None else None
            if more is not None and more > 0:
                tokens_rate = bounded(more / seconds)
            length = sample.finite("completion_length") or sample.finite("completions/mean_length")
            if tokens_rate is None and length is not None and length > 0:
                tokens_rate = bounded(gap * length / seconds)
        if given is not None and given >= 0:
            tokens_rate = bounded(given)
        duplicate = before is not None and step == before
        went_back = before is not None and step < before
        tainted = state.skip or went_back or (before is not None and self._paused_within(before, step))
        following = msgspec.structs.replace(
            state,
            step=step,
            tokens=bounded(tokens) if tokens is not None else None,
            mark=t if t is not None else state.mark,
            skip=False,
        )
        if duplicate or (steps_rate is None and tokens_rate is None):
            return following, ()
        if tainted:
            return following, ()
        return self._judge(following, sample, step, steps_rate, tokens_rate)

    def _paused_within(self, before: int, step: int) -> bool:
        """Whether a save or an evaluation came after the log at `before` and before that at `step`."""
        return any(before % each == 0 or before // each != (step - 1) // each for each in self._pauses)

    def _judge(
        self, state: SlowState, sample: Sample, step: int, steps_rate: float | None, tokens_rate: float | None
    ) -> tuple[SlowState, tuple[Finding, ...]]:
        share = self.threshold("share")
        by_steps = _ratio(steps_rate, state.steps_rate, state.best_steps)
        by_tokens = _ratio(tokens_rate, state.tokens_rate, state.best_tokens)
        known = [each for each in (by_steps, by_tokens) if each is not None]
        # the better of both: longer sequences make steps slower, shorter ones tokens
        ratio = max(known) if known else None
        slow = ratio is not None and ratio < share and _unusual(steps_rate, state.steps_rate)
        slow = slow and _unusual(tokens_rate, state.tokens_rate)
        if not slow:
            return self._healthy(state, steps_rate, tokens_rate, ratio), ()
        low = push(state.low, ratio or 0.0, 8)
        since = state.since if state.low else step
        state = msgspec.structs.replace(state, low=low, fine=0, since=since)
        needed = int(self.threshold("points" if max(low) < share / 2 else "more_points"))
        if state.said or len(low) < needed:
            return state, ()
        return msgspec.structs.replace(state, said=True), (self._say(state, sample, steps_rate, tokens_rate),)

    def _healthy(
        self, state: SlowState, steps_rate: float | None, tokens_rate: float | None, ratio: float | None
    ) -> SlowState:
        fine = state.fine + 1
        steps, tokens = state.steps_rate, state.tokens_rate
        if steps_rate is not None:
            steps = push(steps, steps_rate, _WINDOW)
        if tokens_rate is not None:
            tokens = push(tokens, tokens_rate, _WINDOW)
        count, best_steps, best_tokens = state.count + 1, state.best_steps, state.best_tokens
        if count % _LEVEL_EVERY == 0:
            best_steps = max(best_steps, median(steps[-_LEVEL_EVERY:]) if len(steps) >= _LEVEL_EVERY else 0.0)
            best_tokens = max(best_tokens, median(tokens[-_LEVEL_EVERY:]) if len(tokens) >= _LEVEL_EVERY else 0.0)
        over = state.said and fine >= int(self.threshold("points"))
        return msgspec.structs.replace(
            state,
            steps_rate=steps,
            tokens_rate=tokens,
            best_steps=best_steps,
            best_tokens=best_tokens,
            count=count,
            low=() if fine >= 2 or not state.low else state.low,
            fine=fine,
            said=state.said and not over,
        )

    def _say(
        self, state: SlowState, sample: Sample, steps_rate: float | None, tokens_rate: float | None
    ) -> Finding:
        by_tokens = tokens_rate is not None and len(state.tokens_rate) >= _LEVEL_POINTS
        unit = "tokens" if by_tokens else "steps"
        rate = tokens_rate if by_tokens else steps_rate
        level = median(state.tokens_rate if by_tokens else state.steps_rate)
        share = (rate or 0.0) / level if level > 0 else 0.0
        return self.finding(
            f"throughput has fallen to {rate or 0.0:.3g} {unit} a second, {share:.0%} of this run's {level:.3g}, for "
            f"{len(state.low)} logged points since step {state.since}: look for another process on the GPU, throttled "
            "clocks, starving data workers (dataloader_num_workers) or a slow disk",
            step=sample.step,
            evidence={"rate": rate, "usual_rate": level, "unit": f"{unit}/s", "ratio": share, "since_step": state.since},
        )


def _ratio(rate: float | None, window: tuple[float, ...], best: float) -> float | None:
    """The rate over the run's own level: the usual one, or the best that it held for some points."""
    if rate is None or len(window) < _LEVEL_POINTS:
        return None
    level = max(median(window), best)
    return rate / level if level > 0 else None


def _unusual(rate: float | None, window: tuple[float, ...]) -> bool:
    """Below nearly all that was healthy: noisy intervals have slow points of their own."""
    return rate is None or len(window) < _LEVEL_POINTS or rate < quantile(window, 0.05)
