"""Curves of runs that were never run: seeded, with the noise that real ones have. For the tests of the signals.

Each function of `HEALTHY` and `DIVERGING` takes a `random.Random` and gives a `Curve`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

Record = dict[str, Any]


@dataclass(kw_only=True)
class Curve:
    records: list[Record]
    method: Any = "sft"
    declared: dict[str, Any] = field(default_factory=dict)
    onset: int | None = None  # index of the record from which on the fault shows
    severity: str | None = None  # how bad it gets


def student(rng: Random, freedom: int) -> float:
    """A number of Student's t distribution: heavy tails."""
    chi = sum(rng.gauss(0, 1) ** 2 for _ in range(freedom))
    return rng.gauss(0, 1) / math.sqrt(chi / freedom)


def noisy(rng: Random, levels: list[float], *, share: float, tails: str) -> list[float]:
    """Levels times noise of about `share`: "normal", "heavy" (Student, 3 degrees), "skewed" (lognormal), "drift"."""
    drift, out = 0.0, []
    for level in levels:
        if tails == "heavy":
            factor = 1 + share * 0.6 * student(rng, 3)
        elif tails == "skewed":
            factor = math.exp(rng.gauss(0, share) - share * share / 2)
        elif tails == "drift":
            drift = 0.8 * drift + rng.gauss(0, share * 0.6)
            factor = 1 + drift
        else:
            factor = 1 + rng.gauss(0, share)
        out.append(max(level * factor, level * 0.05))
    return out


def noise_kind(rng: Random) -> dict[str, Any]:
    tails = rng.choice(["normal", "normal", "heavy", "skewed", "drift"])
    share = {"normal": rng.uniform(0.01, 0.12), "heavy": rng.uniform(0.03, 0.25), "skewed": rng.uniform(0.1, 0.6)}
    return {"tails": tails, "share": share.get(tails, rng.uniform(0.02, 0.06))}


def fall(rng: Random, points: int, *, start: float, end: float) -> list[float]:
    """A power law from `start` towards `end`."""
    power, scale = rng.uniform(0.3, 1.0), rng.uniform(0.02, 0.3) * points
    return [end + (start - end) * (1 + i / scale) ** -power for i in range(points)]


def cosine(points: int, *, peak: float, warmup: int = 0, cycles: int = 1) -> list[float]:
    rates = []
    for i in range(points):
        if i < warmup:
            rates.append(peak * i / warmup)
        else:
            part = (i - warmup) / max(points - warmup, 1) * cycles
            rates.append(peak * 0.5 * (1 + math.cos(math.pi * (part % 1.0))))
    return rates


def records(rng: Random, losses: list[float], rates: list[float] | None = None, **more: list[float]) -> list[Record]:
    every = rng.choice([1, 1, 5, 10, 10, 50, 100])
    norms = noisy(rng, [rng.uniform(0.3, 3.0)] * len(losses), share=0.25, tails="skewed")
    made = []
    for i, loss in enumerate(losses):
        record = {"step": (i + 1) * every, "loss": round(loss, 6), "grad_norm": norms[i], "t": i * 1.5 * every}
        if rates is not None:
            record["learning_rate"] = rates[i]
        made.append(record | {key: values[i] for key, values in more.items()})
    return made


def points_of(rng: Random) -> int:
    return rng.choice([20, 40, 60, 100, 200, 400])


def pretrain(rng: Random) -> Curve:
    n = points_of(rng)
    levels = fall(rng, n, start=rng.uniform(9.5, 12), end=rng.uniform(2, 5))
    return Curve(
        records=records(rng, noisy(rng, levels, **noise_kind(rng) | {"share": rng.uniform(0.005, 0.05)})),
        method="pretrain",
    )


def finetune(rng: Random) -> Curve:
    n, start = points_of(rng), rng.choice([rng.uniform(0.8, 3.0), rng.uniform(0.2, 0.8), rng.uniform(3, 8)])
    levels = fall(rng, n, start=start, end=start * rng.uniform(0.3, 0.95))
    rates = cosine(n, peak=2e-4, warmup=rng.choice([0, 1, n // 20, n // 10]))
    return Curve(records=records(rng, noisy(rng, levels, **noise_kind(rng)), rates))


def staircase(rng: Random) -> Curve:
    n = max(points_of(rng), 60)
    start = rng.uniform(0.8, 2.5)
    levels = [start * 0.65 ** (3 * i // n) * (1 + 0.03 * ((3 * i) % n) / n) for i in range(n)]
    return Curve(records=records(rng, noisy(rng, levels, **noise_kind(rng)), cosine(n, peak=1e-4)))


def warmup_bump(rng: Random) -> Curve:
    n = max(points_of(rng), 60)
    start, warmup = rng.uniform(1.0, 3.0), n // 10
    levels = fall(rng, n, start=start, end=start * 0.6)
    for i in range(n):
        levels[i] += start * rng.uniform(0.1, 0.3) * math.exp(-(((i - warmup) / (0.5 * warmup)) ** 2))
    return Curve(
        records=records(
            rng, noisy(rng, levels, share=rng.uniform(0.01, 0.06), tails="normal"), cosine(n, peak=1e-3, warmup=warmup)
        )
    )


def restarts(rng: Random) -> Curve:
    n, cycles = max(points_of(rng), 80), rng.choice([2, 3, 4])
    start = rng.uniform(1.0, 4.0)
    levels = fall(rng, n, start=start, end=start * 0.6)
    for i in range(n):
        if i >= n // cycles:
            inside = (i % (n // cycles)) / (n // cycles)
            levels[i] *= 1 + rng.uniform(0.05, 0.2) * math.exp(-inside * 8)
    return Curve(
        records=records(
            rng, noisy(rng, levels, share=rng.uniform(0.01, 0.06), tails="normal"), cosine(n, peak=1e-3, cycles=cycles)
        ),
        declared={"lr_scheduler_type": "cosine_with_restarts", "num_cycles": cycles},
    )


def files(rng: Random) -> Curve:
    n, parts = max(points_of(rng), 60), rng.choice([2, 3])
    made: list[Record] = []
    for part in range(parts):
        start = rng.uniform(0.5, 4.0)
        levels = fall(rng, n // parts, start=start, end=start * 0.7)
        made.append({"event": "file", "name": f"part-{part}.jsonl", "t": 0.0})
        made += noisy_records(rng, levels, at=part * (n // parts))
    return Curve(records=made)


def noisy_records(rng: Random, levels: list[float], *, at: int) -> list[Record]:
    losses = noisy(rng, levels, share=rng.uniform(0.02, 0.08), tails="normal")
    return [{"step": (at + i + 1) * 10, "loss": loss, "grad_norm": 1.0} for i, loss in enumerate(losses)]


def small_spike(rng: Random) -> Curve:
    curve = finetune(rng)
    place = rng.randrange(len(curve.records) // 2, len(curve.records) - 3)
    for i in range(rng.choice([1, 1, 2])):
        curve.records[place + i]["loss"] *= rng.uniform(1.15, 1.4)
    return curve


def odd_batches(rng: Random) -> Curve:
    """Single batches of other data, as in a mixture: one point in twenty is up to 1.8 times the level."""
    curve = finetune(rng)
    for record in curve.records:
        if rng.random() < 0.05:
            record["loss"] *= rng.uniform(1.3, 1.8)
    return curve


def wander(rng: Random) -> Curve:
    """Data in an order (by length, by source): the level swings."""
    n = max(points_of(rng), 60)
    start, waves, size = rng.uniform(0.8, 4.0), rng.uniform(1, 6), rng.uniform(0.02, 0.07)
    levels = [
        level * (1 + size * math.sin(2 * math.pi * waves * i / n))
        for i, level in enumerate(fall(rng, n, start=start, end=start * 0.7))
    ]
    return Curve(records=records(rng, noisy(rng, levels, share=rng.uniform(0.01, 0.06), tails="normal")))


def memorise(rng: Random) -> Curve:
    n = max(points_of(rng), 60)
    levels = [2.0 * math.exp(-6 * i / n) + 0.002 for i in range(n)]
    return Curve(records=records(rng, noisy(rng, levels, share=rng.uniform(0.1, 0.4), tails="skewed")))


def preference(rng: Random) -> Curve:
    n, method = points_of(rng), rng.choice(["dpo", "reward"])
    end = rng.uniform(0.05, 0.6)
    levels = fall(rng, n, start=0.6931, end=end)
    losses = noisy(rng, levels, share=rng.uniform(0.05, 0.5), tails="skewed")
    losses[0] = 0.6931
    return Curve(records=records(rng, losses, cosine(n, peak=5e-6, warmup=n // 10)), method=method)


def kto(rng: Random) -> Curve:
    n = points_of(rng)
    losses = noisy(
        rng, fall(rng, n, start=0.5, end=rng.uniform(0.3, 0.48)), share=rng.uniform(0.02, 0.2), tails="normal"
    )
    return Curve(records=records(rng, losses), method="kto")


def grpo(rng: Random) -> Curve:
    n = points_of(rng)
    losses = [rng.gauss(0, 0.01) if rng.random() < 0.8 else 0.0 for _ in range(n)]
    kl = [0.001 + rng.uniform(0.02, 0.3) * i / n * rng.uniform(0.5, 1.5) for i in range(n)]
    if rng.random() < 0.5:  # single outliers of the ratio's exponential
        kl[rng.randrange(n)] *= rng.uniform(5, 300)
    made = records(rng, losses, None, kl=kl, reward=[0.2 + 0.5 * i / n + rng.gauss(0, 0.05) for i in range(n)])
    for record in made:
        record["reward_std"] = rng.uniform(0.05, 0.4)
        if rng.random() < 0.1:
            record |= {"grad_norm": 0.0, "reward_std": 0.0, "frac_reward_zero_std": 1.0}
    return Curve(records=made, method="grpo")


def late_norms(rng: Random) -> Curve:
    """LoRA: the gradient norm rises over the run, the loss goes on falling."""
    curve = finetune(rng)
    n = len(curve.records)
    factor = rng.uniform(2, 6)
    for i, record in enumerate(curve.records):
        record["grad_norm"] *= factor ** (i / n)
        if rng.random() < 0.02:
            record["grad_norm"] *= rng.uniform(5, 200)
    return curve


def half_precision(rng: Random) -> Curve:
    curve = finetune(rng)
    curve.declared["fp16"] = True
    for i in range(rng.choice([0, 1, 3, 5])):
        curve.records[i]["grad_norm"] = rng.choice([math.inf, math.nan])
    for _ in range(rng.choice([1, 2, 3])):
        curve.records[rng.randrange(len(curve.records))]["grad_norm"] = rng.choice([math.inf, math.nan])
    return curve


HEALTHY: tuple[Callable[[Random], Curve], ...] = (
    pretrain,
    finetune,
    staircase,
    warmup_bump,
    restarts,
    files,
    small_spike,
    odd_batches,
    wander,
    memorise,
    preference,
    kto,
    grpo,
    late_norms,
    half_precision,
)


def _base(rng: Random) -> tuple[Curve, int]:
    curve = rng.choice([finetune, pretrain, staircase])(rng)
    while len(curve.records) < 60:
        curve = rng.choice([finetune, pretrain, staircase])(rng)
    place = rng.randrange(len(curve.records) // 4, len(curve.records) - 35)
    return curve, place


def _noise_of(curve: Curve) -> float:
    """How far single points lie from their neighbours, as a share: a spike has to be far beyond."""
    losses: list[float] = [record["loss"] for record in curve.records if "loss" in record]
    return max(abs(b - a) / a for a, b in itertools.pairwise(losses))


def _quiet(rng: Random) -> tuple[Curve, int]:
    curve, place = _base(rng)
    while _noise_of(curve) > 0.6:
        curve, place = _base(rng)
    return curve, place


def spike_that_recovers(rng: Random) -> Curve:
    curve, place = _quiet(rng)
    height, half_life = rng.uniform(1.0, 3.0), rng.uniform(1.5, 6)
    for i in range(place, len(curve.records)):
        curve.records[i]["loss"] *= 1 + height * 0.5 ** ((i - place) / half_life)
    curve.onset, curve.severity = place, "warn"
    return curve


def spike_that_stays(rng: Random) -> Curve:
    curve, place = _quiet(rng)
    height, climb = rng.uniform(0.8, 3.0), rng.choice([1, 1, 3, 5])
    for i in range(place, len(curve.records)):
        curve.records[i]["loss"] *= 1 + height * min(1, (i - place + 1) / climb)
    curve.onset, curve.severity = place, "error"
    return curve


def slow(rng: Random) -> Curve:
    curve, place = _quiet(rng)
    while len(curve.records) - place < 60 or _noise_of(curve) > 0.4:
        curve, place = _quiet(rng)
    level = curve.records[place]["loss"]
    pace = rng.uniform(0.006, 0.03)
    for i in range(place, len(curve.records)):
        noise = rng.gauss(0, 0.03)
        curve.records[i]["loss"] = level * (1 + pace * (i - place)) * (1 + noise)
    curve.onset, curve.severity = place, "error"
    return curve


def from_the_start(rng: Random) -> Curve:
    n = max(points_of(rng), 40)
    start, pace = rng.choice([rng.uniform(1, 3), rng.uniform(9, 12)]), rng.uniform(0.1, 0.5)
    top = rng.uniform(2.5, 6)
    levels = [start * (1 + (top - 1) * (1 - math.exp(-pace * i))) for i in range(n)]
    return Curve(
        records=records(rng, noisy(rng, levels, share=rng.uniform(0.02, 0.1), tails="normal")),
        onset=2,
        severity="error",
        method=rng.choice(["sft", "pretrain"]),
    )


def preference_blows_up(rng: Random) -> Curve:
    curve = preference(rng)
    while len(curve.records) < 60:
        curve = preference(rng)
    place = rng.randrange(15, len(curve.records) - 30)
    for i in range(place, len(curve.records)):
        curve.records[i]["loss"] = 0.7 * (1 + rng.uniform(0.15, 0.4) * (i - place + 1))
    curve.onset, curve.severity = place, "error"
    return curve


def kl_blows_up(rng: Random) -> Curve:
    curve = grpo(rng)
    while len(curve.records) < 60:
        curve = grpo(rng)
    place = rng.randrange(15, len(curve.records) - 30)
    for i in range(place, len(curve.records)):
        curve.records[i]["kl"] = 0.3 * math.exp(min(0.3 * (i - place), 8)) * rng.uniform(0.7, 1.4)
    curve.onset, curve.severity = place, "error"
    return curve


DIVERGING: tuple[Callable[[Random], Curve], ...] = (
    spike_that_recovers,
    spike_that_stays,
    slow,
    from_the_start,
    preference_blows_up,
    kl_blows_up,
)
