"""RUN027: a reward that falls and stays, or that has no spread."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.signals.curves import Curve, Record
from tests.signals.trend_curves import grpo_dips, grpo_falls, grpo_learns, grpo_solves, grpo_sparse, grpo_without_spread
from tests.signals.trend_help import claims, false_alarms, made, recall, same_after_restart, stands_anything, watched
from trainguard.signals.reward_collapse import RewardCollapse

SEEDS = range(20)


def rewarded(values: list[float], spread: list[float] | float = 0.2, *, noise: float = 0.02, **more: Any) -> Curve:
    rng = Random(3)
    spreads = [spread] * len(values) if isinstance(spread, float) else spread
    records: list[Record] = [
        {
            "step": i + 1,
            "loss": 0.0,
            "reward": value + (rng.gauss(0, noise) if spreads[i] else 0.0),
            "reward_std": spreads[i],
        }
        for i, value in enumerate(values)
    ]
    return Curve(records=records, method="grpo", declared=more)


UP = [0.1 + 0.7 * i / 40 for i in range(40)]


def test_collapses_are_found() -> None:
    assert all(share >= 0.95 for share in recall(RewardCollapse, SEEDS).values()), recall(RewardCollapse, SEEDS)


def test_healthy_runs_are_left_alone() -> None:
    assert false_alarms(RewardCollapse, SEEDS) == []


def test_a_loss_of_zero_with_a_moving_reward_is_healthy() -> None:
    assert watched(RewardCollapse, rewarded(UP)) == []


@pytest.mark.parametrize("shift", [0.0, -1.0, -5.0, 10.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
def test_a_fall_that_stays_whatever_the_scale(shift: float, scale: float) -> None:
    values = [(value + shift) * scale for value in UP + [0.1] * 20]
    said = watched(RewardCollapse, rewarded(values, noise=0.02 * scale))
    assert [finding.severity for _, finding in said] == ["warn"]
    assert 43 <= said[0][0] <= 47
    assert said[0][1].step == said[0][0] + 1


@pytest.mark.parametrize("dip", [1, 3, 5])
def test_a_dip_that_recovers_is_healthy(dip: int) -> None:
    assert watched(RewardCollapse, rewarded(UP + [0.1] * dip + [0.8] * 30)) == []


def test_it_is_said_again_after_a_recovery() -> None:
    assert len(claims(RewardCollapse, rewarded(UP + [0.1] * 30))) == 1
    assert len(claims(RewardCollapse, rewarded(UP + [0.1] * 20 + [0.8] * 20 + [0.1] * 20))) == 2


def test_no_spread_from_the_start() -> None:
    assert claims(RewardCollapse, rewarded([0.5] * 20, 0.0)) == [3]
    # A hard task may have no hit at first.
    assert claims(RewardCollapse, rewarded([0.0] * 20, 0.0)) == [11]
    coarse = rewarded([0.0] * 20, 0.0)
    for record in coarse.records:
        record["step"] *= 10
    assert claims(RewardCollapse, coarse) == [5]


def test_no_spread_later() -> None:
    assert claims(RewardCollapse, rewarded(UP + [0.2] * 20, [0.2] * 40 + [0.0] * 20))[0] <= 44


def test_everything_solved_is_a_remark_for_some_time() -> None:
    solved = rewarded(UP + [1.0] * 11, [0.2] * 40 + [0.0] * 11)
    assert [finding.severity for _, finding in watched(RewardCollapse, solved)] == ["info"]
    for seed in range(10):
        assert {finding.severity for _, finding in watched(RewardCollapse, made(grpo_solves, seed))} == {"info", "warn"}


def test_rewards_that_are_mostly_zero() -> None:
    rng = Random(4)
    values = [rng.choice([0.0, 0.0, 0.0, 0.25, 0.5]) if i < 25 else rng.choice([0.0, 0.0, 0.25]) for i in range(60)]
    assert claims(RewardCollapse, rewarded(values, noise=0.0)) == []


def test_the_share_of_prompts_without_spread() -> None:
    curve = rewarded([0.3] * 30)
    for record in curve.records[20:]:
        record["frac_reward_zero_std"] = 1.0
        record["reward_std"] = 0.3  # over all prompts, which differ
    assert claims(RewardCollapse, curve)
    for record in curve.records[20:]:
        record["frac_reward_zero_std"] = 0.75
    assert claims(RewardCollapse, curve) == []


def test_groups_without_a_hit_are_chance() -> None:
    assert all(claims(RewardCollapse, made(grpo_sparse, seed)) == [] for seed in range(30))


def test_new_prompts_have_their_own_level() -> None:
    curve = rewarded(UP + [0.1] * 30)
    records = [*curve.records[:40], {"event": "file", "name": "harder.jsonl"}, *curve.records[40:]]
    assert watched(RewardCollapse, Curve(records=records, method="grpo")) == []


def test_other_methods_are_not_asked() -> None:
    curve = rewarded([0.5] * 30, 0.0)
    curve.method = "dpo"
    assert watched(RewardCollapse, curve) == []


@pytest.mark.parametrize("maker", [grpo_falls, grpo_without_spread])
def test_a_restart_changes_nothing(maker: Any) -> None:
    same_after_restart(RewardCollapse, made(maker, 2))


@pytest.mark.parametrize("maker", [grpo_falls, grpo_learns, grpo_dips, grpo_sparse])
def test_hostile_records(maker: Any) -> None:
    stands_anything(RewardCollapse, made(maker, 1))
