"""RUN007: an accuracy of exactly 0."""

from __future__ import annotations

from typing import Any

import pytest

from tests.signals.curves import Curve, Record
from tests.signals.trend_curves import accurate, never_right, right_no_more
from tests.signals.trend_help import claims, false_alarms, made, recall, same_after_restart, stands_anything, watched
from trainguard.signals.zero_accuracy import ZeroAccuracy

SEEDS = range(20)


def evaluated(values: list[float], *, key: str = "eval_accuracy", method: Any = "sft", **declared: Any) -> Curve:
    records: list[Record] = [{"step": 100 * (i + 1), key: value, "eval_loss": 1.0} for i, value in enumerate(values)]
    return Curve(records=records, method=method, declared={"max_steps": 100 * len(values)} | declared)


def test_zeros_are_found_and_learners_left_alone() -> None:
    assert all(share >= 0.95 for share in recall(ZeroAccuracy, SEEDS).values())
    assert false_alarms(ZeroAccuracy, SEEDS) == []


def test_tokens_of_a_random_model() -> None:
    curve = evaluated([0.0] * 8, key="eval_mean_token_accuracy")
    for record in curve.records:
        record["eval_loss"] = 5.6
    assert claims(ZeroAccuracy, curve) == []


@pytest.mark.parametrize("key", ["eval_accuracy", "eval_exact_match", "eval_mean_token_accuracy"])
def test_never_right(key: str) -> None:
    said = watched(ZeroAccuracy, evaluated([0.0] * 8, key=key))
    assert [(index, finding.step, finding.severity) for index, finding in said] == [(2, 300, "warn")]
    assert said[0][1].evidence["metric"] == key
    assert said[0][1].evidence["zeros"] == 3


def test_a_hard_task_is_given_time() -> None:
    assert claims(ZeroAccuracy, evaluated([0.0, 0.0, 0.01, 0.05, 0.1])) == []
    # Many evaluations in the first fifth of a run.
    assert claims(ZeroAccuracy, evaluated([0.0] * 6 + [0.02], max_steps=10_000)) == []
    assert claims(ZeroAccuracy, evaluated([0.0] * 4, max_steps=None)) == []
    assert claims(ZeroAccuracy, evaluated([0.0] * 5, max_steps=None)) == [4]


def test_a_fall_to_zero() -> None:
    assert claims(ZeroAccuracy, evaluated([0.1, 0.0, 0.0, 0.0])) == [2]
    assert claims(ZeroAccuracy, evaluated([0.4, 0.5, 0.55, 0.0, 0.0])) == [3]
    assert claims(ZeroAccuracy, evaluated([0.1, 0.0, 0.1, 0.0, 0.12])) == []


def test_it_is_said_again_after_a_recovery() -> None:
    assert claims(ZeroAccuracy, evaluated([0.4, 0.5, 0.55, 0.0, 0.0, 0.5, 0.5, 0.5, 0.0, 0.0])) == [3, 8]


def tokens(values: list[float], *, loss: float, rates: list[float] | None = None) -> Curve:
    records: list[Record] = [
        {"step": i, "loss": loss, "mean_token_accuracy": value, "learning_rate": rates[i] if rates else 1e-4}
        for i, value in enumerate(values)
    ]
    return Curve(records=records, method="sft", declared={"max_steps": len(values)})


def test_the_tokens_of_the_training_batches() -> None:
    assert claims(ZeroAccuracy, tokens([0.0] * 60, loss=1.5)) == [10]
    # A random model hits none for long.
    assert claims(ZeroAccuracy, tokens([0.0] * 60, loss=5.6)) == []
    assert claims(ZeroAccuracy, tokens([0.3] * 20 + [0.0] * 20, loss=5.6)) == [29]
    # All of it in a warm-up.
    assert claims(ZeroAccuracy, tokens([0.0] * 60, loss=1.5, rates=[1e-6 * i for i in range(60)])) == []
    broken = tokens([0.3] * 20 + [0.0] * 20, loss=0.0)
    for record in broken.records[20:]:
        record["grad_norm"] = float("nan")
    assert claims(ZeroAccuracy, broken) == []


def test_pairs_that_are_exchanged() -> None:
    def pairs(margin: float, accuracy: float) -> Curve:
        records: list[Record] = [
            {"step": i + 1, "loss": 0.7, "rewards/accuracies": accuracy, "rewards/margins": margin * (i + 1)}
            for i in range(30)
        ]
        return Curve(records=records, method="dpo")

    assert len(claims(ZeroAccuracy, pairs(-0.02, 0.0))) == 1
    assert claims(ZeroAccuracy, pairs(0.0, 0.0)) == []  # alike: trl counts a tie as wrong
    assert claims(ZeroAccuracy, pairs(-0.02, 0.1)) == []


@pytest.mark.parametrize("maker", [never_right, right_no_more])
def test_a_restart_changes_nothing(maker: Any) -> None:
    same_after_restart(ZeroAccuracy, made(maker, 2))


@pytest.mark.parametrize("maker", [never_right, accurate])
def test_hostile_records(maker: Any) -> None:
    stands_anything(ZeroAccuracy, made(maker, 1))
