"""RUN005: a validation loss that rises while the training loss falls."""

from __future__ import annotations

from typing import Any

import pytest

from tests.signals.curves import Curve, Record
from tests.signals.trend_curves import (
    diverges_on_both,
    evaluates_well,
    less_calibrated,
    overfits,
    overfits_in_epochs,
    stops_early,
)
from tests.signals.trend_help import claims, false_alarms, made, recall, same_after_restart, stands_anything, watched
from trainguard.signals.overfitting import Overfitting

SEEDS = range(20)


def evaluated(evaluations: list[float], *, train: list[float] | None = None, **declared: Any) -> Curve:
    """Five training logs before each evaluation."""
    train = train or [2.0 * 0.97**i for i in range(5 * len(evaluations))]
    records: list[Record] = []
    for number, value in enumerate(evaluations):
        records += [{"step": 5 * number + i + 1, "loss": train[5 * number + i]} for i in range(5)]
        records.append({"step": 5 * number + 5, "eval_loss": value})
    return Curve(records=records, declared=declared)


RISING = [1.5, 1.2, 1.0, 1.01, 1.02, 1.035, 1.05]


def test_overfitting_runs_are_found() -> None:
    assert all(share >= 0.95 for share in recall(Overfitting, SEEDS).values()), recall(Overfitting, SEEDS)


def test_other_runs_are_left_alone() -> None:
    assert false_alarms(Overfitting, SEEDS) == []


def test_it_is_said_at_the_third_evaluation_after_the_minimum_with_its_numbers() -> None:
    said = watched(Overfitting, evaluated(RISING))
    assert len(said) == 1
    index, finding = said[0]
    assert index == 6 * 6 - 1
    assert finding.step == 30
    assert finding.severity == "warn"
    assert finding.evidence["best"] == 1.0
    assert finding.evidence["best_step"] == 15
    assert finding.evidence["evaluations"] == 3


def test_a_strong_rise_needs_two() -> None:
    said = watched(Overfitting, evaluated([1.5, 1.2, 1.3, 1.45]))
    assert [index for index, _ in said] == [23]
    assert claims(Overfitting, evaluated([1.5, 1.2, 1.205, 1.6])) == []  # one jump


@pytest.mark.parametrize(
    "evaluations",
    [
        [1.5, 1.2, 1.0, 1.3, 1.01, 0.99, 0.98],  # a single one
        [1.5, 1.2, 1.0, 1.004, 1.002, 1.006, 1.003],  # a level
        [1.5, 1.2, 1.0, 1.08, 1.05, 1.03, 1.01],  # a hump that is behind it
        [1.5, 1.3, 1.4, 1.2, 1.3, 1.15, 1.22, 1.1, 1.19, 1.22, 1.24],  # noise as large as the rise
        [0.0, 0.0, 0.0, 0.0],
    ],
)
def test_what_is_no_overfitting(evaluations: list[float]) -> None:
    assert claims(Overfitting, evaluated(evaluations)) == []


def test_a_training_loss_that_rises_too_is_divergence() -> None:
    assert claims(Overfitting, evaluated(RISING, train=[2.0 * 1.01**i for i in range(40)])) == []
    assert all(claims(Overfitting, made(diverges_on_both, seed)) == [] for seed in range(5))


def test_accuracy_that_still_rises_makes_it_a_remark() -> None:
    for seed in range(5):
        said = watched(Overfitting, made(less_calibrated, seed))
        assert {finding.severity for _, finding in said} <= {"info"}
    curve = evaluated(RISING)
    for i, record in enumerate(record for record in curve.records if "eval_loss" in record):
        record["eval_accuracy"] = 0.7 - 0.01 * i
    assert claims(Overfitting, curve)


def test_early_stopping_is_given_its_patience() -> None:
    for seed in range(5):
        assert claims(Overfitting, made(stops_early, seed)) == []
    assert [finding.severity for _, finding in watched(Overfitting, evaluated(RISING, early_stopping_patience=3))] == [
        "info",
        "warn",
    ]


def test_a_new_file_begins_anew() -> None:
    curve = evaluated(RISING)
    records = [*curve.records[:24], {"event": "file", "name": "b.jsonl"}, *curve.records[24:]]
    assert claims(Overfitting, Curve(records=records)) == []


def test_a_resume_takes_back_what_came_after_its_checkpoint() -> None:
    curve = evaluated(RISING[:5])
    # Two rises seen, then the run goes on from the checkpoint of the minimum and sees the same two again.
    again = [{"event": "resume", "from_step": 15, "t": 1.0}, *curve.records[18:]]
    assert claims(Overfitting, Curve(records=curve.records + again)) == []
    # Without the event, by the steps alone.
    assert claims(Overfitting, Curve(records=curve.records + curve.records[18:])) == []
    assert claims(Overfitting, Curve(records=[*curve.records, *again, *evaluated(RISING).records[30:36]]))


def test_an_evaluation_logged_twice_counts_once() -> None:
    curve = evaluated([1.5, 1.2, 1.03])
    assert claims(Overfitting, Curve(records=curve.records + [{"step": 15, "eval_loss": 1.25}] * 4)) == []


def test_several_validation_sets() -> None:
    curve = evaluated(RISING)
    records: list[Record] = []
    for record in curve.records:
        if "eval_loss" in record:
            records.append({"step": record["step"], "eval_a_loss": record["eval_loss"]})
            records.append({"step": record["step"], "eval_b_loss": 1.0})
        else:
            records.append(record)
    assert len(claims(Overfitting, Curve(records=records))) == 1


def test_grpo_is_not_asked() -> None:
    curve = evaluated(RISING)
    curve.method = "grpo"
    assert watched(Overfitting, curve) == []


@pytest.mark.parametrize("maker", [overfits, overfits_in_epochs])
def test_a_restart_changes_nothing(maker: Any) -> None:
    same_after_restart(Overfitting, made(maker, 2))


@pytest.mark.parametrize("maker", [overfits, evaluates_well, stops_early])
def test_hostile_records(maker: Any) -> None:
    stands_anything(Overfitting, made(maker, 1))
