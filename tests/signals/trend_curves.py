"""Seeded runs for the detectors of slow faults: `HEALTHY` and `FAULTY[code]`, functions of a `random.Random`."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

from tests.signals.curves import Curve, Record, cosine, fall, noisy

LN2 = math.log(2)


def rates_of(rng: Random, points: int, peak: float) -> list[float]:
    warmup = rng.choice([0, points // 20, points // 10])
    kind = rng.choice(["linear", "cosine", "constant"])
    if kind == "cosine":
        return cosine(points, peak=peak, warmup=warmup)
    return [
        peak * min((i + 1) / (warmup + 1), 1.0 if kind == "constant" else (points - i) / (points - warmup))
        for i in range(points)
    ]


def laid_out(
    rng: Random,
    method: str,
    losses: list[float],
    *,
    peak: float = 2e-5,
    declared: dict[str, Any] | None = None,
    onset: int | None = None,
    more: dict[str, list[float]] | None = None,
) -> Curve:
    """Records of a run, some keys and some of what is declared missing at random."""
    points = len(losses)
    every = rng.choice([1, 1, 5, 10, 10, 50])
    rates = rates_of(rng, points, peak)
    gone = {key for key in ("grad_norm", "learning_rate", "t") if rng.random() < 0.12}
    records: list[Record] = []
    for i, loss in enumerate(losses):
        record: Record = {
            "step": (i + 1) * every,
            "loss": round(loss, 4) if rng.random() < 0.5 else loss,
            "grad_norm": abs(rng.gauss(1.0, 0.25)),
            "learning_rate": rates[i],
            "t": 2.0 * every * i,
            "epoch": 3 * (i + 1) / points,
        }
        record |= {key: values[i] for key, values in (more or {}).items()}
        records.append({key: value for key, value in record.items() if key not in gone})
    said: dict[str, Any] = {"max_steps": points * every, "learning_rate": peak, "logging_steps": every}
    said |= {"num_train_epochs": 3, "lr_scheduler_type": "cosine"}
    said = {key: value for key, value in said.items() if rng.random() > 0.2}
    return Curve(records=records, method=method, declared=said | (declared or {}), onset=onset)


def points_of(rng: Random) -> int:
    return rng.choice([40, 60, 100, 150, 300])


# --- RUN004 ---


def pretrained_familiar(rng: Random) -> Curve:
    """A good model on text like its own: low, flat, a few percent down."""
    points, level = points_of(rng), rng.uniform(0.4, 1.9)
    levels = [level * (1 - rng.uniform(0.02, 0.08) * i / points) for i in range(points)]
    return laid_out(rng, "sft", noisy(rng, levels, share=rng.uniform(0.02, 0.12), tails="normal"))


def fine_tune(rng: Random) -> Curve:
    """A quick fall, then the flat end that every run has."""
    points = points_of(rng)
    start = rng.uniform(1.2, 4.5)
    levels = fall(rng, points, start=start, end=start * rng.uniform(0.3, 0.8))
    return laid_out(rng, "sft", noisy(rng, levels, share=rng.uniform(0.01, 0.1), tails=rng.choice(["normal", "heavy"])))


def long_text(rng: Random) -> Curve:
    """A pretrained model above 2 nats that improves slowly: by 4 to 12 % over the run."""
    points, level = rng.choice([100, 150, 300]), rng.uniform(2.0, 3.2)
    down = rng.uniform(0.04, 0.12)
    levels = [level * (1 - down * (i / points) ** rng.uniform(0.4, 1)) for i in range(points)]
    return laid_out(rng, "sft", noisy(rng, levels, share=rng.uniform(0.01, 0.06), tails="normal"))


def pretrain(rng: Random) -> Curve:
    vocabulary = rng.choice([300, 8000, 32000, 50257, 151936])
    points = points_of(rng)
    waits = rng.randint(0, points // 10)
    start = math.log(vocabulary) + rng.uniform(0, 0.3)
    levels = [start] * waits + fall(rng, points - waits, start=start, end=start * rng.uniform(0.25, 0.6))
    losses = noisy(rng, levels, share=rng.uniform(0.003, 0.02), tails="normal")
    return laid_out(
        rng, rng.choice(["pretrain", "pretrain", "sft"]), losses, peak=3e-4, declared={"vocab_size": vocabulary}
    )


def slow_pretrain(rng: Random) -> Curve:
    """A tiny model with a small rate: 3 to 10 % down in the whole run, steadily."""
    vocabulary, points = rng.choice([200, 300, 1000]), rng.choice([60, 80, 120])
    start, down = math.log(vocabulary) + 0.03, rng.uniform(0.03, 0.1)
    levels = [start * (1 - down * i / points) for i in range(points)]
    losses = noisy(rng, levels, share=rng.uniform(0.002, 0.008), tails="normal")
    return laid_out(rng, "sft", losses, declared={"vocab_size": vocabulary})


def classifier(rng: Random) -> Curve:
    labels, points = rng.choice([2, 3, 5, 10, 20]), points_of(rng)
    start = math.log(labels) * rng.uniform(1.0, 1.15)
    waits = rng.randint(0, points // 10)
    levels = [start] * waits + fall(rng, points - waits, start=start, end=start * rng.uniform(0.1, 0.5))
    losses = noisy(rng, levels, share=rng.uniform(0.02, 0.15), tails="normal")
    return laid_out(rng, "sft", losses, declared={"num_labels": labels})


def dpo(rng: Random) -> Curve:
    points = points_of(rng)
    waits = rng.randint(1, max(1, points // 10))
    speed = rng.uniform(0.3, 4)
    gains = [0.0] * waits + [speed * (i / (points - waits)) ** 0.8 for i in range(points - waits)]
    margins = [gain * (1 + 0.15 * rng.gauss(0, 1)) + rng.gauss(0, 0.004) * (gain > 0) for gain in gains]
    losses = [math.log1p(math.exp(-margin)) for margin in margins]
    accuracies = [min(1.0, 0.5 + 0.3 * gain / speed + abs(rng.gauss(0, 0.05))) if gain else 0.0 for gain in gains]
    more = {"rewards/margins": margins, "rewards/accuracies": accuracies}
    return laid_out(rng, "dpo", losses, peak=5e-7, declared={"beta": 0.1}, more=more if rng.random() < 0.8 else None)


def dpo_small_beta(rng: Random) -> Curve:
    """The loss hardly leaves ln 2, the accuracies do."""
    points = points_of(rng)
    margins = [0.02 * i / points + rng.gauss(0, 0.001) for i in range(points)]
    accuracies = [min(1.0, 0.5 + 0.3 * min(1, 4 * i / points) + rng.gauss(0, 0.04)) for i in range(points)]
    losses = [math.log1p(math.exp(-margin)) for margin in margins]
    more = {"rewards/margins": margins, "rewards/accuracies": accuracies}
    return laid_out(rng, "dpo", losses, declared={"beta": 0.01}, more=more)


def reward_model(rng: Random) -> Curve:
    points = points_of(rng)
    levels = fall(rng, points, start=rng.uniform(0.69, 0.78), end=rng.uniform(0.3, 0.6))
    losses = noisy(rng, levels, share=rng.uniform(0.02, 0.12), tails="normal")
    accuracies = [min(1.0, 0.5 + 0.25 * min(1, 3 * i / points) + rng.gauss(0, 0.06)) for i in range(points)]
    return laid_out(rng, "reward", losses, more={"accuracy": accuracies} if rng.random() < 0.7 else None)


def kto(rng: Random) -> Curve:
    points = points_of(rng)
    levels = fall(rng, points, start=0.5, end=rng.uniform(0.25, 0.42))
    return laid_out(rng, "kto", noisy(rng, levels, share=rng.uniform(0.01, 0.06), tails="normal"))


def stuck_vocabulary(rng: Random) -> Curve:
    vocabulary, points = rng.choice([8000, 32000, 50257, 128256, 151936]), points_of(rng)
    levels = [math.log(vocabulary) * rng.uniform(0.997, 1.01)] * points
    losses = noisy(rng, levels, share=rng.uniform(0.0005, 0.012), tails="normal")
    method = rng.choice(["pretrain", "sft"])
    return laid_out(rng, method, losses, peak=3e-4, declared={"vocab_size": vocabulary}, onset=0)


def stuck_classes(rng: Random) -> Curve:
    labels, points = rng.choice([2, 2, 3, 5, 10, 77]), points_of(rng)
    waits = rng.randint(0, points // 8)  # the head's first noise goes, then nothing
    height = rng.uniform(1.0, 1.2)
    levels = [math.log(labels) * (1 + (height - 1) * math.exp(-3 * i / (waits + 1))) for i in range(points)]
    losses = noisy(rng, levels, share=rng.uniform(0.003, 0.04), tails="normal")
    return laid_out(rng, rng.choice(["sft", "pretrain"]), losses, declared={"num_labels": labels}, onset=waits)


def stuck_pairs(rng: Random) -> Curve:
    points = points_of(rng)
    spread = rng.choice([0.0, 0.0005, 0.003, 0.008])
    margins = [rng.gauss(0, spread) if spread else 0.0 for _ in range(points)]
    losses = [math.log1p(math.exp(-margin)) for margin in margins]
    accuracies = [rng.gauss(0.5, 0.06) if spread else 0.0 for _ in range(points)]
    if rng.random() < 0.3:
        return laid_out(rng, "reward", losses, onset=0, more={"accuracy": accuracies})
    more = {"rewards/margins": margins, "rewards/accuracies": accuracies}
    return laid_out(rng, "dpo", losses, peak=5e-6, onset=0, more=more if rng.random() < 0.7 else None)


def stuck_other(rng: Random) -> Curve:
    points = points_of(rng)
    kinds: list[tuple[str, dict[str, Any], float]] = [
        ("kto", {}, 0.5),
        ("dpo", {"loss_type": "hinge"}, 1.0),
        ("dpo", {"loss_type": "ipo", "beta": 0.1}, 25.0),
        ("dpo", {"loss_type": ["sigmoid"], "beta": 0.1}, LN2),
    ]
    method, declared, level = rng.choice(kinds)
    losses = noisy(rng, [level] * points, share=rng.uniform(0.0001, 0.004), tails="normal")
    return laid_out(rng, method, losses, declared=declared, onset=0)


def never_falls(rng: Random) -> Curve:
    points = rng.choice([60, 100, 150, 300])
    level = rng.uniform(2.2, 9.0)
    share = rng.uniform(0.002, 0.02 if level < 4 else 0.05)
    losses = noisy(rng, [level] * points, share=share, tails="normal")
    return laid_out(rng, "sft", losses, onset=0)


# --- RUN005 ---


def evaluated(rng: Random, train: list[float], evaluations: list[float], *, method: str = "sft", **more: Any) -> Curve:
    """Evaluations spread evenly between the training points."""
    curve = laid_out(rng, method, train)
    every = len(train) / len(evaluations)
    out: list[Record] = []
    given = more.pop("accuracies", None)
    for number, value in enumerate(evaluations):
        chunk = curve.records[round(number * every) : round((number + 1) * every)]
        out += chunk
        record = {"eval_loss": value, "eval_runtime": 3.1, "step": chunk[-1]["step"], "epoch": chunk[-1]["epoch"]}
        if given is not None:
            record["eval_accuracy"] = given[number]
        out.append(record)
    return Curve(records=out, method=method, declared=curve.declared | more)


def _overfit(rng: Random, count: int, low: int, *, rise: float, noise: float) -> list[float]:
    start, best = rng.uniform(1.4, 2.5), rng.uniform(0.9, 1.3)
    levels = [best + (start - best) * (1 - i / low) ** 2 if i < low else best for i in range(low + 1)]
    levels += [best * (1 + rise * (i + 1)) for i in range(count - low - 1)]
    return [level * (1 + rng.gauss(0, noise)) for level in levels]


def overfits(rng: Random) -> Curve:
    count = rng.choice([6, 8, 12, 20])
    low = rng.randint(1, count - 4)
    points = count * rng.choice([3, 5, 10])
    train = noisy(rng, fall(rng, points, start=2.2, end=0.1), share=rng.uniform(0.01, 0.08), tails="normal")
    noise = rng.choice([0.0005, 0.002, 0.005])
    losses = _overfit(rng, count, low, rise=rng.uniform(max(0.012, 3 * noise), 0.12), noise=noise)
    curve = evaluated(rng, train, losses)
    places = [i for i, record in enumerate(curve.records) if "eval_loss" in record]
    curve.onset = places[low + 1]
    return curve


def overfits_in_epochs(rng: Random) -> Curve:
    """Three or four epochs, one evaluation each, the training loss in stairs."""
    epochs = rng.choice([4, 5])
    per = rng.choice([10, 20, 40])
    train = [level for epoch in range(epochs) for level in [1.5 * 0.6**epoch] * per]
    losses = [1.3, 1.25, 1.34, 1.47, 1.6][:epochs]
    curve = evaluated(rng, noisy(rng, train, share=0.05, tails="normal"), losses)
    places = [i for i, record in enumerate(curve.records) if "eval_loss" in record]
    curve.onset = places[2]
    return curve


def evaluates_well(rng: Random) -> Curve:
    """The validation loss falls and levels out with noise."""
    count, points = rng.choice([4, 8, 12, 25]), points_of(rng)
    train = noisy(rng, fall(rng, points, start=2.2, end=1.0), share=0.04, tails="normal")
    losses = noisy(
        rng, fall(rng, count, start=2.0, end=1.3), share=rng.choice([0.001, 0.004, 0.01, 0.02]), tails="normal"
    )
    return evaluated(rng, train, losses)


def one_bad_evaluation(rng: Random) -> Curve:
    curve = evaluates_well(rng)
    places = [i for i, record in enumerate(curve.records) if "eval_loss" in record]
    curve.records[rng.choice(places[1:])]["eval_loss"] *= rng.uniform(1.05, 1.3)
    return curve


def less_calibrated(rng: Random) -> Curve:
    """The validation loss rises a little, the accuracy goes on rising."""
    count = 8
    train = noisy(rng, fall(rng, 80, start=2.2, end=0.3), share=0.04, tails="normal")
    losses = _overfit(rng, count, 4, rise=0.01, noise=0.001)
    return evaluated(rng, train, losses, accuracies=[0.5 + 0.04 * i for i in range(count)])


def stops_early(rng: Random) -> Curve:
    """Early stopping is declared, and stops the run at the third evaluation that is no better."""
    low, patience = rng.randint(2, 5), rng.choice([2, 3])
    count = low + 1 + patience
    train = noisy(rng, fall(rng, count * 5, start=2.2, end=0.4), share=0.04, tails="normal")
    losses = _overfit(rng, count, low, rise=0.03, noise=0.001)
    return evaluated(rng, train, losses, early_stopping_patience=patience)


def diverges_on_both(rng: Random) -> Curve:
    count, points = 10, 100
    train = fall(rng, 50, start=2.2, end=1.2) + [1.4 * 1.02**i for i in range(50)]
    losses = fall(rng, 5, start=2.0, end=1.5) + [1.6 * 1.05**i for i in range(5)]
    assert len(train) == points
    return evaluated(rng, noisy(rng, train, share=0.02, tails="normal"), losses[:count])


# --- RUN006, RUN007 ---

PROSE = (
    "The harvest was late that year, and nobody in the valley knew what to do about it.",
    "To sort a list in place, call its sort method; to get a new one, use sorted().",
    "Paris is the capital of France and its largest city, with two million people.",
    "I would first measure where the time goes, and only then change the code.",
    "Water boils at 100 degrees at sea level, and at less than that on a mountain.",
    "Your order has left our store today and will be with you by Friday evening.",
)


def _outputs(rng: Random, style: str) -> list[str]:
    some = rng.sample(PROSE, 4)
    if style == "labels":
        return [rng.choice(["yes", "no"]) for _ in range(4)]
    if style == "json":
        return [f'{{"sentiment": "{rng.choice(["positive", "negative"])}", "score": {rng.random():.2f}}}' for _ in some]
    if style == "prefix":
        return ["The answer is " + text for text in some]
    if style == "numbers":
        return [f"The answer is {rng.randint(1, 99)}." for _ in some]
    if style == "table":
        return [
            "| name | value |\n|---|---|\n" + "\n".join(f"| row {i} | {rng.randint(1, 99)} |" for i in range(6))
        ] * 1 + some[:3]
    if style == "code":
        return [f"def add_{i}(a, b):\n    return a + b + {rng.randint(1, 9)}\n\nprint(add_{i}(1, 2))" for i in range(4)]
    return some


def samples_vary(rng: Random) -> Curve:
    style = rng.choice(["prose", "labels", "json", "prefix", "numbers", "table", "code", "think"])
    records: list[Record] = []
    for i in range(10):
        records += [{"step": 10 * i + j, "loss": 2.0 / (1 + i)} for j in range(1, 6)]
        outputs = _outputs(rng, style)
        if style == "think":
            outputs = [f"<think>\nLet me see: {rng.randint(1, 99)} it is.\n</think>\n{text}" for text in outputs]
        records.append({"step": 10 * i + 5, "eval_loss": 2.0, "samples": outputs})
    return Curve(records=records, declared={"expects_think": True} if style == "think" else {})


def samples_collapse(rng: Random) -> Curve:
    style = rng.choice(["loop", "same", "empty", "think", "exclaim", "only tag", "word"])
    good, bad = rng.randint(0, 5), 5
    records: list[Record] = []
    onset = None
    for i in range(good + bad):
        records += [{"step": 10 * i + j, "loss": 2.0 / (1 + i)} for j in range(1, 6)]
        outputs = _outputs(rng, "prose")
        if i >= good:
            onset = len(records) if onset is None else onset
            phrase = rng.choice(["the ", "I am a language model and ", "ha", "of the "])
            outputs = {
                "loop": [phrase * rng.randint(30, 60) for _ in range(4)],
                "same": [PROSE[0]] * 4,
                "empty": ["", " ", "\n", ""],
                "think": [f"<think>\nHm, {text}" for text in outputs],
                "exclaim": ["!" * rng.randint(20, 90) for _ in range(4)],
                "only tag": ["<think>"] * 4,
                "word": ["the the the the the the the the the the the the"] * 4,
            }[style]
        records.append({"step": 10 * i + 5, "eval_loss": 2.0, "samples": outputs})
    return Curve(records=records, onset=onset)


def shares_rise(rng: Random) -> Curve:
    points = 40
    at = rng.randint(0, 20)
    shares = [min(1.0, max(0.0, rng.gauss(0.02, 0.02))) if i < at else rng.uniform(0.97, 1.0) for i in range(points)]
    records = [
        {"step": i + 1, "reward": rng.gauss(0.5, 0.05), "reward_std": 0.2, "loss": 0.0, "think_share": shares[i]}
        for i in range(points)
    ]
    return Curve(records=records, method="grpo", onset=at)


def shares_are_wanted(rng: Random) -> Curve:
    curve = shares_rise(rng)
    curve.onset = None
    if rng.random() < 0.5:
        curve.declared = {"expects_think": True}
    else:
        for record in curve.records:
            record["think_share"] = rng.uniform(0.2, 0.9)
    return curve


def accurate(rng: Random) -> Curve:
    """Zero at first, as exact match is, then up."""
    count = 10
    zeros = rng.choice([0, 1, 2])
    train = noisy(rng, fall(rng, 100, start=2.2, end=0.6), share=0.05, tails="normal")
    values = [0.0] * zeros + [0.05 + 0.06 * i for i in range(count - zeros)]
    return evaluated(rng, train, fall(rng, count, start=2.0, end=1.0), accuracies=values)


def never_right(rng: Random) -> Curve:
    count = rng.choice([5, 8, 12])
    train = noisy(rng, fall(rng, 10 * count, start=2.2, end=0.6), share=0.05, tails="normal")
    curve = evaluated(rng, train, fall(rng, count, start=2.0, end=1.0), accuracies=[0.0] * count)
    curve.onset = next(i for i, record in enumerate(curve.records) if "eval_loss" in record)
    return curve


def right_no_more(rng: Random) -> Curve:
    count, at = 10, rng.randint(2, 7)
    train = noisy(rng, fall(rng, 100, start=2.2, end=0.6), share=0.05, tails="normal")
    values = [0.1 + 0.05 * i for i in range(at)] + [0.0] * (count - at)
    curve = evaluated(rng, train, fall(rng, count, start=2.0, end=1.0), accuracies=values)
    curve.onset = [i for i, record in enumerate(curve.records) if "eval_loss" in record][at]
    return curve


# --- RUN027 ---


def grpo_curve(rng: Random, rewards: list[float], spreads: list[float], onset: int | None = None) -> Curve:
    every = rng.choice([1, 1, 5, 10])
    shares = rng.random() < 0.7
    records: list[Record] = []
    for i, (reward, spread) in enumerate(zip(rewards, spreads, strict=True)):
        record: Record = {"step": (i + 1) * every, "loss": rng.choice([0.0, 0.0, rng.gauss(0, 0.01)]), "reward": reward}
        record |= {"reward_std": spread, "kl": abs(rng.gauss(0.01, 0.003)), "grad_norm": 0.2 if spread else 0.0}
        record["completion_length"] = rng.gauss(180, 15)
        if shares:
            record["frac_reward_zero_std"] = 1.0 if spread == 0 else rng.choice([0.0, 0.125, 0.25, 0.5])
        records.append(record)
    return Curve(records=records, method="grpo", declared={"max_steps": len(rewards) * every}, onset=onset)


def _rise(rng: Random, points: int, low: float, high: float) -> list[float]:
    """A slow rise with a wandering level."""
    wander, out = 0.0, []
    for i in range(points):
        wander = 0.9 * wander + rng.gauss(0, 0.01)
        out.append(low + (high - low) * (1 - math.exp(-3 * i / points)) + wander * (high - low))
    return out


def _scale(rng: Random) -> tuple[float, float]:
    return rng.choice([(0.1, 0.8), (0.0, 1.6), (-1.5, 0.7), (0.5, 0.9), (2.0, 7.5), (-0.4, -0.05)])


def grpo_learns(rng: Random) -> Curve:
    points, (low, high) = points_of(rng), _scale(rng)
    noise = rng.uniform(0.02, 0.15) * (high - low)
    rewards = [level + rng.gauss(0, noise) for level in _rise(rng, points, low, high)]
    return grpo_curve(rng, rewards, [abs(rng.gauss(0.3, 0.08)) + 0.01 for _ in rewards])


def grpo_dips(rng: Random) -> Curve:
    curve = grpo_learns(rng)
    low, high = _scale(rng)
    values = [record["reward"] for record in curve.records]
    high, low = max(values), min(values)
    at = rng.randint(len(values) // 2, len(values) - 12)
    for i in range(at, at + rng.randint(1, 4)):
        curve.records[i]["reward"] -= 0.8 * (high - low)
    return curve


def grpo_sparse(rng: Random) -> Curve:
    """A hard task: now and then a group, or all of them, without a hit."""
    points = points_of(rng)
    chance = rng.uniform(0.3, 0.6)
    hits = [rng.random() > chance * (1 - i / points) for i in range(points)]
    rewards = [0.1 * (1 + i / points) * rng.uniform(0.5, 1.5) if hit else 0.0 for i, hit in enumerate(hits)]
    return grpo_curve(rng, rewards, [0.3 if hit else 0.0 for hit in hits])


def grpo_solves(rng: Random) -> Curve:
    """Every answer is right from two thirds on: neither healthy nor a fall."""
    points = points_of(rng)
    at = 2 * points // 3
    rewards = [min(0.98, 0.2 + 0.8 * i / at + rng.gauss(0, 0.03)) if i < at else 1.0 for i in range(points)]
    return grpo_curve(rng, rewards, [0.2 if i < at else 0.0 for i in range(points)])


def grpo_falls(rng: Random) -> Curve:
    points, (low, high) = rng.choice([60, 100, 150]), _scale(rng)
    noise = rng.uniform(0.02, 0.12) * (high - low)
    at = rng.randint(points // 3, 2 * points // 3)
    deep = rng.uniform(-0.3, 0.15)
    levels = _rise(rng, points, low, high)
    slope = rng.choice([1, 1, 4])
    bottom = low + deep * (high - low)
    levels = levels[:at] + [
        max(bottom, levels[at] + (bottom - levels[at]) * (i + 1) / slope) for i in range(points - at)
    ]
    rewards = [level + rng.gauss(0, noise) for level in levels]
    return grpo_curve(rng, rewards, [abs(rng.gauss(0.3, 0.08)) + 0.01 for _ in rewards], onset=at)


def grpo_without_spread(rng: Random) -> Curve:
    points = rng.choice([40, 60, 100])
    at = rng.choice([0, 0, points // 3, points // 2])
    level = rng.choice([0.0, 0.5, 1.0, -1.0])
    rewards = [rng.gauss(1.2, 0.1) if i < at else level for i in range(points)]
    return grpo_curve(rng, rewards, [0.25 if i < at else 0.0 for i in range(points)], onset=at)


Maker = Callable[[Random], Curve]
HEALTHY: tuple[Maker, ...] = (
    pretrained_familiar,
    fine_tune,
    long_text,
    pretrain,
    slow_pretrain,
    classifier,
    dpo,
    dpo_small_beta,
    reward_model,
    kto,
    evaluates_well,
    one_bad_evaluation,
    less_calibrated,
    stops_early,
    samples_vary,
    shares_are_wanted,
    accurate,
    grpo_learns,
    grpo_dips,
    grpo_sparse,
)
FAULTY: dict[str, tuple[Maker, ...]] = {
    "RUN004": (stuck_vocabulary, stuck_classes, stuck_pairs, stuck_other, never_falls),
    "RUN005": (overfits, overfits_in_epochs),
    "RUN006": (samples_collapse, shares_rise),
    "RUN007": (never_right, right_no_more),
    "RUN027": (grpo_falls, grpo_without_spread),
}
