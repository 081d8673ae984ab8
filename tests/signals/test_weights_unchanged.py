"""RUN021: steps that change nothing."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.signals.curves import HEALTHY, Curve, finetune
from tests.signals.trend_help import same_after_restart, stands_anything, watched
from trainguard.signals.weights_unchanged import WeightsUnchanged


def run(points: int, *, method: Any = "sft", rates: Any = None, **values: Any) -> Curve:
    rng = Random(points)
    records = [
        {"step": i + 1, "loss": 2.0 + rng.random(), "grad_norm": 1.0, "learning_rate": rates[i] if rates else 1e-4}
        | {key: value[i] if isinstance(value, list) else value for key, value in values.items()}
        for i in range(points)
    ]
    return Curve(records=records, method=method)


def said(curve: Curve) -> list[int]:
    return [index for index, _ in watched(WeightsUnchanged, curve)]


@pytest.mark.parametrize("key", ["weights_changed_share", "weights_changed"])
def test_no_weight_changes(key: str) -> None:
    ((index, finding),) = watched(WeightsUnchanged, run(10, **{key: 0.0}))
    # The first point has no look before it at a rate that is known.
    assert (index, finding.step, finding.severity) == (2, 3, "warn")
    assert finding.evidence["looks"] == 2


def test_any_share_is_enough() -> None:
    assert said(run(20, weights_changed_share=0.1)) == []
    assert said(run(20, weights_changed_share=[1.0, 0.0] * 10)) == []


def test_a_rate_of_0_changes_nothing() -> None:
    assert said(run(10, rates=[0.0] * 10, weights_changed_share=0.0, lora_b_norm=0.0)) == []
    warm = [0.0, 1e-5, *[1e-4] * 8]
    assert said(run(10, rates=warm, weights_changed_share=[0.0, 0.0, *[1.0] * 8])) == []
    assert said(run(10, rates=[*[1e-4] * 5, *[0.0] * 5], weights_changed_share=[*[1.0] * 5, *[0.0] * 5])) == []


def test_a_gradient_of_0_is_left_to_run020() -> None:
    assert said(run(10, grad_norm=0.0, weights_changed_share=0.0)) == []


def test_lora_b_stays_0() -> None:
    ((index, finding),) = watched(WeightsUnchanged, run(10, lora_b_norm=0.0))
    assert index == 2
    assert "LoRA" in finding.message
    assert said(run(10, lora_b_norm=[0.0, 0.0, *[0.2] * 8])) == []
    # One thing is said once: nothing changes, so B does not either.
    assert said(run(10, lora_b_norm=0.0, weights_changed_share=0.0)) == [2]


def test_without_a_rate_more_looks_are_needed() -> None:
    curve = run(12, weights_changed_share=0.0)
    for record in curve.records:
        del record["learning_rate"]
    assert said(curve) == [4]


def test_the_very_same_loss() -> None:
    ((index, finding),) = watched(WeightsUnchanged, run(12, loss=11.7629))
    assert index == 4
    assert finding.evidence["loss"] == 11.7629


@pytest.mark.parametrize("loss", [0.6931, 0.6931471, 0.5, 0.0001, 0.0, 1.2, 2.0])
def test_constants_and_roundings_are_not_the_very_same_loss(loss: float) -> None:
    assert said(run(30, loss=loss)) == []


def test_the_same_loss_at_rate_0_or_in_grpo() -> None:
    assert said(run(12, loss=2.34567, rates=[0.0] * 12)) == []
    assert said(run(12, loss=0.12345, method="grpo")) == []


@pytest.mark.parametrize("maker", HEALTHY)
def test_healthy_curves(maker: Any) -> None:
    for seed in range(12):
        assert watched(WeightsUnchanged, maker(Random(seed))) == [], seed


def test_again_after_it_changed() -> None:
    share = [0.0] * 6 + [1.0] * 2 + [0.0] * 6
    assert said(run(14, weights_changed_share=share)) == [2, 9]


def test_a_restart_changes_nothing_and_it_stands_anything() -> None:
    same_after_restart(WeightsUnchanged, run(14, weights_changed_share=[0.0] * 6 + [1.0] * 2 + [0.0] * 6))
    same_after_restart(WeightsUnchanged, run(12, loss=11.7629))
    stands_anything(WeightsUnchanged, finetune(Random(3)))
