"""What the tests of the slow faults share: a signal run over a curve, and what every signal must stand."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import msgspec

from tests.signals.curves import Curve, Record
from tests.signals.trend_curves import FAULTY, HEALTHY, Maker
from trainguard.findings import Finding
from trainguard.signals.base import Signal
from trainguard.signals.samples import Run, read_sample

# Records that no run writes, or that it writes when something is broken.
HOSTILE: list[Any] = [
    {},
    {"loss": None, "step": None},
    {"loss": "a text", "reward": "nan", "eval_loss": "inf", "step": "many"},
    {"loss": math.nan, "reward": math.nan, "reward_std": math.nan, "eval_loss": math.nan, "eval_accuracy": math.nan},
    {"loss": math.inf, "learning_rate": -math.inf, "step": math.nan, "epoch": math.inf},
    {"loss": 10**400, "step": 10**400, "reward": -(10**400), "num_tokens": 10**400},
    {"loss": -1e308, "reward": 1e308, "reward_std": -1e308, "step": -5, "t": -1e9},
    {"loss": 1e308, "reward": -1e308, "eval_loss": -1e308, "eval_accuracy": -1.0, "step": 3},
    {"loss": 0.0, "eval_loss": 0.0, "reward": 0.0, "step": 2, "t": 0.0},
    {"eval_loss": 5e-324, "eval_accuracy": 5e-324, "step": 2},
    {"samples": None, "think_share": "x"},
    {"samples": [None, 3, {"content": 4}, [], [{"role": "assistant"}], [[["deep"]]]], "step": 4},
    {"samples": ["\ud800" * 200, "\ud800" * 200, "\ud800" * 200], "step": 4},
    {"samples": ["a" * 10**5] * 200, "step": 5},
    {"event": "resume", "from_step": math.nan},
    {"event": "resume", "from_step": 10**400},
    {"event": "file", "name": 7},
    {"event": ["end"], "t": {}},
    {"tick": True, "t": math.nan},
    {3: 4, None: "x", "loss": True},
    "no record",
    None,
    [1, 2],
]


def watched(signal: type[Signal[Any]], curve: Curve, *, restart_at: int | None = None) -> list[tuple[int, Finding]]:
    """What a signal says of a curve, each with the index of its record. `restart_at`: the state goes through JSON."""
    run = Run(method=curve.method, declared=curve.declared)
    if curve.method not in signal.methods:
        return []
    detector = signal(run)
    state = detector.start()
    said: list[tuple[int, Finding]] = []
    for index, record in enumerate(curve.records):
        if index == restart_at:
            plain = json.loads(json.dumps(msgspec.to_builtins(state), allow_nan=False))
            detector, state = signal(run), msgspec.convert(plain, type=signal.state_type)
        before = msgspec.to_builtins(state)
        after, findings = detector.step(state, read_sample(record, index=index))
        assert msgspec.to_builtins(state) == before, "a step changes the state that it is given"
        state = after
        said += [(index, finding) for finding in findings]
    return said


def made(maker: Maker, seed: int) -> Curve:
    return maker(Random(seed * 7919 + 1))


def claims(signal: type[Signal[Any]], curve: Curve) -> list[int]:
    """Where a signal says more than `info`."""
    return [index for index, finding in watched(signal, curve) if finding.severity != "info"]


def recall(signal: type[Signal[Any]], seeds: range) -> dict[str, float]:
    """The share of faulty curves of each family of which the signal says so, not before the onset."""
    found = {}
    for maker in FAULTY[signal.code]:
        hits = 0
        for seed in seeds:
            curve = made(maker, seed)
            said = claims(signal, curve)
            assert curve.onset is not None
            hits += bool(said) and said[0] >= curve.onset
        found[maker.__name__] = hits / len(seeds)
    return found


def false_alarms(signal: type[Signal[Any]], seeds: range, *, but: frozenset[str] = frozenset()) -> list[str]:
    """The healthy curves of which a signal says more than `info`; not those of the families in `but`."""
    return [
        f"{maker.__name__} {seed}"
        for maker in HEALTHY
        if maker.__name__ not in but
        for seed in seeds
        if claims(signal, made(maker, seed))
    ]


def stands_anything(signal: type[Signal[Any]], curve: Curve) -> None:
    """Hostile records between those of a curve: nothing is raised, and the state stays JSON."""
    records: list[Record] = []
    for index, record in enumerate(curve.records):
        records.append(record)
        records += [HOSTILE[index % len(HOSTILE)]]
    mixed = Curve(records=records, method=curve.method, declared=curve.declared)
    for restart_at in (1, len(records) // 2, len(records) - 1):
        watched(signal, mixed, restart_at=restart_at)
    declared = {key: value for key in curve.declared for value in [math.nan]} | {
        "max_steps": -1,
        "learning_rate": "2e-5",
        "num_labels": 10**400,
        "vocab_size": 0,
        "loss_type": [None, 3],
        "beta": 0,
        "early_stopping_patience": math.inf,
        "expects_think": "yes",
    }
    watched(signal, Curve(records=HOSTILE * 8, method=curve.method, declared=declared), restart_at=40)


def same_after_restart(signal: type[Signal[Any]], curve: Curve) -> None:
    """The same findings at the same records, wherever the watcher is restarted."""
    whole = watched(signal, curve)
    assert whole, "a curve of which nothing is said proves nothing"
    for restart_at in {1, len(curve.records) // 3, whole[0][0], min(whole[0][0] + 1, len(curve.records) - 1)}:
        assert watched(signal, curve, restart_at=restart_at) == whole
