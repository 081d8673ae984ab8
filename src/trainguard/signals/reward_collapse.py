"""RUN027: the reward falls and stays down, or its spread is 0."""

from __future__ import annotations

import math
from itertools import pairwise

from msgspec.structs import replace

from trainguard.findings import Finding
from trainguard.signals._robust import bounded, mad, median, noise, push
from trainguard.signals._trend import plain, same_step, shown, step_of
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Sample

# The latest rewards that are remembered, and how many in a row make a level.
_WINDOW, _LEVEL = 60, 8
# Rewards before a fall by which it is judged how much the level wanders.
_WANDER = 40
# Rewards of one prompt that differ by less are the same: float32 sums of rewards about 1 (2^-24 is 6e-8).
_SAME = 1e-6


class RewardCollapseState(State, frozen=True, kw_only=True):
    """`rewards`: the latest; `start`, `best`: the first level and the highest; `flat`: logs in a row without spread,
    `flat_before` and `spread_before` logs without and with it before these."""

    rewards: tuple[float, ...] = ()
    start: float | None = None
    best: float | None = None
    best_step: int | None = None
    low: int = 0
    fell_said: bool = False
    back: int = 0
    flat: int = 0
    flat_before: int = 0
    spread_before: int = 0
    flat_said: str | None = None
    last_step: int | None = None


class RewardCollapse(Signal[RewardCollapseState]):
    """The reward falls from its level and stays down, or all answers to a prompt get the same reward.

    *What it sees*: the last rewards all lie far below the highest level that the run has had, by many times the noise,
    and for longer than a dip lasts. Or `reward_std` is 0 (`frac_reward_zero_std` is 1) for longer than chance explains:
    then every advantage is 0 and nothing is learnt.

    *Why it costs you*: GRPO generates its data with the model that it trains. A model that has collapsed gives itself
    nothing to learn from, and the run goes on at full cost.

    *What it is not*: a loss of 0.0, which GRPO has by construction while the reward moves; a dip that recovers; a
    hard task with an all-zero group now and then. A spread of 0 because everything is solved is `info` at first.

    *What to do*: go back to the checkpoint of the best reward; a lower `learning_rate`, a higher `beta`. With a spread
    of 0: more `num_generations`, a higher `temperature`, a reward function with steps between right and wrong.
    """

    code = "RUN027"
    name = "reward-collapse"
    severity = "warn"
    methods = frozenset({"grpo"})
    state_type = RewardCollapseState
    thresholds = (
        Threshold(
            key="points",
            default=6,
            unit="logged points",
            about="rewards in a row that are far down",
            source="measured: dips of synthetic runs that recover last up to 5 logged points",
        ),
        Threshold(
            key="noises",
            default=4.0,
            unit="standard deviations of the rewards' noise from point to point",
            about="how far below the highest level is far down",
            source="four standard deviations: one in 30,000 by chance for one point of normal noise",
        ),
        Threshold(
            key="drop",
            default=0.4,
            unit="share of the highest level; half as much again, of the rise to it, where that is clear",
            about="how far below the highest level is far down",
            source="measured: the level of synthetic healthy runs wanders by up to a quarter",
        ),
        Threshold(
            key="zero_spread",
            default=4,
            unit="logged points",
            about="points in a row without spread; more where single ones are frequent, or all rewards are 0 so far",
            source="measured: groups of 8 on a task solved in one of two tries have none once in 128",
        ),
    )

    def step(self, state: RewardCollapseState, sample: Sample) -> tuple[RewardCollapseState, tuple[Finding, ...]]:
        if sample.kind == "file":  # other prompts, another level
            return RewardCollapseState(), ()
        reward = sample.finite("reward")
        if sample.kind != "metrics" or same_step(state.last_step, sample):
            return state, ()
        step = step_of(sample)
        state = replace(state, last_step=step if step is not None else state.last_step)
        if reward is not None:
            state = self._followed(state, bounded(reward))
        state, said = self._spread(state, sample, reward)
        if said or reward is None:
            return state, said
        return self._level(state, bounded(reward))

    def _followed(self, state: RewardCollapseState, reward: float) -> RewardCollapseState:
        rewards = push(state.rewards, reward, _WINDOW)
        start, best, best_step = state.start, state.best, state.best_step
        if len(rewards) >= _LEVEL:
            level = median(rewards[-_LEVEL:])
            start = level if start is None else start
            if best is None or level > best:
                best, best_step = level, state.last_step
        return replace(state, rewards=rewards, start=start, best=best, best_step=best_step)

    def _spread(
        self, state: RewardCollapseState, sample: Sample, reward: float | None
    ) -> tuple[RewardCollapseState, tuple[Finding, ...]]:
        flat = _without_spread(sample)
        if flat is None:
            return state, ()
        if not flat:
            return (
                replace(
                    state,
                    flat=0,
                    flat_before=state.flat_before + state.flat,
                    spread_before=state.spread_before + 1,
                    flat_said=None,
                ),
                (),
            )
        state = replace(state, flat=state.flat + 1)
        if state.flat < self._flat_points(state, reward) or state.flat_said == "warn":
            return state, ()
        latest = state.rewards[-state.flat :] or (0.0,)
        # For some time that is a success; when it goes on and on, the rest of the run teaches nothing.
        solved = self._solved(state, latest) and state.flat < 3 * self.threshold("zero_spread")
        severity = "info" if solved else "warn"
        if state.flat_said == severity:
            return state, ()
        level = f"{shown(median(latest))}" if reward is not None else "not logged"
        why = (
            "every answer gets the highest reward so far, and nothing is left to learn from these prompts"
            if solved
            else "all answers to a prompt get the same reward, so that every advantage is 0 and nothing is learnt"
        )
        said = self.finding(
            f"The reward has had no spread for {state.flat} logged points (reward {level}): {why}",
            step=state.last_step,
            severity="info" if solved else None,
            fix="Take harder prompts, or end here"
            if solved
            else "Raise `num_generations` or `temperature`, take prompts that the model solves now and then, and check "
            "that the reward function tells answers apart and the outputs are not all the same",
            evidence={
                "zero_spread_points": state.flat,
                "points_with_spread": state.spread_before,
                "reward": plain(median(latest)),
            },
        )
        return replace(state, flat_said=severity), (said,)

    def _flat_points(self, state: RewardCollapseState, reward: float | None) -> float:
        """How many points in a row without spread are no chance, from how often they came before."""
        least = self.threshold("zero_spread")
        seen = state.flat_before + state.spread_before
        # Rewards of 0 are what a hard task gives before its first hit, other equal ones are not.
        hard = reward is None or abs(reward) < _SAME
        if not seen:
            many_steps = (state.last_step or 0) >= 5 * state.flat
            return least if not hard else least + 2 if many_steps else 3 * least
        frequent = min(0.95, (state.flat_before + 2) / (seen + 4))
        return max(2 * least if hard else least, math.ceil(math.log(1e-4 if hard else 1e-3) / math.log(frequent)))

    def _solved(self, state: RewardCollapseState, latest: tuple[float, ...]) -> bool:
        if not state.spread_before or state.start is None or state.best is None:
            return False
        earlier = state.rewards[: -state.flat] or (state.start,)
        level = median(latest)
        return level >= max(earlier) - _SAME and level > state.start and level >= state.best - _SAME

    def _level(self, state: RewardCollapseState, reward: float) -> tuple[RewardCollapseState, tuple[Finding, ...]]:
        best, start = state.best, state.start
        if best is None or start is None:
            return state, ()
        spread = max(_noise(state.rewards), _wander(state.rewards[: len(state.rewards) - state.low]))
        rise = best - start
        # What there is to lose: the rise that the run has made where it is clear, else its level.
        whole, drop = (rise, 1.5 * self.threshold("drop")) if rise > 5 * spread else (abs(best), self.threshold("drop"))
        far = max(drop * whole, self.threshold("noises") * spread)
        if far <= 0:
            return state, ()
        if best - far < reward <= best - 0.7 * far and state.low:
            return state, ()  # on the border: neither proof nor recovery
        if reward > best - far:
            back = state.back + 1 if state.fell_said else 0
            if back >= self.threshold("points"):
                return replace(state, low=0, back=0, fell_said=False), ()
            return replace(state, low=0, back=back), ()
        state = replace(state, low=state.low + 1, back=0)
        latest = state.rewards[-state.low :]
        level = median(latest)
        # All that was gained is gone, or most of the level; else it has to stay for longer.
        lost = level <= start + 0.15 * rise if rise > 5 * spread else best - level >= 0.6 * whole
        needed = self.threshold("points") * (1 if lost else 2)
        if state.fell_said or state.low < needed:
            return state, ()
        # On its way back up: wait.
        half = len(latest) // 2
        if median(latest[half:]) > median(latest[:half]) + max(spread, 0.1 * whole):
            return state, ()
        where = f" at step {state.best_step}" if state.best_step is not None else ""
        said = self.finding(
            f"The reward has fallen from {shown(best)}{where} to {shown(level)} and has stayed there for {state.low} "
            "logged points: the policy has collapsed",
            step=state.last_step,
            fix="Go back to the checkpoint of the best reward, with a lower `learning_rate` or a higher `beta`",
            evidence={
                "best": plain(best),
                "level": plain(level),
                "start": plain(start),
                "noise": plain(spread),
                "points": state.low,
            },
        )
        return replace(state, fell_said=True), (said,)


def _noise(rewards: tuple[float, ...]) -> float:
    """The noise from point to point. Not by medians alone: rewards that are mostly 0 have none by them.

    The mean distance of two normal values is 2 / sqrt(pi) of their standard deviation.
    """
    if len(rewards) < 3:
        return 0.0
    moves = [abs(b - a) for a, b in pairwise(rewards)]
    return max(noise(rewards), math.sqrt(math.pi) / 2 * math.fsum(moves) / len(moves))


def _wander(rewards: tuple[float, ...]) -> float:
    """By how much the level wanders beside its trend, as a standard deviation.

    Prompts that come in order of their difficulty give rewards that hang together, and by their differences from point
    to point they would seem quiet. Of noise without memory, the means of 4 points have half of its spread; what they
    have more is the wandering. By the MAD of their differences, which one fall and one rise among them do not move.
    """
    latest = rewards[-_WANDER:]
    means = [math.fsum(latest[at : at + 4]) / 4 for at in range(len(latest) % 4, len(latest), 4)]
    return 2 * mad([b - a for a, b in pairwise(means)]) / math.sqrt(2) if len(means) >= 5 else 0.0


def _without_spread(sample: Sample) -> bool | None:
    """Whether no group of answers had a spread; None where the record does not say.

    `frac_reward_zero_std` is the share of prompts whose answers all got the same reward, `reward_std` the spread over
    all answers (trl 1.16, grpo_trainer.py): where either says that there is none, no advantage differs from 0.
    """
    share, spread = sample.finite("frac_reward_zero_std"), sample.finite("reward_std")
    if share is None and spread is None:
        return None
    return (share is not None and share >= 0.999) or (spread is not None and abs(spread) <= _SAME)
