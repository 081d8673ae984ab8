"""Reconstructed healthy traces of DPO, GRPO, KTO and reward models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from tests.traces.shaping import Book, Record, Shape, Simulation

SOURCE = "reconstructed: a healthy run as TRL's trainers log it"


def dpo() -> Iterator[Book]:
    cases = (
        # name, loss_type, start, floor, every, steps, lr, warmup, noise, half
        ("dpo-starts-at-ln2", "sigmoid", 0.693147, 0.42, 10, 600, 5e-6, 60, 0.02, 0.2),
        ("dpo-long-warmup", "sigmoid", 0.693147, 0.55, 5, 400, 5e-7, 120, 0.006, 0.4),
        ("dpo-slow-but-moving", "sigmoid", 0.693147, 0.64, 10, 800, 5e-7, 80, 0.004, 0.4),
        ("dpo-single-steps", "sigmoid", 0.693147, 0.40, 1, 200, 1e-5, 10, 0.09, 0.25),
        ("dpo-goes-deep", "sigmoid", 0.693147, 0.02, 10, 700, 2e-5, 30, 0.08, 0.15),
        ("dpo-ipo", "ipo", 25.0, 14.0, 10, 500, 1e-6, 20, 0.06, 0.2),
        ("dpo-hinge", "hinge", 1.0, 0.45, 10, 500, 1e-6, 50, 0.03, 0.2),
        ("dpo-rounded", "sigmoid", 0.693147, 0.5, 10, 500, 1e-6, 50, 0.01, 0.3),
    )
    for name, loss_type, start, floor, every, steps, lr, warmup, noise, half in cases:
        shape = Shape(
            steps=steps,
            every=every,
            lr=lr,
            warmup=warmup,
            start=start,
            floor=floor,
            noise=noise,
            half=half,
            grad=2.4,
            digits=4 if name == "dpo-rounded" else 0,
        )
        book = Book(
            name=name,
            method="dpo",
            source=SOURCE,
            about=f"DPO, loss {loss_type}: starts at what an unchanged policy gives, then falls",
            declared=shape.declared(beta=0.1, loss_type=loss_type),
        )

        def level(step: int, shape: Shape = shape) -> float:
            # While the rate warms up almost nothing moves.
            moved = max(0.0, step - 0.6 * shape.warmup)
            return shape.floor + (shape.start - shape.floor) / (1 + moved / shape.steps / shape.half)

        def change(
            record: Record, step: int, shape: Shape = shape, book: Book = book, loss_type: str = loss_type
        ) -> Record:
            share = (shape.start - level(step)) / shape.start
            if share < 0.01 and loss_type == "sigmoid":
                record["loss"] = shape.start * (1 + book.rng.gauss(0, 0.0008))
            margin = 2.5 * share + book.rng.gauss(0, 0.004 + 0.1 * share)
            accuracy = 0.5 + 0.45 * min(1.0, 2 * share) + book.rng.gauss(0, 0.03)
            return record | {"rewards/margins": margin, "rewards/accuracies": min(1.0, accuracy)}

        simulation = Simulation(book, shape, change)
        simulation.level = level
        simulation.run()
        simulation.end()
        yield book


def grpo() -> Iterator[Book]:

    def rising(done: float) -> float:
        return 0.25 + 0.45 * done / (done + 0.3)

    cases = (
        # name, loss scale, reward over the run, noise, spread, share of groups without spread, every, beta
        ("grpo-loss-zero-reward-moves", 0.0, rising, 0.05, 0.35, 0.2, 1, 0.0),
        ("grpo-loss-zero-kl", 0.0, lambda done: 1.7 + 0.3 * done, 0.12, 0.6, 0.0, 2, 0.04),
        ("grpo-loss-signs", 0.02, rising, 0.06, 0.3, 0.3, 1, 0.0),
        ("grpo-negative-reward", 0.004, lambda done: -3.2 + 2.1 * done, 0.25, 1.1, 0.1, 2, 0.04),
        ("grpo-reward-noisy", 0.01, lambda done: 0.3 + 0.15 * done, 0.13, 0.3, 0.4, 1, 0.0),
        ("grpo-many-groups-without-spread", 0.003, lambda done: 0.12 + 0.2 * done, 0.05, 0.12, 0.75, 1, 0.0),
        ("grpo-solved", 0.002, lambda done: 1 - 0.6 * math.exp(-4 * done), 0.02, 0.12, 0.6, 2, 0.0),
        (
            "grpo-flat-start",
            0.001,
            lambda done: 0.05 + 0.5 / (1 + math.exp(-12 * (done - 0.5))),
            0.02,
            0.15,
            0.5,
            1,
            0.0,
        ),
        (
            "grpo-dips-and-recovers",
            0.005,
            lambda done: 0.5 + 0.2 * done - 0.14 * math.exp(-(((done - 0.5) / 0.04) ** 2)),
            0.04,
            0.3,
            0.2,
            1,
            0.0,
        ),
        ("grpo-outputs-grow", 0.006, rising, 0.05, 0.3, 0.2, 1, 0.0),
        ("grpo-one-step-without-spread", 0.004, rising, 0.05, 0.3, 0.3, 1, 0.0),
        ("grpo-kl-grows", 0.01, rising, 0.04, 0.3, 0.2, 5, 0.04),
    )
    for name, scale, reward_at, noise, spread, zero, every, beta in cases:
        shape = Shape(
            steps=130 * every,
            every=every,
            lr=1e-6,
            schedule="cosine",
            warmup=5 * every,
            seconds=24.0,
            grad=0.2,
            grad_noise=0.35,
            time_noise=0.1,
            keys="loss grad_norm learning_rate num_tokens epoch",
            ticks=30.0 if name == "grpo-one-step-without-spread" else 0.0,
        )
        book = Book(
            name=name,
            method="grpo",
            source=SOURCE,
            about="GRPO: the loss says nothing, the reward moves",
            declared=shape.declared(beta=beta),
        )
        long = name == "grpo-outputs-grow"

        def change(
            record: Record,
            step: int,
            shape: Shape = shape,
            book: Book = book,
            scale: float = scale,
            reward_at: Callable[[float], float] = reward_at,
            noise: float = noise,
            spread: float = spread,
            zero: float = zero,
            beta: float = beta,
            name: str = name,
            long: bool = long,
        ) -> Record:
            rng, done = book.rng, step / shape.steps
            reward = reward_at(done) + rng.gauss(0, noise)
            if name == "grpo-solved":
                reward = min(1.0, reward)
            width = abs(rng.gauss(spread, 0.15 * spread)) * (max(0.25, 1 - done) if name == "grpo-solved" else 1)
            record |= {"loss": rng.gauss(0, scale) if scale else 0.0, "reward": reward, "reward_std": width}
            record["frac_reward_zero_std"] = min(0.97, max(0.0, zero + rng.gauss(0, 0.08)))
            record["completion_length"] = (260 + (900 * done if long else 0)) * (1 + rng.gauss(0, 0.05))
            record["clipped_ratio"] = max(0.0, rng.gauss(0.05, 0.03))
            if beta:
                growth = 40 if name == "grpo-kl-grows" else 4
                record["kl"] = 5e-4 * (1 + growth * done) * (1 + rng.gauss(0, 0.1))
                if scale == 0.0:
                    record["loss"] = round(beta * record["kl"], 4)
            if name == "grpo-one-step-without-spread" and step in (31, 78):
                record |= {"reward_std": 0.0, "frac_reward_zero_std": 1.0, "grad_norm": 0.0, "loss": 0.0}
            return record

        simulation = Simulation(book, shape, change)
        if long:
            simulation.pace = lambda step, shape=shape: 1 + 2.2 * step / shape.steps
        simulation.run()
        simulation.end()
        yield book


def others() -> Iterator[Book]:
    cases = (
        ("kto-starts-at-half", "kto", 0.5, 0.36, 10, 500, 5e-7, 0.02),
        ("kto-slow", "kto", 0.5, 0.47, 10, 600, 5e-7, 0.005),
        ("kto-single-steps", "kto", 0.5, 0.35, 1, 180, 5e-6, 0.12),
        ("reward-model", "reward", 0.70, 0.38, 10, 500, 1e-5, 0.06),
        ("reward-model-hard-pairs", "reward", 0.71, 0.61, 10, 800, 1e-5, 0.03),
        ("reward-model-single-steps", "reward", 0.72, 0.45, 1, 200, 5e-5, 0.2),
        ("reward-model-evaluated", "reward", 0.70, 0.30, 10, 500, 2e-5, 0.06),
    )
    for name, method, start, floor, every, steps, lr, noise in cases:
        shape = Shape(
            steps=steps,
            every=every,
            lr=lr,
            warmup=steps // 20,
            start=start,
            floor=floor,
            noise=noise,
            half=0.25,
            grad=1.9,
            eval_every=100 if "evaluated" in name else 0,
            schedule="cosine",
        )
        book = Book(
            name=name,
            method=method,
            source=SOURCE,
            about=f"{method}: starts at what an untrained model gives, then falls",
            declared=shape.declared(),
        )
        # The evaluation follows at a distance and stops falling; it does not rise.
        simulation = Simulation(book, shape)
        simulation.eval_loss = lambda step, shape=shape: max(0.42, shape.loss(step) + 0.03)
        simulation.eval_more = lambda step: {"eval_accuracy": min(0.83, 0.55 + 0.28 * step / 300)}
        simulation.run()
        simulation.end()
        yield book


def all_books() -> Iterator[Book]:
    for make in (dpo, grpo, others):
        yield from make()
