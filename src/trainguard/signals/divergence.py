"""RUN003: the loss leaves its level upwards."""

from __future__ import annotations

import math
from itertools import pairwise

from msgspec.structs import replace

from trainguard.findings import Finding, Severity
from trainguard.signals._points import NEVER, at_step, counted_step, number, repeated, where
from trainguard.signals._robust import bounded, halved, median, noise, push, trend_z
from trainguard.signals._spikes import LN_VOCABULARY, RISE, Bar, climbs, level_of, log_spread_of, spread_of
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

_WINDOW = 16  # points of which the median is the level
_LEAST = 8  # as many are needed to know level and noise
_RECENT = 6
_BLOCK = 3  # points of which a block of the history is the median, at first
_BLOCKS = 32
_START = 30  # points of a run that count as its start
# Points after the start, a warm-up or a restart of the schedule in which a bump is usual.
_BUMP = 20
# A loss that is so many scales up and multiplies from point to point does not come back.
_RUNAWAY, _MULTIPLIES = 10.0, 1.3
# A level of nearly 0 is no scale: a memorised set's loss may go from 0.02 to 0.2 and mean nothing.
_SHARE_OF_FIRST = 0.3
# What a preference loss is where nothing is known: -log sigmoid(0) for DPO and reward models, KTO's 1 - sigmoid(0).
_KNOWS_NOTHING = {"dpo": math.log(2), "reward": math.log(2), "kto": 0.5}
# GRPO: a KL divergence to the reference from which the policy is another model. trl 1.16 (grpo_trainer.py) logs its
# k3 estimate exp(d) - d - 1, single values of which are thousands now and then.
_KL_FLOOR = 1.0
_KL_RATIO = 10.0
# A learning rate that jumps by this factor is a restart of its schedule, after which the loss may rise for a while.
_RESTART = 1.5


class DivergenceState(State, frozen=True, kw_only=True):
    step: int | None = None
    counted: int = NEVER
    every: int = 0  # steps between points
    points: int = 0  # since the start, a resume or a new file
    start: tuple[float, ...] = ()  # the first 6 values
    usual: tuple[float, ...] = ()  # the last values that are no spike
    raised: tuple[float, ...] = ()  # values in a row that may become one
    recent: tuple[float, ...] = ()  # the last values, whatever they are
    blocks: tuple[float, ...] = ()
    stride: int = _BLOCK
    pending: int = 0
    rate: float | None = None
    warming: bool = False  # the learning rate is still rising
    bump: int = _BUMP  # points up to which a bump is usual
    # The episode: since which point and step, above which level, with which noise.
    open: bool = False
    since: int = 0
    since_step: int | None = None
    level: float = 0.0
    scale: float = 0.0
    spread: float = 0.0
    peak: float = 0.0
    back: int = 0
    failed: bool = False  # it was said to be an error


class Divergence(Signal[DivergenceState]):
    """The loss leaves its level upwards: a spike, a slow rise, or a start that goes up.

    *What it sees*
    Against the median and the noise of its own last points: a few points in a row far above them, or one that is
    farther still (`warn`); a level that rises for a long time above the best one, by a robust trend (`warn`); first
    points that climb instead of falling (`warn`). `error` when after a patience the loss has come back less than
    half-way and is not on its way, or the run ends so. GRPO's loss is no level: there `kl` is looked at.

    *Why it costs you*
    After a loss has left for good, every hour is lost, and the checkpoints get worse, while the save limit deletes
    the good ones.

    *What it is not*
    One odd batch, noise of any size that the run has always had, a new data file, a resume, the bump of a warm-up or
    of a schedule's restart. A spike that recovers needs nothing done: it is said and left alone (Chowdhery et al.
    2022, "PaLM", section 5.1, saw some twenty in a run). NaN is RUN001; a rising `eval_loss` beside a falling loss is
    RUN005.

    *What to do*
    Go back to a checkpoint from before it, with a lower `learning_rate`, more `warmup_steps` and `max_grad_norm=1.0`,
    and skip the batches around it.
    """

    code = "RUN003"
    name = "divergence"
    severity = "warn"
    state_type = DivergenceState
    thresholds = (
        Threshold(
            key="spike",
            default=1.0,
            unit="factor",
            about="multiplies how far above level and noise a spike has to be: 2 levels and 18 standard deviations for "
            "one point, 0.8 and 6 (or 0.4 and 10) for two, 0.5 and 4 (or 0.3 and 8) for three, 0.35 and 3 for five",
            source="measured: seeded curves with normal, heavy-tailed, skewed and drifting noise of 1 to 60 %",
        ),
        Threshold(
            key="slow_rise",
            default=0.2,
            unit="share of the best level",
            about="a rise of the level over at least 6 blocks of the history",
            source="measured: data that come in an order make the level swing by up to 0.15",
        ),
        Threshold(
            key="patience",
            default=12,
            unit="logged points",
            about="how long a loss may stay up before it is said not to recover; half as much again where nearly "
            "every step is logged",
            source="choice: a spike that halves every 6 points has by then come back by three quarters; measured: no "
            "error on 1,200 seeded spikes that recover",
        ),
    )

    def step(self, state: DivergenceState, sample: Sample) -> tuple[DivergenceState, tuple[Finding, ...]]:
        step = at_step(state.step, sample)
        kind = sample.kind
        if kind in {"start", "resume", "file"}:
            return DivergenceState(step=step, every=state.every, rate=state.rate), ()
        if kind in {"end", "summary"}:
            return self._ended(replace(state, step=step))
        value = self._value(sample)
        if kind != "metrics" or value is None or repeated(state.counted, sample):
            return replace(state, step=step), ()
        counted = counted_step(sample)
        if NEVER < counted < state.counted:  # back at an earlier step without a word: a resume
            state = DivergenceState()
        every = counted - state.counted if NEVER < state.counted < counted else state.every
        state = replace(
            state,
            step=step,
            counted=counted,
            every=every,
            points=state.points + 1,
            recent=push(state.recent, value, _RECENT),
            start=state.start if len(state.start) >= _RECENT else (*state.start, value),
        )
        state = _with_rate(state, sample.finite("learning_rate"))
        if state.open:
            return self._in_episode(state, value)
        return self._quiet(state, value)

    def _value(self, sample: Sample) -> float | None:
        """The value that is watched; None where RUN001 has to speak: NaN, or the 0.0 that the Trainer puts there."""
        norm = sample.value("grad_norm")
        if self.run.method == "grpo":
            value = sample.finite("kl")
        else:
            value = sample.finite("loss")
            if value == 0.0:
                return None
        return None if value is None or (norm is not None and math.isnan(norm)) else bounded(value)

    # -- quiet: is this a beginning? --

    def _quiet(self, state: DivergenceState, value: float) -> tuple[DivergenceState, tuple[Finding, ...]]:
        # No spike is below the window's last quarter, which the level is never above: most points cost no more.
        if len(state.usual) >= _LEAST and value > max(state.usual[-(_LEAST // 4) :]):
            level, spread, excursion = level_of(state.usual)
            bar = Bar(
                level=level,
                scale=self._scale(state, level),
                spread=spread,
                excursion=excursion,
                floor=self._floor(state, level, spread),
                factor=self.threshold("spike"),
                log_spread=log_spread_of(state.usual),
            )
            raised = (*state.raised, value)
            # Single values of a KL estimate or of a preference loss with much noise say nothing.
            least = 3 if self.run.method == "grpo" or bar.floor > -math.inf else 1
            if bar.is_spike(raised, least=least):
                opened = self._opened(state, level=level, scale=bar.scale, spread=bar.spread, length=len(raised))
                return opened, (self._spike(opened),)
            settled = not state.warming and state.points > state.bump
            if settled and self.run.method != "grpo" and bar.is_rise(raised):
                opened = self._opened(state, level=level, scale=bar.scale, spread=bar.spread, length=len(raised))
                return opened, (self._rise(opened, value, len(raised)),)
            if bar.may_become(value) and len(raised) < RISE[0] + 2:
                return replace(state, raised=raised), ()
        if state.raised:
            for each in state.raised:
                state = _remembered(state, each)
            state = replace(state, raised=())
        state = _remembered(state, value)
        if self.run.method == "grpo":
            return state, ()
        if state.points <= _START:
            low = climbs(state.start, state.recent[-5:], state.blocks, rate=state.rate, floor=self._floor(state))
            if low is not None:
                scale = self._scale(state, low)
                opened = self._opened(state, level=low, scale=scale, spread=0.05 * scale, length=4)
                return opened, (self._climb(opened),)
        if state.pending == 0 and len(state.blocks) >= _RECENT:
            return self._slow(state)
        return state, ()

    def _scale(self, state: DivergenceState, level: float) -> float:
        if self.run.method == "grpo":
            return max(_KL_RATIO * abs(level), _KL_FLOOR)
        return max(abs(level), _SHARE_OF_FIRST * abs(median(state.start[:3])))

    def _floor(self, state: DivergenceState, level: float = 0.0, spread: float | None = None) -> float:
        """What a value has to be above in any case: a preference loss that varies much, what knows nothing gives."""
        nothing = _KNOWS_NOTHING.get(self.run.method)
        if nothing is None or (spread is not None and spread < 0.1 * abs(level)):
            return -math.inf
        return 1.25 * max(nothing, median(state.start[:3]))

    def _slow(self, state: DivergenceState) -> tuple[DivergenceState, tuple[Finding, ...]]:
        blocks = state.blocks
        best = min(range(len(blocks)), key=blocks.__getitem__)
        since = blocks[best:]
        # The lowest of many is low by chance, too; with its neighbours less so.
        low, now = median(blocks[max(best - 1, 0) : best + 2]), median(blocks[-2:])
        scale = self._scale(state, low)
        # At the start, and while the learning rate still rises, a bump is usual.
        early = best <= 1 or state.warming
        spread = spread_of(state.usual, median(state.usual))
        jitter = max(noise(blocks), 0.6 * spread / math.sqrt(state.stride))
        least = (2 if early else 1) * self.threshold("slow_rise") * scale
        if (
            len(since) < _RECENT
            or now - low < max(least + 2 * jitter, 5 * jitter)
            or now < self._floor(state, low, spread)
            or now - low < 0.9 * (max(since) - low)
            or trend_z(since) < 2.5
        ):
            return state, ()
        opened = self._opened(state, level=low, scale=scale, spread=spread, length=1)
        return opened, (self._rise(opened, now, (len(since) - 1) * state.stride),)

    # -- an episode: does it recover? --

    def _opened(
        self, state: DivergenceState, *, level: float, scale: float, spread: float, length: int
    ) -> DivergenceState:
        since = max(state.points - length + 1, 1)
        step = state.step
        return replace(
            state,
            open=True,
            since=since,
            since_step=None if step is None else max(step - (length - 1) * state.every, 0),
            level=level,
            scale=scale,
            spread=spread,
            peak=max(state.recent[-length:]),
            back=0,
            raised=(),
            failed=False,
        )

    def _in_episode(self, state: DivergenceState, value: float) -> tuple[DivergenceState, tuple[Finding, ...]]:
        length = state.points - state.since + 1
        now = median(state.recent[-3:])
        state = replace(state, peak=max(state.peak, now))
        near = state.level + max(3 * state.spread, 0.25 * (state.peak - state.level), 0.1 * state.scale)
        back = state.back + 1 if value <= near else 0
        if back >= 3:
            # It is back, or nearly: what follows is judged by a level that is learnt anew, not by the one before the
            # spike, above which the rest of the way down would be another.
            return replace(state, open=False, back=0, usual=(), blocks=(), stride=_BLOCK, pending=0), ()
        state = replace(state, back=back)
        if state.failed or back or not self._stays(state, now, length):
            return state, ()
        return replace(state, failed=True), (self._failed(state, now, length),)

    def _stays(self, state: DivergenceState, now: float, length: int) -> bool:
        last = state.recent[-3:]
        if last[0] - state.level > _RUNAWAY * state.scale and all(b > _MULTIPLIES * a for a, b in pairwise(last)):
            return True
        patience = self.threshold("patience") * (1.5 if state.every == 1 else 1.0)
        if length < patience or len(state.recent) < _RECENT:
            return False
        excess, peak = now - state.level, state.peak - state.level
        if excess < max(0.5 * peak, self._least_excess(state), 3 * noise(state.recent)):
            return False
        earlier = median(state.recent[:3])
        return earlier - now < 0.05 * peak  # not on its way down

    def _least_excess(self, state: DivergenceState) -> float:
        # The first points are few, and may lie low by chance: such a level has to be left by as much again.
        uncertain = state.since <= 3 and state.level < LN_VOCABULARY
        return (5 if uncertain else 2) * self.threshold("slow_rise") * state.scale

    def _ended(self, state: DivergenceState) -> tuple[DivergenceState, tuple[Finding, ...]]:
        length = state.points - state.since + 1
        if not state.open or state.failed or state.back or length < _LEAST:
            return state, ()
        now = median(state.recent[-3:])
        excess = now - state.level
        if excess < 0.7 * (state.peak - state.level) or excess < self._least_excess(state):
            return state, ()
        return replace(state, failed=True), (self._failed(state, now, length),)

    # -- what is said --

    @property
    def _metric(self) -> str:
        return "kl" if self.run.method == "grpo" else "loss"

    def _say(self, state: DivergenceState, kind: str, message: str, severity: Severity) -> Finding:
        evidence = {
            "kind": kind,
            "metric": self._metric,
            "value": state.recent[-1],
            "level": state.level,
            "noise": state.spread,
            "since_step": state.since_step,
        }
        return self.finding(message, step=state.step, severity=severity, evidence=evidence)

    def _spike(self, state: DivergenceState) -> Finding:
        return self._say(
            state,
            "spike",
            f"{self._metric} is {number(state.recent[-1])}{where(state.step)}, its level was {number(state.level)} "
            f"(noise {number(state.spread)}): a spike, which often recovers by itself; if it does not, go back to a "
            "checkpoint from before it with a lower learning_rate and max_grad_norm=1.0",
            "warn",
        )

    def _climb(self, state: DivergenceState) -> Finding:
        return self._say(
            state,
            "climb",
            f"{self._metric} climbs from its start: {number(state.recent[-1])}{where(state.step)}, after "
            f"{number(state.level)} at first; learning_rate is too high for this model, or there is no warm-up: lower "
            "it 3 to 10 times, and set warmup_steps",
            "warn",
        )

    def _rise(self, state: DivergenceState, now: float, points: int) -> Finding:
        return self._say(
            state,
            "slow",
            f"{self._metric} has been rising for about {points} points, from {number(state.level)} to {number(now)}"
            f"{where(state.step)}: a slow divergence; lower learning_rate, and go on from the checkpoint with the "
            "lowest loss",
            "warn",
        )

    def _failed(self, state: DivergenceState, now: float, length: int) -> Finding:
        since = "" if state.since_step is None else f" (since step {state.since_step})"
        return self._say(
            state,
            "not-recovered",
            f"{self._metric} is {number(now)}{where(state.step)} and has not come back to its level of "
            f"{number(state.level)} in {length} points{since}: it diverged; go back to a checkpoint from before it, "
            "with a lower learning_rate, more warmup_steps and max_grad_norm=1.0",
            "error",
        )


def _remembered(state: DivergenceState, value: float) -> DivergenceState:
    """The windows and the history with one more value that is no spike."""
    pending = state.pending + 1
    if pending < state.stride:
        return replace(state, usual=push(state.usual, value, _WINDOW), pending=pending)
    state = replace(state, usual=push(state.usual, value, _WINDOW), pending=pending)
    blocks = (*state.blocks, median(state.usual[-min(state.stride, _WINDOW) :]))
    stride = state.stride * 2 if len(blocks) > _BLOCKS else state.stride
    return replace(state, blocks=halved(blocks, _BLOCKS), stride=stride, pending=0)


def _with_rate(state: DivergenceState, rate: float | None) -> DivergenceState:
    """Follows the learning rate: a jump up begins a new history, since the loss may rise after it."""
    if rate is None:
        return state
    rate = bounded(rate)
    before = state.rate
    warming = before is not None and rate > before * (1 + 1e-9)
    if warming:
        state = replace(state, bump=max(state.bump, state.points + _BUMP // 2))
    if before is not None and state.points > _LEAST and 0 < before * _RESTART < rate:
        return replace(state, rate=rate, warming=False, bump=state.points + _BUMP, blocks=(), stride=_BLOCK, pending=0)
    return replace(state, rate=rate, warming=warming)
