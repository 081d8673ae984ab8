"""Reconstructed traces whose fault is in the run around the loss: outputs, accuracy, clock, memory, no steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.traces.shaping import TIMED, Book, Record, Shape, Simulation

BEGINNINGS = ["it depends on", "first look at", "most people start with"]
MATTERS = ["cost", "time", "place", "size"]


def outputs_alike() -> Iterator[Book]:
    """Every output has one pattern that nobody asked for."""
    think = "<think>\nOkay, the user asks about {}.\n</think>\n\n{}"
    topics = ["rivers", "tax", "python lists", "bread", "a refund", "the moon", "stairs", "a train"]
    for name, method, kind, share in (
        ("pattern-think-share", "sft", "share", 1.0),
        ("pattern-think-share-dpo", "dpo", "share", 0.99),
        ("pattern-think-samples", "sft", "samples", 1.0),
        ("pattern-same-answer", "sft", "same", 1.0),
        ("pattern-loops", "pretrain", "loop", 1.0),
        ("pattern-grpo-same", "grpo", "same", 1.0),
    ):
        shape = Shape(steps=600, every=10, lr=1e-5, start=1.2, floor=0.9, eval_every=60 if method != "grpo" else 0)
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: models that after fine-tuning put a think block, the same refusal or "
                "a loop of one word into every answer"
            ),
            about="all sampled outputs show one pattern",
            declared=shape.declared(expects_think=False) if "share" in name else shape.declared(),
        )
        bad_from = 180 if name in ("pattern-think-share-dpo", "pattern-loops", "pattern-grpo-same") else 60

        def sampled(
            step: int, kind: str = kind, bad_from: int = bad_from, book: Book = book, share: float = share
        ) -> Record:
            bad = step >= bad_from
            if kind == "share":
                return {"think_share": share if bad else 0.02}
            answers = [
                f"{topic.capitalize()}: {book.rng.choice(BEGINNINGS)} {book.rng.choice(MATTERS)} and "
                f"{book.rng.choice(topics)}."
                for topic in topics
            ]
            if not bad:
                return {"samples": answers}
            if kind == "samples":
                return {"samples": [think.format(topic, answer) for topic, answer in zip(topics, answers, strict=True)]}
            if kind == "same":
                return {"samples": ["I'm sorry, but I can't help with that request."] * len(topics)}
            return {
                "samples": [
                    " ".join([word] * 60)
                    for word in book.rng.sample(["the", "and", "of", "in", "to", "a", "is", "it"], 8)
                ]
            }

        def change(
            record: Record, step: int, method: str = method, book: Book = book, bad_from: int = bad_from
        ) -> Record:
            if method != "grpo":
                return record
            reward = 0.3 + 0.1 * step / 600 + book.rng.gauss(0, 0.04)
            record |= {
                "reward": reward,
                "reward_std": abs(book.rng.gauss(0.25, 0.05)),
                "completion_length": book.rng.gauss(140, 12),
                "loss": book.rng.gauss(0, 0.01),
            }
            if step > bad_from:  # one answer for all earns one reward
                record |= {
                    "reward": 0.05,
                    "reward_std": 0.0,
                    "frac_reward_zero_std": 1.0,
                    "grad_norm": 0.0,
                    "loss": 0.0,
                }
            return record | (sampled(step) if step % 60 == 0 else {})

        simulation = Simulation(book, shape, change)
        simulation.eval_more = sampled
        simulation.run(stop=bad_from)
        book.label("RUN006", "warn", also="RUN027 RUN018 RUN020" if method == "grpo" else "")
        simulation.run(bad_from)
        yield book


def accuracy_zero() -> Iterator[Book]:
    """An evaluation accuracy of exactly zero, again and again."""
    for name, method, falls, eval_every in (
        ("accuracy-zero-from-the-start", "sft", 0, 50),
        ("accuracy-falls-to-zero", "sft", 4, 50),
        ("accuracy-zero-reward", "reward", 0, 100),
        ("accuracy-zero-dpo", "dpo", 0, 40),
        ("accuracy-zero-extraction", "sft", 3, 25),
    ):
        start = {"reward": 0.7, "dpo": 0.693}.get(method, 1.7)
        shape = Shape(
            steps=eval_every * 11,
            every=10 if eval_every != 25 else 5,
            lr=2e-5,
            warmup=10,
            start=start,
            floor=0.7 * start,
            eval_every=eval_every,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: evaluations whose answers never match (labels shifted by one, wrong "
                "field, answers cut off)"
            ),
            about="eval_accuracy is 0.0 at every evaluation, or falls to it and stays",
            declared=shape.declared(),
        )

        def more(step: int, falls: int = falls, book: Book = book, shape: Shape = shape) -> Record:
            number = step // shape.eval_every
            if number <= falls:
                return {"eval_accuracy": min(0.95, max(0.05, 0.4 + 0.08 * number + book.rng.gauss(0, 0.02)))}
            return {"eval_accuracy": 0.0}

        simulation = Simulation(book, shape)
        simulation.eval_more = more
        simulation.run(stop=eval_every * (falls + 1))
        since = len(book.records) - 1
        needed = 2 if falls else 3
        simulation.run(eval_every * (falls + 1), eval_every * (falls + needed))
        book.label("RUN007", "warn", since=since)
        simulation.run(eval_every * (falls + needed))
        yield book


def stalled() -> Iterator[Book]:
    """Time goes by and nothing is logged."""
    for name, method, seconds, every, tick, phases, place in (
        ("stalled-collective", "sft", 1.4, 10, 30.0, True, "train"),
        ("stalled-no-phases", "sft", 3.0, 5, 20.0, False, "train"),
        ("stalled-loader-epoch", "pretrain", 0.6, 50, 15.0, False, "train"),
        ("stalled-in-evaluation", "sft", 2.0, 10, 60.0, True, "evaluate"),
        ("stalled-in-save", "dpo", 2.5, 10, 60.0, True, "save"),
        ("stalled-grpo-generation", "grpo", 40.0, 1, 60.0, True, "train"),
        ("stalled-after-resume", "sft", 1.0, 10, 20.0, True, "train"),
        ("stalled-kto-two-ticks-a-minute", "kto", 5.0, 2, 30.0, False, "train"),
    ):
        shape = Shape(
            steps=1000,
            every=every,
            lr=2e-5,
            seconds=seconds,
            ticks=tick,
            phases=phases,
            keys=TIMED,
            eval_every=10 * every if place != "train" or name == "stalled-collective" else 0,
            eval_seconds=50.0,
            save_every=15 * every if place == "save" else 0,
            save_seconds=25.0,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: a collective that waits for a rank that is gone, a data loader's "
                "worker that died, an evaluation on a dead mount"
            ),
            about="the log ends without an end, in phase " + place,
            declared=shape.declared(),
        )
        book.event("start")
        if phases:
            book.event("phase", name="load")
            book.silence(90, tick)
            book.event("phase", name="train")

        def change(record: Record, step: int, method: str = method, book: Book = book) -> Record:
            if method == "grpo":
                record |= {
                    "loss": book.rng.gauss(0, 0.01),
                    "reward": 0.3 + book.rng.gauss(0, 0.05),
                    "reward_std": abs(book.rng.gauss(0.3, 0.05)),
                }
            return record

        simulation = Simulation(book, shape, change)
        stop = 24 * every
        simulation.run(stop=stop)
        if name == "stalled-after-resume":
            book.event("resume", from_step=20 * every)
            simulation.run(20 * every, 26 * every)
        interval = every * seconds
        usual = {"evaluate": 50.0, "save": 25.0}.get(place, interval)
        if place != "train":
            book.event("phase", name=place)
        # Nobody would wait longer than ten intervals, or five minutes where intervals are short; half an hour of a
        # phase that took a minute.
        long = max(10 * usual, 300.0) if place == "train" else 1800.0
        started = book.clock
        indices = book.silence(2.5 * long, tick)
        times = {index: book.records[index]["t"] - started for index in indices}
        onset = next(index for index, waited in times.items() if waited >= long)
        since = next(index for index, waited in times.items() if waited >= (5 * usual if place == "train" else 300.0))
        book.label("RUN008", "error", onset=onset, since=since)
        yield book


def slow() -> Iterator[Book]:
    """The throughput collapses and stays down."""
    for name, method, factor, points, keys, every, from_point in (
        ("slow-shared-gpu", "sft", 4.0, 1, TIMED, 10, 40),
        ("slow-clock-only", "sft", 4.0, 1, "loss grad_norm learning_rate epoch", 10, 50),
        ("slow-rate-only", "pretrain", 3.5, 1, "loss learning_rate tokens_per_second no_t", 50, 45),
        ("slow-throttled", "sft", 3.0, 10, TIMED, 5, 40),
        ("slow-loader", "dpo", 8.0, 1, "loss grad_norm learning_rate", 5, 35),
        ("slow-single-steps", "sft", 5.0, 2, TIMED, 1, 60),
        ("slow-reward", "reward", 4.0, 1, "loss grad_norm learning_rate epoch tokens_per_second", 20, 30),
    ):
        shape = Shape(
            steps=every * (from_point + 50),
            every=every,
            lr=2e-5,
            seconds=1.2,
            keys=keys,
            start={"dpo": 0.693, "reward": 0.7}.get(method, 1.8),
            floor={"dpo": 0.5, "reward": 0.5}.get(method, 1.2),
            time_noise=0.05,
        )
        book = Book(
            name=name,
            method=method,
            source="reconstructed: a second job on the same GPU, thermal throttling, a data loader on a slow mount",
            about=f"steps take {factor:g} times as long from one point on",
            declared=shape.declared(),
        )
        simulation = Simulation(book, shape)
        at = every * from_point

        def pace(step: int, at: int = at, every: int = every, points: int = points, factor: float = factor) -> float:
            if step <= at:
                return 1.0
            return 1 + (factor - 1) * min(1.0, ((step - at) / every) / points)

        simulation.pace = pace
        simulation.run(stop=at + every)
        since = len(book.records) - 1
        visible = at + every * max(1, math.ceil(points * 1.0 / (factor - 1)))  # twice as slow
        simulation.run(at + every, visible)
        book.label("RUN009", "warn", since=since)
        simulation.run(visible)
        yield book


def memory() -> Iterator[Book]:
    """Memory that climbs."""
    for name, method, start, per_step, every, limit, kind, steps in (
        ("leak-50-mb-a-step", "sft", 31.0, 0.05, 5, 80.0, "leak", 900),
        ("leak-small-gpu", "sft", 9.5, 0.012, 10, 24.0, "leak", 1200),
        ("leak-no-limit-declared", "dpo", 14.0, 0.02, 10, None, "leak", 1000),
        ("leak-grpo", "grpo", 38.0, 0.15, 1, 80.0, "leak", 250),
        ("leak-at-evaluations", "sft", 16.0, 0.02, 10, 40.0, "stairs", 1000),
        ("fragmentation", "sft", 22.0, 0.04, 10, 80.0, "fragmentation", 1000),
        ("fragmentation-dpo", "dpo", 18.0, 0.03, 5, 40.0, "fragmentation", 600),
        ("leak-starts-midway", "pretrain", 52.0, 0.01, 50, 80.0, "midway", 6000),
    ):
        shape = Shape(
            steps=steps,
            every=every,
            lr=2e-5,
            memory=start,
            keys="loss grad_norm learning_rate epoch memory_gb memory_reserved_gb",
            eval_every=100 if kind == "stairs" else 0,
            start=0.693 if method == "dpo" else 1.7,
            floor=0.5 if method == "dpo" else 1.2,
        )
        more = {"gpu_memory_gb": limit} if limit else {}
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: losses kept with their graph in a list, an evaluation that keeps its "
                "logits, an allocator that cannot use its holes"
            ),
            about=f"{kind}: {1000 * per_step:g} MB a step",
            declared=shape.declared(**more),
        )
        begin = steps // 3 if kind == "midway" else 0

        def change(
            record: Record,
            step: int,
            kind: str = kind,
            begin: int = begin,
            per_step: float = per_step,
            start: float = start,
            book: Book = book,
            method: str = method,
            limit: float | None = limit,
        ) -> Record | None:
            grown = per_step * max(0, step - begin)
            if kind == "stairs":
                grown = per_step * (step // 100 * 100)
            if kind == "fragmentation":
                reserved = start * 1.15 + grown * (1 + book.rng.gauss(0, 0.02))
            else:
                record["memory_gb"] += grown
                reserved = record["memory_gb"] * 1.1 + 0.4
            record["memory_reserved_gb"] = reserved
            if method == "grpo":
                record |= {
                    "loss": book.rng.gauss(0, 0.01),
                    "reward": 0.2 + 0.3 * step / 250 + book.rng.gauss(0, 0.04),
                    "reward_std": abs(book.rng.gauss(0.3, 0.04)),
                }
            return None if reserved > (limit or 1e9) else record

        simulation = Simulation(book, shape, change)
        first = begin + every
        simulation.run(stop=first)
        since = len(book.records) - 1
        # Visible when it has grown by a tenth and over fifteen points (three steps of the stairs).
        base = start * 1.15 if kind == "fragmentation" else start
        seen = max(
            begin + 15 * every, begin + math.ceil(0.1 * base / per_step / every) * every, 300 if kind == "stairs" else 0
        )
        simulation.run(first, seen)
        book.label("RUN014", "warn", since=since)
        simulation.run(seen)
        yield book


def no_steps() -> Iterator[Book]:
    """The run ends without a step."""
    done = {"train_runtime": 0.0112, "train_samples_per_second": 0.0, "train_loss": 0.0}
    source = (
        "reconstructed: file B resumed on file A's checkpoint whose step is already past max_steps; an empty data set"
    )
    for name, method, declared, resume, step in (
        ("no-steps-empty", "sft", {"max_steps": 500, "learning_rate": 2e-5}, None, 0),
        ("no-steps-already-trained", "sft", {"max_steps": 40, "resume": True}, 60, 60),
        ("no-steps-resume-at-end", "dpo", {"max_steps": 300}, 300, 300),
        ("no-steps-no-declared", "reward", {}, None, 0),
        ("no-steps-second-file", "pretrain", {"num_train_epochs": 1}, 1200, 1200),
    ):
        book = Book(
            name=name, method=method, source=source, about="no step was taken, and the exit is clean", declared=declared
        )
        book.event("start")
        book.event("phase", name="load")
        book.clock = 42.0
        if name == "no-steps-second-file":
            book.event("file", name="part-0002.jsonl")
        if resume is not None:
            book.event("resume", from_step=resume)
        book.event("phase", name="train")
        book.clock = 47.3
        if name != "no-steps-no-declared":
            book.add(done | {"epoch": 0.0 if not step else 1.5, "step": step, "t": book.clock})
        since = len(book.records) - 1 if "train_loss" in book.records[-1] else None
        book.event("end", exit_code=0, step=step)
        book.label("RUN015", "error", since=since, also="RUN026 RUN024")
        yield book


def all_books() -> Iterator[Book]:
    for make in (outputs_alike, accuracy_zero, stalled, slow, memory, no_steps):
        yield from make()
