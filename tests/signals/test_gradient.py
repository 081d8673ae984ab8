"""RUN020: a gradient norm of 0, one that vanishes, one that explodes, one that adds up."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tests.signals.curves import HEALTHY, Curve, finetune
from tests.signals.trend_help import same_after_restart, stands_anything, watched
from trainguard.signals.gradient import Gradient


def run(norms: list[float], *, losses: Any = 2.0, method: Any = "sft", every: int = 10, **declared: Any) -> Curve:
    rng = Random(len(norms))
    records = [
        {"step": every * (i + 1), "loss": (losses[i] if isinstance(losses, list) else losses) * rng.uniform(0.95, 1.05)}
        | {"grad_norm": norm}
        for i, norm in enumerate(norms)
    ]
    return Curve(records=records, method=method, declared=declared)


def usual(points: int, seed: int = 0) -> list[float]:
    rng = Random(seed)
    return [math.exp(rng.gauss(0, 0.3)) for _ in range(points)]


def kinds(curve: Curve) -> list[tuple[int, str]]:
    return [(index, finding.evidence["kind"]) for index, finding in watched(Gradient, curve)]


def test_a_norm_of_0_from_the_start() -> None:
    ((index, finding),) = watched(Gradient, run([0.0] * 20, peft=True))
    assert (index, finding.step, finding.severity) == (2, 30, "warn")
    assert "enable_input_require_grads" in finding.message


def test_a_norm_of_0_later_and_again() -> None:
    assert kinds(run([*usual(10), *[0.0] * 5, *usual(10), *[0.0] * 5])) == [(12, "zero"), (27, "zero")]
    assert kinds(run([*usual(10), 0.0, 0.0, *usual(10)])) == []


def test_equal_rewards_have_no_gradient() -> None:
    curve = run([0.0] * 20, losses=0.0, method="grpo")
    assert kinds(curve) == []
    for record in curve.records:
        record |= {"reward_std": 0.0, "frac_reward_zero_std": 1.0}
    assert kinds(curve) == []
    for record in curve.records:
        record |= {"reward_std": 0.3}
    assert kinds(curve) == []
    for record in curve.records:
        record |= {"reward_std": 0.3, "frac_reward_zero_std": 0.0}
    assert kinds(curve) == [(2, "zero")]


def test_a_loss_of_0_is_left_to_run018() -> None:
    assert kinds(run([0.0] * 20, losses=0.0)) == []


def test_exploding() -> None:
    curve = run([*usual(30), 80.0, 90.0, 120.0, 150.0, 90.0])
    assert kinds(curve) == [(32, "exploding")]
    # Below 30 times the median growth alone is enough, a level is not.
    assert kinds(run([*usual(30), 12.0, 14.0, 16.0, 18.0, 20.0])) == [(33, "exploding")]
    assert kinds(run([*usual(30), 12.0, 14.0, 12.0, 14.0, 12.0])) == []
    grows = run([*usual(30), *[2.0**i for i in range(1, 12)]])
    assert [kind for _, kind in kinds(grows)] == ["exploding"]
    assert kinds(grows)[0][0] <= 38


def test_single_high_points_are_what_clipping_is_for() -> None:
    norms = usual(100)
    norms[30], norms[31], norms[60] = 500.0, 800.0, 1e6
    assert kinds(run(norms)) == []


def test_small_norms_that_grow_harm_nobody() -> None:
    assert kinds(run([0.001 * norm for norm in usual(30)] + [0.1, 0.12, 0.14, 0.16, 0.18])) == []


def test_slowly_rising_norms_are_healthy() -> None:
    assert kinds(run([norm * 1.01**i for i, norm in enumerate(usual(300))])) == []


def test_infinite() -> None:
    assert kinds(run([*usual(10), math.inf], bf16=True)) == [(10, "infinite")]
    assert kinds(run([*usual(10), math.inf, *usual(5)])) == []
    assert kinds(run([*usual(10), math.inf, math.inf, math.inf])) == [(12, "infinite")]
    assert kinds(run([math.inf] * 5 + usual(20) + [math.inf] * 2 + usual(5), fp16=True)) == []
    assert kinds(run([*usual(20), *[math.inf] * 6], fp16=True)) == [(24, "infinite")]


def test_vanishing() -> None:
    norms = usual(20) + [0.7**i for i in range(40)]
    ((index, finding),) = watched(Gradient, run(norms))
    assert finding.evidence["kind"] == "vanishing"
    assert 30 <= index <= 42


def test_a_norm_that_falls_with_the_loss_is_healthy() -> None:
    norms = [norm * 0.9**i for i, norm in enumerate(usual(100))]
    assert kinds(run(norms, losses=[2.0 * 0.98**i for i in range(100)])) == []
    first_steps = [60.0, 30.0, 12.0, 6.0, 3.0, *usual(40)]
    assert kinds(run(first_steps, losses=[11.0, 10.0, 9.0, 8.0, *[6.0] * 41])) == []


def test_gradients_that_are_never_zeroed() -> None:
    adds = run([0.8 * (i + 1) * norm for i, norm in enumerate([1.0, 1.02, 0.99] * 10)], every=1)
    assert kinds(adds) == [(11, "adding-up")]
    # Not every step is in the log: a line through 0 means nothing.
    assert kinds(run([0.8 * (i + 1) for i in range(12)], every=10)) == []
    # A rise from a norm that is there from the start.
    assert kinds(run([1.0 + 0.1 * i for i in range(12)], every=1)) == []


@pytest.mark.parametrize("maker", HEALTHY)
def test_healthy_curves(maker: Any) -> None:
    for seed in range(12):
        assert watched(Gradient, maker(Random(seed))) == [], seed


def test_a_restart_changes_nothing_and_it_stands_anything() -> None:
    same_after_restart(Gradient, run([*usual(10), *[0.0] * 5, *usual(10), *[0.0] * 5]))
    same_after_restart(Gradient, run([*usual(30), 80.0, 90.0, 120.0, 150.0, 90.0]))
    same_after_restart(Gradient, run(usual(20) + [0.7**i for i in range(40)]))
    stands_anything(Gradient, finetune(Random(3)))
