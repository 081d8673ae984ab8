"""Reconstructed traces with a faulty loss: NaN, infinity, divergence, plateau, exactly zero, overfitting."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.traces.shaping import Book, Record, Shape, Simulation

NAN, INF = math.nan, math.inf
DPO_KEYS = "loss grad_norm learning_rate epoch"


def preferences(book: Book, step: int, total: int, *, strength: float = 1.0, start: float = 0.5) -> Record:
    """The reward keys that TRL's DPO and KTO trainers log beside the loss."""
    rng, done = book.rng, step / total
    margin = strength * 1.6 * done / (done + 0.15) + rng.gauss(0, 0.02)
    accuracy = min(1.0, max(0.0, start + 0.35 * strength * done / (done + 0.12) + rng.gauss(0, 0.03)))
    return {"rewards/margins": margin, "rewards/accuracies": accuracy}


def nan_at_once() -> Iterator[Book]:
    """The loss is NaN from some step on, as it is logged where `logging_nan_inf_filter` is off."""
    for name, method, shape, at in (
        ("nan-sft-bf16", "sft", Shape(steps=600, every=5, lr=1e-4, warmup=20, start=2.2), 305),
        (
            "nan-pretrain",
            "pretrain",
            Shape(
                steps=20_000,
                every=100,
                lr=6e-4,
                warmup=700,
                start=10.8,
                floor=3.2,
                schedule="cosine",
                half=0.02,
                keys="loss learning_rate",
            ),
            13_400,
        ),
        ("nan-kto", "kto", Shape(steps=300, every=5, lr=5e-6, start=0.5, floor=0.36, noise=0.04), 85),
        ("nan-dpo-first", "dpo", Shape(steps=200, every=1, lr=5e-6, warmup=10, start=0.693, floor=0.5, noise=0.01), 3),
        ("nan-reward-late", "reward", Shape(steps=1200, every=20, lr=1e-5, start=0.71, floor=0.42, noise=0.05), 1060),
    ):
        book = Book(
            name=name,
            method=method,
            source="reconstructed: bf16 fine-tuning runs whose loss turns NaN within one step, as told in many threads",
            about="NaN at once, and for good",
            declared=shape.declared(),
        )

        def change(record: Record, step: int, at: int = at, shape: Shape = shape) -> Record:
            if step >= at:
                record["loss"] = NAN
                if "grad_norm" in record:
                    record["grad_norm"] = NAN
            return record

        simulation = Simulation(book, shape, change)
        simulation.run(stop=at)
        book.label("RUN001", "error", also="RUN003 RUN020")
        simulation.run(at, min(shape.steps, at + 30 * shape.every))
        yield book


def nan_hidden() -> Iterator[Book]:
    """The Trainer replaces NaN by the mean of the window so far: 0.0 where nothing else was in the window."""
    for name, method, every, at, first, declared in (
        ("hidden-nan-every-step", "sft", 1, 41, 0.0, True),
        ("hidden-nan-window", "sft", 10, 620, 0.4, True),
        ("hidden-nan-second-log", "sft", 1, 2, 1.0, False),
        ("hidden-nan-dpo", "dpo", 10, 150, 0.2, True),
        ("hidden-nan-kto", "kto", 5, 55, 0.7, False),
        ("hidden-nan-qlora-deep", "sft", 25, 2050, 0.9, True),
        ("hidden-nan-pretrain", "pretrain", 50, 3000, 0.6, True),
    ):
        start = {"dpo": 0.693, "kto": 0.5, "pretrain": 9.7}.get(method, 1.6)
        shape = Shape(
            steps=at + 40 * every,
            every=every,
            lr=2e-4,
            warmup=5 * every if at > 100 else 0,
            start=start,
            floor=0.65 * start,
            digits=4 if declared else 0,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: threads in which the Trainer prints loss 0.0 beside grad_norm nan "
                "(bf16 or flash attention with padded rows)"
            ),
            about="NaN hidden by logging_nan_inf_filter: 0.0 in the log, the gradient norm tells",
            declared=shape.declared() if declared else {},
        )

        def change(record: Record, step: int, at: int = at, first: float = first) -> Record:
            if step == at:
                record |= {"loss": record["loss"] * first, "grad_norm": NAN}
            elif step > at:
                record |= {"loss": 0.0, "grad_norm": NAN}
            return record

        simulation = Simulation(book, shape, change)
        simulation.run(stop=at)
        book.label("RUN001", "error", also="RUN018 RUN020 RUN003")
        simulation.run(at, shape.steps)
        yield book


def nan_evaluation() -> Iterator[Book]:
    """Only the evaluation is NaN: one of its batches has no label that counts."""
    shape = Shape(steps=400, every=10, lr=1e-5, start=1.4, floor=1.0, eval_every=100)
    book = Book(
        name="nan-evaluation",
        method="sft",
        source=(
            "reconstructed: threads about eval_loss nan with a sound training loss, caused by "
            "evaluation rows whose answer is cut off"
        ),
        about="eval_loss is NaN from the first evaluation on",
        declared=shape.declared(),
    )
    simulation = Simulation(book, shape)
    simulation.eval_loss = lambda step: NAN
    simulation.run(stop=100)
    book.label("RUN001", "error")
    simulation.run(100, 400)
    yield book


def infinite() -> Iterator[Book]:
    """The loss is infinite."""
    for name, method, every, at, then in (
        ("inf-sft-blown-up", "sft", 10, 230, NAN),
        ("inf-dpo", "dpo", 5, 120, INF),
        ("inf-reward-fp16", "reward", 10, 90, INF),
        ("inf-pretrain-mean", "pretrain", 100, 4100, NAN),
        ("inf-grpo-ratio", "grpo", 1, 57, INF),
    ):
        start = {"dpo": 0.693, "reward": 0.7, "pretrain": 8.9, "grpo": 0.01}.get(method, 1.9)
        shape = Shape(
            steps=at + 40 * every,
            every=every,
            lr=3e-4,
            start=start,
            floor=0.7 * start,
            keys="loss learning_rate epoch" if name == "inf-sft-blown-up" else "loss grad_norm learning_rate epoch",
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: a LoRA run whose loss went over hundreds of thousands to inf and then "
                "nan; fp16 overflow in the loss"
            ),
            about="an infinite loss",
            declared=shape.declared(),
        )

        def change(
            record: Record, step: int, at: int = at, then: float = then, name: str = name, every: int = every
        ) -> Record:
            if name == "inf-sft-blown-up" and at - 4 * every <= step < at:
                record["loss"] *= 10 ** (6 - (at - step) / every)
            if step == at:
                record["loss"] = INF
            elif step > at:
                record["loss"] = then
            if step >= at and "grad_norm" in record:
                record["grad_norm"] = INF if step == at else NAN
            return record

        simulation = Simulation(book, shape, change)
        if name == "inf-sft-blown-up":
            simulation.run(stop=at - 4 * every)
            book.label("RUN003", "error")
            simulation.run(at - 4 * every, at)
        else:
            simulation.run(stop=at)
        book.label("RUN002", "error", also="RUN001 RUN003 RUN020 RUN027")
        simulation.run(at, min(shape.steps, at + 20 * every))
        yield book


def spikes() -> Iterator[Book]:
    """A large spike that comes back: worth a word, no reason to stop."""
    for name, method, every, at, height, width, noise in (
        ("spike-palm-like", "pretrain", 100, 9_000, 0.75, 9, 0.006),
        ("spike-sft-one-file", "sft", 10, 700, 1.6, 5, 0.03),
        ("spike-sft-single-step", "sft", 1, 80, 2.5, 4, 0.06),
        ("spike-reward-model", "reward", 10, 400, 2.2, 6, 0.04),
        ("spike-pretrain-tall", "pretrain", 50, 5_000, 1.4, 7, 0.01),
    ):
        start, floor = {"pretrain": (10.4, 2.4), "reward": (0.7, 0.4)}.get(method, (1.8, 1.1))
        shape = Shape(
            steps=2 * at,
            every=every,
            lr=2e-4,
            schedule="cosine",
            warmup=at // 20,
            start=start,
            floor=floor,
            noise=noise,
            half=0.03 if method == "pretrain" else 0.08,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: loss spikes as PaLM's and other pretraining reports describe them, "
                "and fine-tuning logs with one bad stretch"
            ),
            about=f"the loss jumps to {1 + height:.1f} times its level and is back after {width} points",
            declared=shape.declared(),
            max_severity={"RUN003": "warn"},
        )
        simulation = Simulation(book, shape)

        def level(
            step: int,
            shape: Shape = shape,
            at: int = at,
            height: float = height,
            width: int = width,
            every: int = every,
        ) -> float:
            point = (step - at) / every
            bump = height * math.exp(-2.2 * point / width) if 0 <= point <= width else 0.0
            return shape.loss(step) * (1 + bump)

        def change(record: Record, step: int, at: int = at, width: int = width, every: int = every) -> Record:
            if 0 <= step - at <= width * every and "grad_norm" in record:
                record["grad_norm"] *= 1 + 12 * math.exp(-(step - at) / every)
            return record

        simulation.level, simulation.change = level, change
        simulation.run(stop=at)
        book.label("RUN003", "warn", also="RUN020")
        simulation.run(at, at + 60 * every)
        yield book


def divergence() -> Iterator[Book]:
    """The loss rises and stays up."""
    cases = (
        # name, method, every, at, target (times the level), points until there, noise, start, floor, keys
        ("diverged-lr-too-high", "sft", 5, 60, 5.5, 6, 0.05, 1.7, 1.3, "loss grad_norm learning_rate epoch"),
        ("diverged-to-uniform", "sft", 10, 320, 8.6, 2, 0.02, 1.8, 1.15, "loss grad_norm learning_rate epoch"),
        ("diverged-opt-like", "pretrain", 100, 11_000, 1.9, 30, 0.008, 10.8, 2.6, "loss grad_norm learning_rate"),
        ("diverged-slowly", "sft", 10, 800, 2.3, 60, 0.03, 1.9, 0.9, "loss grad_norm learning_rate epoch"),
        ("diverged-dpo", "dpo", 5, 175, 9.0, 14, 0.07, 0.693, 0.45, "loss grad_norm learning_rate epoch"),
        ("diverged-no-norms", "sft", 20, 900, 4.0, 5, 0.03, 2.4, 1.5, "loss learning_rate"),
        ("diverged-loss-only", "pretrain", 10, 450, 1.6, 12, 0.02, 7.1, 4.2, "loss"),
        ("diverged-noisy-single", "sft", 1, 90, 3.4, 8, 0.15, 1.6, 1.2, "loss grad_norm learning_rate epoch"),
        ("diverged-kto", "kto", 10, 300, 1.9, 12, 0.03, 0.5, 0.34, "loss grad_norm learning_rate"),
        ("diverged-reward", "reward", 10, 240, 6.0, 10, 0.06, 0.71, 0.38, "loss grad_norm learning_rate epoch"),
    )  # fmt: skip
    for name, method, every, at, target, points, noise, start, floor, keys in cases:
        shape = Shape(
            steps=int(2.2 * at),
            every=every,
            lr=1e-3 if method == "sft" else 3e-4,
            schedule="cosine",
            warmup=at // 12,
            start=start,
            floor=floor,
            noise=noise,
            keys=keys,
            half=0.04,
        )
        declared = {} if name == "diverged-loss-only" else shape.declared()
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: learning rates ten times too high, bf16 runs that leave the track, "
                "OPT's log of divergences without its restarts"
            ),
            about=f"the loss climbs to {target} times its level within {points} points and stays there",
            declared=declared,
        )
        simulation = Simulation(book, shape)

        def level(
            step: int,
            shape: Shape = shape,
            at: int = at,
            target: float = target,
            points: int = points,
            every: int = every,
        ) -> float:
            point = (step - at) / every
            if point < 0:
                return shape.loss(step)
            share = min(1.0, (point + 1) / points)
            return shape.loss(at) * (1 + (target - 1) * share**0.8)

        def change(record: Record, step: int, at: int = at, points: int = points, every: int = every) -> Record:
            if step >= at and "grad_norm" in record:
                share = min(1.0, (step - at) / every / points)
                record["grad_norm"] *= 1 + 25 * share
            return record

        simulation.level, simulation.change = level, change
        simulation.run(stop=at)
        since = len(book.records) - 1
        # Visible where the rise passes four times the noise of a point (at least 15 %).
        need = max(0.15, 4 * noise) / (target - 1)
        delay = max(0, math.ceil(points * need**1.25) - 1)
        simulation.run(at, at + delay * every)
        book.label("RUN003", "error", since=since, also="RUN020 RUN004 RUN005")
        simulation.run(at + delay * every, at + (points + 45) * every)
        yield book


def all_books() -> Iterator[Book]:
    for make in (nan_at_once, nan_hidden, nan_evaluation, infinite, spikes, divergence):
        yield from make()
