"""Reconstructed healthy traces: pauses, lengths, memory, resumes, ends and evaluations, none of them a fault."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.traces.healthy import book_of
from tests.traces.shaping import TIMED, Book, Record, Shape, Simulation

MEMORY = "loss grad_norm learning_rate epoch memory_gb memory_reserved_gb"


def pauses() -> Iterator[Book]:
    """Pauses that are none."""
    cases = (
        (
            "pause-evaluation",
            "sft",
            Shape(steps=400, every=10, ticks=30, phases=True, eval_every=100, eval_seconds=480, keys=TIMED),
            "eight minutes of evaluation, announced",
        ),
        (
            "pause-evaluation-unannounced",
            "sft",
            Shape(steps=400, every=10, eval_every=50, eval_seconds=90, keys=TIMED),
            "an evaluation between two points, no phases",
        ),
        (
            "pause-save",
            "sft",
            Shape(steps=400, every=10, ticks=20, phases=True, save_every=100, save_seconds=200, keys=TIMED),
            "three minutes a save",
        ),
        (
            "pause-both",
            "dpo",
            Shape(
                steps=300,
                every=10,
                ticks=60,
                phases=True,
                eval_every=60,
                eval_seconds=260,
                save_every=60,
                save_seconds=120,
                start=0.693,
                floor=0.5,
                noise=0.02,
            ),
            "evaluation and save behind each other",
        ),
        (
            "pause-long-steps",
            "pretrain",
            Shape(steps=40, every=1, ticks=30, seconds=95, noise=0.01, start=6.1, floor=4.5, keys=TIMED),
            "95 seconds a step, a tick every 30",
        ),
        (
            "pause-sparse-log",
            "sft",
            Shape(steps=3000, every=100, ticks=30, seconds=1.1, keys=TIMED),
            "a point every two minutes, ticks between",
        ),
    )
    for name, method, shape, about in cases:
        book = book_of(name, about, shape, method)
        book.event("start")
        if shape.phases:
            book.event("phase", name="load")
            book.silence(240, 60)
            book.event("phase", name="train")
        simulation = Simulation(book, shape)
        simulation.run()
        simulation.end()
        yield book
    shape = Shape(steps=200, every=5, ticks=30, phases=True, keys=TIMED)
    book = book_of("pause-load-twenty-minutes", "twenty minutes of loading and tokenizing", shape)
    book.event("start")
    book.event("phase", name="load")
    book.silence(720, 30)
    book.event("phase", name="tokenize")
    book.silence(540, 30)
    book.event("phase", name="train")
    Simulation(book, shape).run()
    yield book
    for name, first, every, ticks in (
        ("first-step-compiles", 90.0, 1, 0.0),
        ("first-step-compiles-ticks", 150.0, 5, 30.0),
    ):
        shape = Shape(steps=120 * every, every=every, seconds=1.0, keys=TIMED, ticks=ticks)
        book = book_of(name, "the first step compiles kernels", shape)
        simulation = Simulation(book, shape)
        simulation.pace = lambda step, first=first, every=every: first / every if step <= every else 1.0
        simulation.run()
        yield book
    shape = Shape(steps=900, every=10, keys=TIMED, seconds=1.0)
    book = book_of("hiccup-one-point", "one point takes six times as long: the mount was busy", shape)
    simulation = Simulation(book, shape)
    simulation.pace = lambda step: 6.0 if step == 460 else 1.0
    simulation.run()
    yield book
    shape = Shape(steps=700, every=10, keys=TIMED, time_noise=0.2)
    book = book_of("noisy-clock", "a shared node: steps vary by a fifth", shape)
    Simulation(book, shape).run()
    yield book


def lengths() -> Iterator[Book]:
    """Slower steps with as many tokens a second, and memory that follows the lengths."""
    for name, kind, every in (
        ("lengths-grow", "grow", 10),
        ("lengths-jump-at-file", "file", 10),
        ("lengths-mixed", "mixed", 1),
    ):
        shape = Shape(
            steps=70 * every, every=every, keys=TIMED + " memory_gb memory_reserved_gb", memory=21.0, seconds=1.1
        )
        book = book_of(name, "longer sequences: slower steps at the same tokens a second", shape)

        def factor(step: int, kind: str = kind, shape: Shape = shape, book: Book = book) -> float:
            if kind == "grow":
                return 1 + 3.0 * step / shape.steps
            if kind == "file":
                return 1.0 if step <= shape.steps // 2 else 3.8
            return 1 + 2.2 * (hash_of(step) % 100) / 100

        simulation = Simulation(book, shape)
        simulation.pace = factor

        def change(record: Record, step: int, kind: str = kind, shape: Shape = shape) -> Record:
            times = factor(step)
            record["tokens_per_second"] *= times
            record["memory_gb"] = 15.0 + 6.0 * min(times, 4.2)
            record["memory_reserved_gb"] = 41.5
            return record

        total = [0.0]

        def tokens(record: Record, step: int, total: list[float] = total, shape: Shape = shape) -> Record:
            record = change(record, step)
            total[0] += shape.tokens * shape.every * factor(step)
            return record | {"num_tokens": int(total[0])}

        simulation.change = tokens
        half = shape.steps // 2
        simulation.run(stop=half)
        if kind == "file":
            book.event("file", name="long-documents.jsonl")
        simulation.run(half)
        yield book


def hash_of(step: int) -> int:
    """A number that looks random and is the same everywhere."""
    return (step * 2_654_435_761) % 4_294_967_296 >> 7


def memories() -> Iterator[Book]:
    """Memory that grows and then does not."""
    for name, method, every, limit, start, growth, share in (
        ("memory-saturates", "sft", 10, 80.0, 30.0, 14.0, 0.06),
        ("memory-saturates-slowly", "sft", 5, 40.0, 18.0, 9.0, 0.12),
        ("memory-steps-with-longest", "dpo", 10, None, 22.0, 6.0, 0.0),
        ("memory-full-and-flat", "sft", 10, 24.0, 22.9, 0.0, 0.1),
        ("memory-saw", "sft", 10, 48.0, 27.0, 0.0, 0.0),
    ):
        shape = Shape(
            steps=90 * every,
            every=every,
            memory=start,
            keys=MEMORY,
            start=0.693 if method == "dpo" else 1.7,
            floor=0.5 if method == "dpo" else 1.2,
            noise=0.03 if method != "dpo" else 0.015,
        )
        book = book_of(
            name,
            "memory: grows while ever longer batches come, then stays",
            shape,
            method,
            **({"gpu_memory_gb": limit} if limit else {}),
        )
        longest = [0.0, 0.0]

        def change(
            record: Record,
            step: int,
            name: str = name,
            start: float = start,
            growth: float = growth,
            share: float = share,
            book: Book = book,
            shape: Shape = shape,
            longest: list[float] = longest,
        ) -> Record:
            done = step / shape.steps
            if name == "memory-steps-with-longest":
                longest[0] = max(longest[0], book.rng.random() ** 6)
                grown = growth * longest[0]
            elif name == "memory-saw":
                grown = 4.0 * ((step // shape.every) % 4) / 4
            else:
                grown = growth * (1 - math.exp(-done / share))
            record["memory_gb"] = start + grown + book.rng.gauss(0, 0.03)
            longest[1] = max(longest[1], record["memory_gb"] * 1.03)
            record["memory_reserved_gb"] = min(longest[1], 23.7) if name == "memory-full-and-flat" else longest[1]
            return record

        Simulation(book, shape, change).run()
        yield book


def resumes() -> Iterator[Book]:
    """Resumes as they should be."""
    for name, method, every, at, back, noise, keys in (
        ("resume-repeats-steps", "sft", 1, 117, 17, 0.08, TIMED),
        ("resume-repeats-logs", "sft", 10, 430, 30, 0.03, TIMED),
        ("resume-pretrain", "pretrain", 50, 5200, 200, 0.01, "loss grad_norm learning_rate"),
        ("resume-dpo", "dpo", 5, 160, 60, 0.02, "loss grad_norm learning_rate epoch"),
        ("resume-twice", "sft", 5, 210, 10, 0.04, TIMED),
        ("resume-tokens-restart", "sft", 1, 90, 0, 0.07, "loss grad_norm learning_rate num_tokens epoch"),
    ):
        shape = Shape(
            steps=int(1.9 * at) // every * every,
            every=every,
            schedule="cosine",
            warmup=4 * every,
            noise=noise,
            keys=keys,
            start={"dpo": 0.693, "pretrain": 8.0}.get(method, 1.8),
            floor={"dpo": 0.45, "pretrain": 3.0}.get(method, 1.2),
        )
        book = book_of(
            name, f"killed at {at}, resumed {back} steps earlier; the same steps once more", shape, method, resume=True
        )
        book.event("start")
        simulation = Simulation(book, shape)
        simulation.run(stop=at)
        book.clock += 95
        book.event("resume", from_step=at - back)
        book.clock += 20
        if name == "resume-tokens-restart":
            simulation.num_tokens = 0
        simulation.run(at - back, at + 40 * every if name == "resume-twice" else shape.steps)
        if name == "resume-twice":
            book.event("resume", from_step=at + 30 * every)
            simulation.run(at + 30 * every, shape.steps)
        simulation.end()
        yield book
    shape = Shape(steps=400, every=5, ticks=30, phases=True, keys=TIMED)
    book = book_of(
        "resume-skips-batches",
        "six minutes of skipping batches before the first step after a resume",
        shape,
        resume=True,
    )
    simulation = Simulation(book, shape)
    simulation.run(stop=250)
    book.event("resume", from_step=250)
    book.event("phase", name="load")
    book.silence(360, 30)
    book.event("phase", name="train")
    simulation.run(250)
    simulation.end()
    yield book
    shape = Shape(steps=240, every=5, keys=TIMED, noise=0.05)
    book = book_of("logged-twice", "two loggers: every record comes twice", shape)
    simulation = Simulation(book, shape)

    def twice(record: Record, step: int) -> Record:
        book.add(dict(record))
        return record

    simulation.change = twice
    simulation.run()
    yield book


def endings() -> Iterator[Book]:
    """Ends that are as planned."""
    shape = Shape(steps=1000, every=10, eval_every=100, schedule="cosine")
    book = book_of("ends-by-early-stopping", "early stopping was declared, and came", shape, early_stopping_patience=3)
    simulation = Simulation(book, shape)
    simulation.eval_loss = lambda step: 1.25 + 0.15 * math.exp(-step / 150) + 0.002 * max(0, step - 300) / 100
    simulation.run(stop=600)
    simulation.end(step=600)
    yield book
    for name, steps, declared in (
        ("ends-on-the-step", 300, None),
        ("ends-after-epochs", 387, {"num_train_epochs": 3, "learning_rate": 2e-5, "lr_scheduler_type": "linear"}),
        ("ends-failed", 300, None),
    ):
        shape = Shape(steps=steps, every=5, epoch_steps=steps / 3)
        book = book_of(name, "ends where it should, or says that it failed", shape)
        if declared:
            book.declared = declared
        book.event("start")
        simulation = Simulation(book, shape)
        simulation.run(stop=steps if name != "ends-failed" else 240)
        simulation.end(step=steps if name != "ends-failed" else 240, exit_code=0 if name != "ends-failed" else 1)
        yield book


def evaluations() -> Iterator[Book]:
    """Evaluations that wobble, rise once, or begin at nothing."""
    for name, method, every, eval_every, shape_of in (
        ("evaluation-wobbles", "sft", 10, 50, lambda n: 1.3 + 0.3 * math.exp(-n / 3) + 0.012 * math.sin(2.1 * n)),
        ("evaluation-last-one-up", "sft", 10, 100, lambda n: 1.2 + 0.3 * math.exp(-n / 2) + (0.01 if n == 10 else 0)),
        ("evaluation-flat", "sft", 5, 25, lambda n: 1.41 - 0.002 * n),
        ("evaluation-below-train", "sft", 10, 50, lambda n: 0.9 + 0.2 * math.exp(-n / 4)),
        ("evaluation-dpo", "dpo", 10, 50, lambda n: 0.55 + 0.14 * math.exp(-n / 3) + 0.004 * math.sin(1.7 * n)),
        ("evaluation-rises-with-train", "pretrain", 20, 100, lambda n: 3.0 - 0.03 * n + 0.04 * math.cos(3.1 * n)),
    ):
        start = {"dpo": 0.693, "pretrain": 3.2}.get(method, 1.7)
        shape = Shape(
            steps=eval_every * 11, every=every, eval_every=eval_every, start=start, floor=0.75 * start, noise=0.025
        )
        book = book_of(name, "evaluations within their noise, or falling", shape, method)
        simulation = Simulation(book, shape)
        simulation.eval_loss = lambda step, shape=shape, shape_of=shape_of: shape_of(step / shape.eval_every)
        simulation.run()
        yield book
    for name, first in (("accuracy-starts-at-zero", 0.0), ("accuracy-low", 0.012)):
        shape = Shape(steps=500, every=10, eval_every=50)
        book = book_of(name, "eval_accuracy starts at nothing and rises", shape)
        simulation = Simulation(book, shape)
        simulation.eval_more = lambda step, first=first: {
            "eval_accuracy": first if step <= 50 else first + 0.07 * step / 50
        }
        if first == 0.0:
            simulation.evaluate(0)
        simulation.run()
        yield book
    for name, method, expects in (
        ("think-expected", "sft", True),
        ("think-expected-grpo", "grpo", True),
        ("think-in-some", "sft", False),
    ):
        shape = Shape(steps=400, every=10, eval_every=80)
        book = book_of(
            name,
            "think blocks that are wanted, or stand in a part of the outputs",
            shape,
            method,
            expects_think=expects,
        )

        def thoughts(step: int, expects: bool = expects, book: Book = book) -> Record:
            topics = ["rivers", "tax", "lists", "bread", "refunds", "the moon"]
            answers = [
                (
                    f"{book.rng.choice(['Well', 'First', 'Briefly', 'It depends'])}: {topic} "
                    f"{book.rng.choice(['cost little', 'differ', 'take time', 'are old'])} "
                    f"{book.rng.random():.3f}."
                )
                for topic in topics
            ]
            if expects:
                return {
                    "think_share": 1.0,
                    "samples": [
                        f"<think>\nLet me look at {topic}.\n</think>\n{answer}"
                        for topic, answer in zip(topics, answers, strict=True)
                    ],
                }
            return {"think_share": 0.35 + 0.1 * book.rng.random(), "samples": answers}

        def rewarded(record: Record, step: int, method: str = method, book: Book = book) -> Record:
            if method == "grpo":
                record |= {
                    "loss": book.rng.gauss(0, 0.01),
                    "reward": 0.3 + 0.3 * step / 400 + book.rng.gauss(0, 0.03),
                    "reward_std": abs(book.rng.gauss(0.3, 0.04)),
                }
            return record

        simulation = Simulation(book, shape, rewarded)
        simulation.eval_more = thoughts
        simulation.run()
        yield book


def all_books() -> Iterator[Book]:
    for make in (pauses, lengths, memories, resumes, endings, evaluations):
        yield from make()
