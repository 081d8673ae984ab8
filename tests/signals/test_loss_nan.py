"""RUN001: NaN that is shown, NaN that the Trainer hides, and the loss scaler, which is neither."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tests.signals.curves import Curve, finetune, grpo, half_precision
from tests.signals.trend_help import same_after_restart, stands_anything, watched
from trainguard.signals.loss_nan import LossNan

NAN = math.nan


def run(*points: tuple[Any, Any], start: int = 0, **declared: Any) -> Curve:
    records = [
        {"step": start + i + 1, "loss": loss, "grad_norm": norm, "learning_rate": 1e-4}
        for i, (loss, norm) in enumerate(points)
    ]
    return Curve(records=records, declared=declared)


FINE = ((2.1, 1.0), (2.0, 1.2), (1.9, 0.9), (2.0, 1.0))


def said(curve: Curve) -> list[int]:
    return [index for index, _ in watched(LossNan, curve)]


def test_a_nan_loss_is_said_at_once_and_once() -> None:
    curve = run(*FINE, (NAN, 1.0), (NAN, NAN), (NAN, NAN))
    ((index, finding),) = watched(LossNan, curve)
    assert (index, finding.step, finding.severity, finding.code) == (4, 5, "error", "RUN001")
    assert finding.evidence["hidden"] is False


@pytest.mark.parametrize("key", ["eval_loss", "eval_other_loss"])
def test_a_nan_evaluation_is_said(key: str) -> None:
    curve = run(*FINE)
    curve.records.append({"step": 4, key: NAN, "eval_runtime": 2.0})
    ((index, finding),) = watched(LossNan, curve)
    assert index == 4
    assert finding.evidence["metric"] == key


def test_what_the_trainer_hides_is_seen() -> None:
    """The shape that transformers 5.23 logs with logging_steps=1: exactly 0.0 beside a NaN norm."""
    curve = run(*FINE, (0.0, NAN), (0.0, NAN), (0.0, NAN))
    ((index, finding),) = watched(LossNan, curve)
    assert index == 4
    assert finding.evidence["hidden"] is True
    assert "logging_nan_inf_filter" in finding.message


def test_the_first_window_with_nan_only_looks_low() -> None:
    """With logging_steps=10 the window in which NaN comes is its average so far; the next are 0.0."""
    curve = run(*FINE, (1.6, NAN), (0.0, NAN))
    assert said(curve) == [5]
    assert said(run(*FINE, (1.6, NAN), (0.0, NAN), fp16=False)) == [4]
    assert said(run(*FINE, (1.6, NAN), (0.0, NAN), bf16=True)) == [4]


def test_the_loss_scaler_is_no_fault() -> None:
    assert said(run(*FINE, (2.0, NAN), *FINE, fp16=True)) == []
    assert said(run(*FINE, (2.0, math.inf), *FINE, fp16=True)) == []
    assert said(run((2.0, NAN), (2.0, NAN), (2.0, NAN), (2.0, NAN), *FINE, fp16=True)) == []
    # Nothing declared: one point may be the scaler's.
    assert said(run(*FINE, (2.0, NAN), *FINE)) == []
    for seed in range(60):
        assert watched(LossNan, half_precision(Random(seed))) == [], seed


def test_a_scaler_does_not_explain_everything() -> None:
    many = FINE * 3
    assert said(run(*many, *((2.0, NAN),) * 4, fp16=True)) == [len(many) + 3]
    assert said(run(*many, (0.0, NAN), (0.0, NAN), fp16=True)) == [len(many) + 1]


def test_zero_without_nan_is_not_said() -> None:
    assert said(run(*FINE, (0.0, 1.0), (0.0, 0.0), (0.0, None))) == []
    for seed in range(20):
        assert watched(LossNan, grpo(Random(seed))) == []


def test_a_zero_is_no_evidence_in_grpo() -> None:
    curve = run((0.01, 1.0), (0.0, NAN), (0.01, 1.0), (0.0, NAN), (0.0, NAN))
    assert said(curve) == [1]
    curve.method = "grpo"
    assert said(curve) == [4]


def test_nan_outputs_beside_a_zero_loss_count_without_a_norm() -> None:
    curve = Curve(records=[{"step": i, "loss": 2.0, "entropy": 1.0} for i in range(4)])
    curve.records += [{"step": i, "loss": 0.0, "entropy": NAN} for i in range(4, 8)]
    assert said(curve) == [5]


def test_a_line_logged_twice_is_one_point() -> None:
    curve = run(*FINE, (2.0, NAN))
    curve.records += [curve.records[-1], *run(*FINE, start=5).records]
    assert said(curve) == []


def test_another_episode_is_said_again() -> None:
    assert said(run((NAN, NAN), *FINE, (NAN, NAN))) == [0, 5]
    assert said(run((NAN, NAN), (2.0, 1.0), (NAN, NAN))) == [0]
    resumed = run((NAN, NAN), (NAN, NAN))
    resumed.records.insert(1, {"event": "resume", "from_step": 0})
    assert said(resumed) == [0, 2]


def test_a_restart_changes_nothing() -> None:
    same_after_restart(LossNan, run(*FINE, (1.8, NAN), (0.0, NAN), *FINE, (NAN, NAN)))


def test_it_stands_anything() -> None:
    stands_anything(LossNan, finetune(Random(1)))
    stands_anything(LossNan, half_precision(Random(2)))
