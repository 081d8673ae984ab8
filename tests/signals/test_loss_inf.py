"""RUN002: an infinite loss."""

from __future__ import annotations

import math
from random import Random

from tests.signals.curves import Curve, finetune, half_precision
from tests.signals.trend_help import same_after_restart, stands_anything, watched
from trainguard.signals.loss_inf import LossInf


def losses(*values: object) -> Curve:
    return Curve(records=[{"step": i + 1, "loss": value, "grad_norm": 1.0} for i, value in enumerate(values)])


def test_it_is_said_at_once_and_once() -> None:
    ((index, finding),) = watched(LossInf, losses(2.0, 2.1, math.inf, math.inf, math.nan))
    assert (index, finding.step, finding.severity) == (2, 3, "error")
    assert finding.evidence["value"] == "inf"
    assert "-inf" in watched(LossInf, losses(-math.inf))[0][1].message


def test_as_text_and_as_too_large_a_number() -> None:
    assert len(watched(LossInf, losses("inf"))) == 1
    assert len(watched(LossInf, losses(10**400))) == 1


def test_in_an_evaluation_and_in_the_summary() -> None:
    assert watched(LossInf, Curve(records=[{"step": 3, "eval_loss": math.inf}]))[0][1].evidence["metric"] == "eval_loss"
    assert len(watched(LossInf, Curve(records=[{"step": 3, "train_loss": math.inf, "train_runtime": 1.0}]))) == 1


def test_an_infinite_norm_or_perplexity_is_no_infinite_loss() -> None:
    for seed in range(30):
        assert watched(LossInf, half_precision(Random(seed))) == []
    assert watched(LossInf, Curve(records=[{"step": 3, "eval_loss": 2.0, "eval_perplexity": math.inf}])) == []


def test_again_only_after_it_recovered() -> None:
    assert [index for index, _ in watched(LossInf, losses(math.inf, 2.0, 2.0, 2.0, math.inf))] == [0, 4]
    assert [index for index, _ in watched(LossInf, losses(math.inf, 2.0, math.inf))] == [0]


def test_a_restart_changes_nothing_and_it_stands_anything() -> None:
    same_after_restart(LossInf, losses(2.0, math.inf, 2.0, 2.0, 2.0, math.inf))
    stands_anything(LossInf, finetune(Random(1)))
