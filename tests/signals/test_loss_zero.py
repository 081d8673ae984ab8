"""RUN018: a loss of 0 that no model has earned."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tests.signals.curves import HEALTHY, Curve, finetune
from tests.signals.trend_help import same_after_restart, stands_anything, watched
from trainguard.signals.loss_zero import LossZero

FINE = ((2.1, 1.0), (2.0, 1.2), (1.9, 0.9), (2.0, 1.1), (1.95, 0.8), (1.9, 1.3))


def run(*points: tuple[Any, Any], method: Any = "sft", more: dict[str, Any] | None = None, **declared: Any) -> Curve:
    records = [
        {"step": 10 * (i + 1), "loss": loss} | ({} if norm is None else {"grad_norm": norm}) | (more or {})
        for i, (loss, norm) in enumerate(points)
    ]
    return Curve(records=records, declared=declared, method=method)


def said(curve: Curve) -> list[int]:
    return [index for index, _ in watched(LossZero, curve)]


@pytest.mark.parametrize("norm", [0.0, 0.4, None])
def test_a_loss_that_jumps_to_0(norm: float | None) -> None:
    ((index, finding),) = watched(LossZero, run(*FINE, *((0.0, norm),) * 5))
    assert index == len(FINE) + 2
    assert (finding.code, finding.severity, finding.evidence["points"]) == ("RUN018", "warn", 3)
    assert finding.evidence["level_before"] == pytest.approx(1.95)
    assert ("logging_nan_inf_filter" in finding.message) == (norm is None)


def test_from_the_first_point_on() -> None:
    assert said(run(*((0.0, 0.0),) * 6)) == [2]


def test_near_0_with_the_norm_at_the_clip_value() -> None:
    fall = ((0.8, 1.0), (0.2, 1.0), (0.03, 1.0), (0.004, 1.0), (0.0006, 1.0), (0.0001, 1.0))
    assert said(run(*FINE, *fall, max_grad_norm=1.0)) == [len(FINE) + 4]
    # Declared: one point fewer than it takes to see that the norm repeats itself.
    late = ((0.03, 1.7), (0.004, 1.0), (0.0006, 1.0), (0.0001, 1.0), (0.0001, 1.0))
    assert said(run(*FINE, *late, max_grad_norm=1.0)) == [len(FINE) + 3]
    assert said(run(*FINE, *late)) == [len(FINE) + 4]
    # Not declared: the norm repeats itself.
    repeats = tuple((loss, 0.3000001) for loss, _ in fall)
    assert said(run(*FINE, *repeats)) == [len(FINE) + 4]


def test_a_set_learnt_by_heart_is_healthy() -> None:
    rng = Random(5)
    points = [(2.0 * math.exp(-i / 8) + 0.0005, 2.0 * math.exp(-i / 10) * rng.uniform(0.7, 1.4)) for i in range(120)]
    assert said(run(*points)) == []
    # Rounded to 4 decimals, as older Trainers log: some 0.0 among 0.0001, and at last a while of nothing else.
    rounded = [(round(0.01 * 0.8**i, 4), 0.01 * rng.random()) for i in range(32)]
    assert said(run(*FINE, *rounded)) == []


def test_a_long_zero_from_below_is_said_late() -> None:
    rounded = [(round(0.01 * 0.8**i, 4), 0.01 + 0.001 * i) for i in range(60)]
    first_zero = next(i for i, (loss, _) in enumerate(rounded) if loss == 0)
    assert said(run(*FINE, *rounded)) == [len(FINE) + first_zero + 14]


def test_nan_is_left_to_run001() -> None:
    assert said(run(*FINE, *((0.0, math.nan),) * 5)) == []
    assert said(run(*FINE, *((0.0, math.inf),) * 5)) == []


def test_one_batch_without_a_label_is_no_episode() -> None:
    assert said(run(*FINE, (0.0, 0.0), (0.0, 0.0), *FINE)) == []


def test_a_preference_that_is_solved() -> None:
    zeros = ((0.0, 0.0001),) * 6
    assert said(run(*FINE, *zeros, method="dpo", more={"rewards/margins": 14.0, "rewards/accuracies": 1.0})) == []
    assert said(run(*FINE, *zeros, method="dpo", more={"rewards/margins": 0.01, "rewards/accuracies": 0.0})) != []


def test_grpo_is_not_asked() -> None:
    assert "grpo" not in LossZero.methods


@pytest.mark.parametrize("maker", HEALTHY)
def test_healthy_curves(maker: Any) -> None:
    for seed in range(12):
        assert watched(LossZero, maker(Random(seed))) == [], seed


def test_once_and_again_after_it_recovered() -> None:
    zeros = ((0.0, 1.0),) * 6
    assert said(run(*FINE, *zeros, (0.0, 1.0), *zeros)) == [len(FINE) + 2]
    assert said(run(*FINE, *zeros, *FINE, *zeros)) == [8, 20]


def test_a_restart_changes_nothing_and_it_stands_anything() -> None:
    same_after_restart(LossZero, run(*FINE, *((0.0, 1.0),) * 6, *FINE, *((0.0, 1.0),) * 6))
    stands_anything(LossZero, finetune(Random(3)))
