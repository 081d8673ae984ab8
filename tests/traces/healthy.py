"""Reconstructed healthy traces of SFT and pretraining: what looks odd and is none of it a fault."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from tests.traces.shaping import Book, Record, Shape, Simulation

SOURCE = "reconstructed: a healthy run as the Trainer logs it"


def book_of(name: str, about: str, shape: Shape, method: str = "sft", **more: object) -> Book:
    return Book(name=name, method=method, source=SOURCE, about=about, declared=shape.declared(**more))


def schedules() -> Iterator[Book]:
    """Every schedule that the Trainer has, as declared."""
    base = Shape(steps=800, every=10, lr=2e-5, warmup=80)
    cases = (
        ("lr-linear-warmup-zero-first", replace(base, every=1, steps=120, warmup=12, noise=0.05), {}),
        ("lr-linear-no-warmup", replace(base, warmup=0), {}),
        ("lr-cosine-to-nothing", replace(base, schedule="cosine"), {}),
        ("lr-cosine-old-logs", replace(base, schedule="cosine", lag=0, digits=4), {}),
        ("lr-cosine-restarts-three", replace(base, schedule="cosine_with_restarts", more={"num_cycles": 3}), {}),
        (
            "lr-cosine-restarts-eight",
            replace(base, schedule="cosine_with_restarts", every=5, steps=900, more={"num_cycles": 8}),
            {},
        ),
        ("lr-constant", replace(base, schedule="constant", warmup=0), {}),
        ("lr-constant-after-warmup", replace(base, schedule="constant_with_warmup"), {}),
        ("lr-polynomial", replace(base, schedule="polynomial", more={"lr_end": 1e-6}), {}),
        ("lr-inverse-square-root", replace(base, schedule="inverse_sqrt"), {}),
        ("lr-cosine-with-floor", replace(base, schedule="cosine_with_min_lr", more={"lr_end": 2e-6}), {}),
        (
            "lr-stable-then-decay",
            replace(base, schedule="warmup_stable_decay", steps=1500, more={"num_decay_steps": 300}),
            {},
        ),
        ("lr-tiny-warmup-long", replace(base, lr=5e-7, warmup=400), {}),
    )
    for name, shape, more in cases:
        book = book_of(name, f"schedule {shape.schedule}", shape, **more)
        book.event("start")
        simulation = Simulation(book, shape)
        simulation.run()
        simulation.end()
        yield book
    shape = replace(base, schedule="reduce_lr_on_plateau", warmup=0, eval_every=80, lr=1e-4, half=0.03)
    book = book_of("lr-halved-on-plateau", "the rate is halved twice where the evaluation stands still", shape)

    def halved(record: Record, step: int) -> Record:
        record["learning_rate"] = 1e-4 * 0.5 ** ((step > 400) + (step > 640))
        return record

    Simulation(book, shape, halved).run()
    yield book
    shape = replace(base, schedule="linear", warmup=0)
    yield_book = book_of("lr-logged-by-nobody", "no learning rate in the log", replace(shape, keys="loss epoch"))
    Simulation(yield_book, replace(shape, keys="loss epoch")).run()
    yield yield_book


def curves() -> Iterator[Book]:
    """Odd but sound loss curves."""
    cases = (
        (
            "curve-epoch-staircase",
            "sft",
            Shape(steps=900, every=10, start=1.5, floor=1.2, staircase=0.22, epoch_steps=300),
            "three epochs; the loss drops by a fifth at each boundary",
        ),
        (
            "curve-epoch-staircase-steep",
            "sft",
            Shape(steps=600, every=5, start=1.9, floor=1.6, staircase=0.5, epoch_steps=200, noise=0.05, lr=1e-4),
            "three epochs with a steep drop at each boundary",
        ),
        (
            "curve-batch-of-one",
            "sft",
            Shape(steps=250, every=1, noise=0.3, tail=0.05),
            "single steps of one example: very noisy",
        ),
        (
            "curve-batch-of-one-heavy-tail",
            "sft",
            Shape(steps=300, every=1, noise=0.22, tail=0.12, start=1.3, floor=1.0),
            "single steps with hard examples among them",
        ),
        (
            "curve-flat-pretrained",
            "sft",
            Shape(steps=1000, every=10, start=1.31, floor=1.29, drift=0.03, noise=0.02, lr=1e-5),
            "a model that knows the domain: flat, slowly falling",
        ),
        (
            "curve-flat-pretrained-noisy",
            "sft",
            Shape(steps=500, every=5, start=0.86, floor=0.84, drift=0.03, noise=0.08, lr=5e-6),
            "flat within the noise, slowly falling",
        ),
        (
            "curve-low-loss",
            "sft",
            Shape(steps=600, every=10, start=0.09, floor=0.02, noise=0.12),
            "structured output: a loss near zero, and sound",
        ),
        (
            "curve-very-low-loss",
            "sft",
            Shape(steps=400, every=5, start=0.4, floor=0.004, half=0.02, noise=0.2, grad=0.05),
            "memorised formats: thousandths, not zero",
        ),
        (
            "curve-high-loss",
            "pretrain",
            Shape(
                steps=30_000,
                every=200,
                start=10.9,
                floor=3.1,
                half=0.02,
                noise=0.006,
                lr=6e-4,
                schedule="cosine",
                warmup=2000,
            ),
            "from scratch: 11 to 3",
        ),
        (
            "curve-pretrain-single-steps",
            "pretrain",
            Shape(steps=300, every=1, start=10.4, floor=6.2, half=0.1, noise=0.01, lr=1e-3, warmup=30),
            "the first 300 steps of a pretraining run",
        ),
        (
            "curve-pretrain-sparse",
            "pretrain",
            Shape(steps=50_000, every=500, start=9.9, floor=2.8, half=0.01, noise=0.004, keys="loss learning_rate"),
            "a point every 500 steps",
        ),
        (
            "curve-continued-pretrain",
            "pretrain",
            Shape(steps=4000, every=20, start=2.31, floor=2.24, half=0.2, noise=0.015),
            "continued pretraining: a slight fall",
        ),
        ("curve-short", "sft", Shape(steps=25, every=5, noise=0.08), "five points and the end"),
        ("curve-one-point", "sft", Shape(steps=10, every=10), "one point and the end"),
        (
            "curve-moe",
            "pretrain",
            Shape(steps=6000, every=50, start=8.9, floor=3.4, half=0.03, noise=0.025, tail=0.05, grad_noise=0.5),
            "mixture of experts: noisy norms",
        ),
        (
            "curve-converged-early",
            "sft",
            Shape(steps=1500, every=10, half=0.004, noise=0.025),
            "falls in the first points and stays: converged",
        ),
        (
            "curve-qlora",
            "sft",
            Shape(steps=700, every=10, lr=2e-4, schedule="constant_with_warmup", warmup=20, grad=0.3, noise=0.06),
            "QLoRA on mixed chats",
        ),
        (
            "curve-packed",
            "sft",
            Shape(steps=500, every=5, noise=0.008, start=1.7, floor=1.35),
            "packed sequences: little noise",
        ),
        (
            "curve-loss-only",
            "sft",
            Shape(steps=400, every=5, noise=0.05, keys="loss no_t"),
            "nothing but the loss and the step",
        ),
        (
            "curve-grads-rise-late",
            "sft",
            Shape(
                steps=900,
                every=10,
                grad=0.25,
                grad_trend=3.0,
                start=1.5,
                floor=1.0,
                epoch_steps=300,
                staircase=0.15,
                lr=2e-4,
            ),
            "LoRA: norms grow by four while the loss falls",
        ),
        (
            "curve-grads-fall",
            "sft",
            Shape(steps=900, every=10, grad=6.0, grad_trend=-0.85),
            "norms shrink to a seventh: settling",
        ),
        (
            "curve-grads-large",
            "sft",
            Shape(steps=400, every=5, grad=45.0, grad_noise=0.4),
            "norms of 45, clipped each time, from the start",
        ),
        (
            "curve-grads-tiny",
            "sft",
            Shape(steps=400, every=5, grad=0.004, grad_noise=0.3),
            "norms of 0.004 in a large batch",
        ),
        (
            "curve-summed-loss",
            "sft",
            Shape(steps=300, every=5, start=58.0, floor=33.0, grad=130.0),
            "the loss is a sum over the micro-batches",
        ),
    )
    for name, method, shape, about in cases:
        book = book_of(name, about, shape, method)
        simulation = Simulation(book, shape)
        simulation.run()
        if "loss-only" not in name:
            simulation.end()
        yield book


def jumps() -> Iterator[Book]:
    """Levels that jump where the data change, and spikes too small to speak of."""
    for name, kind, method, every, noise in (
        ("files-level-up", "up", "sft", 10, 0.03),
        ("files-level-down", "down", "sft", 5, 0.04),
        ("files-three", "three", "pretrain", 20, 0.015),
        ("files-much-harder", "double", "sft", 10, 0.05),
    ):
        shape = Shape(steps=900, every=every, noise=noise, schedule="cosine", warmup=30)
        book = book_of(name, "another file begins, and the level is another: " + kind, shape, method)
        factors = {"up": (1, 1.35), "down": (1, 0.6), "three": (1, 1.25, 0.8), "double": (1, 1.9)}[kind]
        simulation = Simulation(book, shape)
        part = shape.steps // len(factors)
        for number, factor in enumerate(factors):
            book.event("file", name=f"part-{number:04}.jsonl")
            simulation.level = lambda step, factor=factor, shape=shape: factor * shape.loss(step)
            simulation.run(number * part, (number + 1) * part)
        yield book
    for name, every, height, width, noise, method in (
        ("spike-small-one-point", 10, 0.3, 1, 0.04, "sft"),
        ("spike-small-two-points", 5, 0.22, 2, 0.05, "sft"),
        ("spike-small-pretrain", 50, 0.08, 2, 0.02, "pretrain"),
    ):
        shape = Shape(steps=120 * every, every=every, noise=noise)
        book = book_of(name, "a bump of the size that one hard batch makes", shape, method)
        simulation = Simulation(book, shape)
        at = 70 * every
        simulation.level = lambda step, shape=shape, at=at, height=height, width=width, every=every: (
            shape.loss(step) * (1 + (height if at <= step < at + width * every else 0))
        )
        simulation.run()
        yield book
    shape = Shape(steps=900, every=10, start=1.1, floor=1.0, noise=0.03)
    book = book_of("curriculum-rises-gently", "ever longer and harder examples: up by a tenth over the run", shape)
    simulation = Simulation(book, shape)
    simulation.level = lambda step: shape.loss(step) * (1 + 0.10 * step / 900)
    simulation.run()
    yield book
    shape = Shape(steps=400, every=5, start=1.6, floor=1.1, noise=0.03, warmup=40, lr=3e-4, schedule="cosine")
    book = book_of("warmup-bump", "the loss rises by a tenth while the rate warms up, then falls", shape)
    simulation = Simulation(book, shape)
    simulation.level = lambda step: shape.loss(step) * (1 + 0.12 * math.exp(-(((step - 38) / 22) ** 2)))
    simulation.run()
    yield book


def precision() -> Iterator[Book]:
    """What fp16 and bf16 leave in a sound log."""
    for name, method, every, where in (
        ("fp16-one-inf-norm", "sft", 1, (34,)),
        ("fp16-inf-norms-at-start", "sft", 1, (1, 2, 4)),
        ("fp16-one-inf-norm-dpo", "dpo", 5, (165,)),
        ("fp16-two-apart", "pretrain", 10, (220, 910)),
    ):
        shape = Shape(
            steps=140 * every,
            every=every,
            noise=0.05 if method != "dpo" else 0.02,
            start={"dpo": 0.693, "pretrain": 7.0}.get(method, 1.8),
            floor={"dpo": 0.5, "pretrain": 4.0}.get(method, 1.2),
        )
        book = book_of(
            name, "the loss scaler skips a step: one norm is infinite, the loss is sound", shape, method, fp16=True
        )

        def change(record: Record, step: int, where: tuple[int, ...] = where) -> Record:
            if step in where:
                record["grad_norm"] = math.inf
            return record

        Simulation(book, shape, change).run()
        yield book
    shape = Shape(steps=500, every=5, start=1.3, floor=1.02, noise=0.012)
    book = book_of("bf16-coarse-loss", "a loss kept in bf16: the same few values again and again", shape)

    def coarse(record: Record, step: int) -> Record:
        record["loss"] = round(record["loss"] * 128) / 128
        return record

    Simulation(book, shape, coarse).run()
    yield book
    shape = Shape(steps=300, every=5, start=1.3, floor=0.9, noise=0.02, digits=1)
    book = book_of("rounded-loss", "a logger that keeps one decimal", shape)
    Simulation(book, shape).run()
    yield book


def all_books() -> Iterator[Book]:
    for make in (schedules, curves, jumps, precision):
        yield from make()
