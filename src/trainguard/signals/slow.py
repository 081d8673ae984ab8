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
_CERTAIN_POINTS = 5
# Points between two updates of the best level that the run has had.
_LEVEL_EVERY = 8


class SlowState(State, frozen=True, kw_only=True):
    """`mark` is where the running interval began, `pause_from` when a pause in it did.

    `rates` are those of healthy points, `best` the best level held for some points, by measure: steps a second, tokens
    a second from num_tokens, from the length of completions, and as logged. `low` are the ratios of slow points in a
    row.
    """

    step: int | None = None
    tokens: float | None = None
    mark: float | None = None
    pause_from: float | None = None
    skip: bool = True
    rates: dict[str, tuple[float, ...]] = msgspec.field(default_factory=dict)
    best: dict[str, float] = msgspec.field(default_factory=dict)
    count: int = 0
    low: tuple[float, ...] = ()
    fine: int = 0
    since: int | None = None
    since_t: float | None = None
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
        Threshold(
            key="lost_seconds",
            default=10,
            unit="seconds",
            about="time lost to it so far, where there is a clock",
            source="measured: tiny models on a shared CPU halve their pace for seconds at a time",
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
        tokens, length = sample.finite("num_tokens"), sample.finite("completion_length")
        if length is None:
            length = sample.finite("completions/mean_length")
        given = sample.finite("tokens_per_second")
        now: dict[str, float] = {}
        seconds = t - state.mark if t is not None and state.mark is not None else None
        gap = step - before if before is not None else 0
        if seconds is not None and seconds > 0 and gap > 0:
            now["steps"] = bounded(gap / seconds)
            more = tokens - state.tokens if tokens is not None and state.tokens is not None else None
            if more is not None and more > 0:
                now["tokens"] = bounded(more / seconds)
            if length is not None and length > 0:
                now["completion tokens"] = bounded(gap * length / seconds)
        if given is not None and given >= 0:
            now["logged tokens"] = bounded(given)
        went_back = before is not None and step < before
        tainted = state.skip or went_back or (before is not None and self._paused_within(before, step))
        following = msgspec.structs.replace(
            state,
            step=step,
            tokens=bounded(tokens) if tokens is not None else None,
            mark=t if t is not None else state.mark,
            skip=False,
        )
        if not now or tainted or step == before:
            return following, ()
        began = state.mark if seconds is not None else None
        return self._judge(following, sample, step, now, began)

    def _paused_within(self, before: int, step: int) -> bool:
        """Whether a save or an evaluation came after the log at `before` and before that at `step`."""
        return any(before % each == 0 or before // each != (step - 1) // each for each in self._pauses)

    def _judge(
        self, state: SlowState, sample: Sample, step: int, now: dict[str, float], began: float | None
    ) -> tuple[SlowState, tuple[Finding, ...]]:
        share = self.threshold("share")
        ratios = {
            name: ratio
            for name, rate in now.items()
            if (ratio := _ratio(rate, state.rates.get(name, ()), state.best.get(name, 0.0))) is not None
        }
        # the best of all measures: longer sequences make steps slower, shorter ones tokens
        ratio = max(ratios.values(), default=1.0)
        if ratio >= share or not all(_unusual(rate, state.rates.get(name, ())) for name, rate in now.items()):
            return self._healthy(state, now), ()
        low = push(state.low, ratio, 8)
        if not state.low:
            state = msgspec.structs.replace(state, since=step, since_t=began)
        state = msgspec.structs.replace(state, low=low, fine=0)
        needed = int(self.threshold("points" if max(low) < share / 2 else "more_points"))
        if state.said or len(low) < needed:
            return state, ()
        if state.since_t is not None and sample.t is not None:
            lost = (sample.t - state.since_t) * (1 - median(low))
            # of steps that take more than four times as long a tenth is enough: no neighbour does that for long
            certain = len(low) >= _CERTAIN_POINTS and median(low) < share / 2
            if lost < self.threshold("lost_seconds") * (0.1 if certain else 1.0):
                return state, ()
        name = max(ratios, key=ratios.__getitem__)
        return msgspec.structs.replace(state, said=True), (self._say(state, sample, name, now[name], ratio),)

    def _healthy(self, state: SlowState, now: dict[str, float]) -> SlowState:
        fine, count, best = state.fine + 1, state.count + 1, state.best
        rates = {name: push(state.rates.get(name, ()), rate, _WINDOW) for name, rate in now.items()}
        if count % _LEVEL_EVERY == 0:
            best = {
                name: max(best.get(name, 0.0), median(window))
                for name, window in rates.items()
                if len(window) == _WINDOW  # the best of few points would be the luckiest
            }
        over = state.said and fine >= int(self.threshold("points"))
        return msgspec.structs.replace(
            state,
            rates={**state.rates, **rates},
            best={**state.best, **best},
            count=count,
            low=(),
            fine=fine,
            said=state.said and not over,
        )

    def _say(self, state: SlowState, sample: Sample, name: str, rate: float, ratio: float) -> Finding:
        level = rate / ratio if ratio > 0 else median(state.rates.get(name, ()))
        return self.finding(
            f"throughput has fallen to {rate:.3g} {name} a second, {ratio:.0%} of this run's {level:.3g}, for "
            f"{len(state.low)} logged points since step {state.since}: look for another process on the GPU, throttled "
            "clocks, starving data workers (dataloader_num_workers) or a slow disk",
            step=sample.step,
            evidence={"measure": name, "rate": rate, "usual_rate": level, "ratio": ratio, "since_step": state.since},
        )


def _ratio(rate: float, window: tuple[float, ...], best: float) -> float | None:
    """The rate over the run's own level: the usual one, or the best that it held for some points."""
    if len(window) < _LEVEL_POINTS:
        return None
    level = max(median(window), best)
    return rate / level if level > 0 else None


def _unusual(rate: float, window: tuple[float, ...]) -> bool:
    """Below nearly all that was healthy: noisy intervals have slow points of their own."""
    return len(window) < _LEVEL_POINTS or rate < quantile(window, 0.05)
