"""RUN004: a loss that does not fall, told from one that begins high, falls slowly or has fallen."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tests.signals.curves import Curve
from tests.signals.trend_curves import dpo, never_falls, slow_pretrain, stuck_classes, stuck_pairs, stuck_vocabulary
from tests.signals.trend_help import claims, false_alarms, made, recall, same_after_restart, stands_anything, watched
from trainguard.signals._constants import untrained_losses
from trainguard.signals.plateau import Plateau
from trainguard.signals.samples import Run

SEEDS = range(12)
LN2 = math.log(2)


def flat(level: float, *, points: int = 60, noise: float = 0.002, method: Any = "sft", **declared: Any) -> Curve:
    rng = Random(5)
    said = {"max_steps": points * 10, "learning_rate": 1e-4, "logging_steps": 10} | declared
    records = [
        {"step": 10 * (i + 1), "loss": level * (1 + rng.gauss(0, noise)), "learning_rate": 1e-4} for i in range(points)
    ]
    return Curve(records=records, method=method, declared=said)


def test_stuck_runs_are_found() -> None:
    found = recall(Plateau, SEEDS)
    assert all(found[name] >= 0.95 for name in ("stuck_vocabulary", "stuck_classes", "stuck_pairs", "stuck_other")), (
        found
    )
    # Between 2 and 3 nats a flat loss is worth a look, no more.
    assert found["never_falls"] >= 0.8, found


def test_learning_runs_are_left_alone() -> None:
    # A loss that falls by 3 % in a whole run out of noise of a third of that is at the border of what data tell.
    assert false_alarms(Plateau, SEEDS, but=frozenset({"slow_pretrain"})) == []


def test_slow_learners_are_seldom_disturbed() -> None:
    assert sum(bool(claims(Plateau, made(slow_pretrain, seed))) for seed in range(60)) <= 6


@pytest.mark.parametrize(
    ("method", "declared", "number"),
    [
        ("pretrain", {"vocab_size": 32000}, math.log(32000)),
        ("sft", {"num_labels": 4}, math.log(4)),
        ("sft", {"num_target_tokens": 12}, math.log(12)),
        ("reward", {}, LN2),
        ("reward", {"num_labels": 5}, math.log(5)),
        ("kto", {}, 0.5),
        ("dpo", {}, LN2),
        ("dpo", {"loss_type": "ipo", "beta": 0.1}, 25.0),
        ("dpo", {"loss_type": "sppo_hard", "beta": 0.5}, 2.0),
        ("dpo", {"loss_type": ["hinge"]}, 1.0),
        ("dpo", {"loss_type": "discopop"}, (LN2 + 1) / 2),
    ],
)
def test_the_number_of_each_loss(method: Any, declared: dict[str, Any], number: float) -> None:
    said = watched(Plateau, flat(number, method=method, **declared))
    assert len(said) == 1
    index, finding = said[0]
    assert finding.severity == "warn"
    assert finding.step == 10 * (index + 1)
    assert finding.evidence["number"] == pytest.approx(number, rel=1e-5)
    assert index < 30


@pytest.mark.parametrize(
    ("method", "declared"),
    [
        ("dpo", {"loss_type": ["sigmoid", "sft"]}),
        ("dpo", {"loss_type": "sft"}),
        ("dpo", {"loss_type": "exo_pair"}),
        ("kto", {"desirable_weight": 1.5}),
        ("grpo", {}),
        ("sft", {"num_labels": 1}),
    ],
)
def test_where_no_number_is_known(method: Any, declared: dict[str, Any]) -> None:
    assert untrained_losses(Run(method=method, declared=declared)) == ()


def test_a_loss_of_dpo_that_begins_at_ln_2_and_leaves_it() -> None:
    assert all(not claims(Plateau, made(dpo, seed)) for seed in range(40))


def test_dpo_with_a_small_beta_learns_at_ln_2() -> None:
    curve = flat(LN2, method="dpo", noise=0.0005, beta=0.001)
    for i, record in enumerate(curve.records):
        record["rewards/accuracies"] = min(0.85, 0.5 + 0.01 * i)
    assert watched(Plateau, curve) == []
    for record in curve.records:
        record["rewards/accuracies"] = 0.5
    assert claims(Plateau, curve)


def test_the_warm_up_does_not_count() -> None:
    curve = flat(math.log(32000), points=100, noise=0.003, method="pretrain", vocab_size=32000, warmup_steps=1000)
    for i, record in enumerate(curve.records):
        record["learning_rate"] = 1e-4 * (i + 1) / 100
    said = claims(Plateau, curve)
    assert said
    assert said[0] > 52
    for record in curve.records:
        record["learning_rate"] /= 4  # never at its height
    assert (
        claims(
            Plateau,
            Curve(records=curve.records, method="pretrain", declared={"vocab_size": 32000, "learning_rate": 1e-4}),
        )
        == []
    )
    for record in curve.records:
        record["learning_rate"] = 0.0  # a rate that never leaves 0 is RUN019's
    assert claims(Plateau, curve) == []


def test_a_converged_end_is_healthy() -> None:
    curve = flat(3.4, points=300, noise=0.01)
    for i, record in enumerate(curve.records):
        record["loss"] += 1.5 * 0.8**i
    assert watched(Plateau, curve) == []


def test_a_pretrained_model_on_familiar_text_is_healthy() -> None:
    assert watched(Plateau, flat(1.4, points=300, noise=0.01)) == []
    assert [finding.severity for _, finding in watched(Plateau, flat(2.4, points=300, noise=0.01))] == ["info"]
    assert claims(Plateau, flat(3.4, points=300, noise=0.01))


def test_a_run_that_goes_on_from_a_checkpoint_may_be_flat() -> None:
    curve = flat(3.4, points=300, noise=0.01)
    assert claims(Plateau, curve)
    resumed = [{"event": "resume", "from_step": 900, "t": 0.0}, *curve.records]
    assert watched(Plateau, Curve(records=resumed, declared=curve.declared)) == []
    assert watched(Plateau, Curve(records=curve.records, declared=curve.declared | {"resume": True})) == []
    assert watched(Plateau, Curve(records=curve.records[100:], declared=curve.declared)) == []


def test_the_next_file_may_be_flat() -> None:
    curve = flat(3.4, points=300, noise=0.01)
    first = [record | {"loss": record["loss"] + 2 * 0.9**i} for i, record in enumerate(curve.records[:60])]
    records = [*first, {"event": "file", "name": "b.jsonl"}, *curve.records[60:]]
    # Without `logging_steps`: else the second file looks like a watcher that came late.
    assert watched(Plateau, Curve(records=records, declared={"max_steps": 3000, "learning_rate": 1e-4})) == []


def test_a_fall_that_is_tiny_but_sure_is_learning() -> None:
    # As a real tiny DPO run with a learning rate of 1e-6 has it: 0.6931 to 0.6918.
    curve = flat(LN2, method="dpo", noise=0.0001)
    assert claims(Plateau, curve)
    for i, record in enumerate(curve.records):
        record["loss"] -= 0.0013 * i / 60
    assert claims(Plateau, curve) == []


def test_it_is_said_once_and_again_after_a_recovery_only() -> None:
    curve = flat(math.log(32000), points=400, noise=0.003, method="pretrain", vocab_size=32000)
    assert len(watched(Plateau, curve)) == 1
    twice = [record for record in curve.records for _ in range(2)]
    assert [
        index // 2 for index, _ in watched(Plateau, Curve(records=twice, method="pretrain", declared=curve.declared))
    ] == [index for index, _ in watched(Plateau, curve)]


def test_thresholds_are_the_users() -> None:
    curve = flat(math.log(32000), method="pretrain", vocab_size=32000)
    late = Run(method="pretrain", declared=curve.declared, thresholds={"RUN004": {"points": 1000}})
    assert Plateau(late).threshold("points") == 1000
    assert claims(Plateau, curve)


@pytest.mark.parametrize("maker", [stuck_vocabulary, stuck_classes, stuck_pairs, never_falls])
def test_a_restart_changes_nothing(maker: Any) -> None:
    same_after_restart(Plateau, made(maker, 3))


@pytest.mark.parametrize("maker", [stuck_vocabulary, stuck_pairs, never_falls, dpo])
def test_hostile_records(maker: Any) -> None:
    stands_anything(Plateau, made(maker, 1))
