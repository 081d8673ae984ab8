"""Reconstructed traces with a wrong schedule, gradients, data or reward, or an early end."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.traces.shaping import TIMED, Book, Record, Shape, Simulation, rate


def wrong_rate(kind: str, shape: Shape, step: int, resumed_at: int) -> float:
    """The rate that is logged at `step` by a run whose schedule is wrong in the way of `kind`."""
    schedule, like = shape.schedule, {"peak": shape.lr, "warmup": shape.warmup, "total": shape.steps}
    if kind == "zero":
        return 0.0
    if kind == "flat":
        return shape.rate(step) if step <= shape.warmup else shape.lr
    if kind == "resume" and resumed_at:
        return rate(schedule, step - resumed_at - shape.lag, **like)
    if kind == "fast":
        return rate(schedule, (step - shape.lag) * 8, **like)
    return shape.rate(step) * (10 if kind == "ten" else 1)


def schedule() -> Iterator[Book]:
    """The learning rate is not what was declared."""
    source = (
        "reconstructed: schedulers that are not stepped, not restored, stepped once a process, or built for other steps"
    )
    cases = (
        # name, method, schedule, kind, steps, every, warmup
        ("rate-zero-throughout", "sft", "linear", "zero", 600, 10, 30),
        ("rate-zero-grpo", "grpo", "cosine", "zero", 200, 2, 10),
        ("rate-zero-undeclared", "dpo", "linear", "zero", 400, 5, 0),
        ("rate-never-decays", "sft", "cosine", "flat", 1000, 10, 50),
        ("rate-never-decays-linear", "pretrain", "linear", "flat", 8000, 100, 200),
        ("rate-restarts-on-resume", "sft", "cosine", "resume", 1000, 10, 40),
        ("rate-restarts-on-resume-linear", "dpo", "linear", "resume", 600, 5, 0),
        ("rate-jumps-undeclared", "sft", "linear", "resume", 800, 10, 0),
        ("rate-too-fast", "sft", "linear", "fast", 1200, 10, 40),
        ("rate-ten-times", "sft", "constant_with_warmup", "ten", 500, 10, 20),
    )
    for name, method, kind_of_schedule, kind, steps, every, warmup in cases:
        shape = Shape(
            steps=steps,
            every=every,
            lr=2e-5,
            schedule=kind_of_schedule,
            warmup=warmup,
            start={"dpo": 0.693, "pretrain": 8.0}.get(method, 1.7),
            floor={"dpo": 0.45, "pretrain": 3.0}.get(method, 1.2),
        )
        declared = {} if "undeclared" in name else shape.declared()
        if kind == "zero" and not declared:
            declared = {"max_steps": steps}
        book = Book(name=name, method=method, source=source, about=f"learning rate: {kind}", declared=declared)
        half = steps // 2
        resumed = [False]

        def wrong(
            step: int, kind: str = kind, shape: Shape = shape, half: int = half, resumed: list[bool] = resumed
        ) -> float:
            return wrong_rate(kind, shape, step, half if resumed[0] else 0)

        def change(
            record: Record, step: int, kind: str = kind, book: Book = book, method: str = method, shape: Shape = shape
        ) -> Record:
            record["learning_rate"] = wrong(step)
            if kind == "zero":
                record["loss"] = (
                    shape.start * (1 + book.rng.gauss(0, 0.02)) if method != "grpo" else book.rng.gauss(0, 0.002)
                )
            if method == "grpo":
                record |= {
                    "reward": 0.25 + book.rng.gauss(0, 0.03),
                    "reward_std": abs(book.rng.gauss(0.3, 0.04)),
                    "kl": 0.0,
                }
            return record

        simulation = Simulation(book, shape, change)
        if kind == "resume":
            simulation.run(stop=half)
            resumed[0] = True
            book.event("resume", from_step=half)
            simulation.run(half, half + every)
            book.label("RUN019", "warn", also="RUN003")
            simulation.run(half + every, steps)
        else:
            # Visible where the declared rate is a tenth of the peak (and two points) away from the logged one.
            points = [
                step for step in range(every, steps + 1, every) if abs(wrong(step) - shape.rate(step)) > 0.1 * shape.lr
            ]
            seen = points[min(1, len(points) - 1)]
            if "undeclared" in name:
                seen = 10 * every
            simulation.run(stop=points[0])
            since = len(book.records) - 1
            simulation.run(points[0], seen)
            book.label(
                "RUN019", "warn", since=since, also="RUN004" if kind == "zero" else "RUN003" if kind == "ten" else ""
            )
            simulation.run(seen, min(steps, 120 * every))
        yield book


def gradients() -> Iterator[Book]:
    """Gradient norms that are zero, vanish, or explode."""
    cases = (
        # name, method, kind, every, at, start, floor
        ("gradient-zero-lora", "sft", "zero", 10, 0, 1.9, 1.9),
        ("gradient-zero-dpo", "dpo", "zero", 5, 0, 0.693147, 0.693147),
        ("gradient-zero-kto", "kto", "zero", 10, 0, 0.5, 0.5),
        ("gradient-zero-single", "sft", "zero", 1, 0, 2.3, 2.3),
        ("gradient-zero-reward-midway", "reward", "zero", 10, 300, 0.7, 0.5),
        ("gradient-vanishes", "sft", "vanish", 10, 200, 1.8, 1.3),
        ("gradient-vanishes-pretrain", "pretrain", "vanish", 100, 3000, 9.8, 5.5),
        ("gradient-explodes", "sft", "explode", 10, 300, 1.8, 1.2),
        ("gradient-explodes-single", "sft", "explode", 1, 70, 1.6, 1.2),
        ("gradient-explodes-pretrain", "pretrain", "explode", 100, 6000, 9.5, 3.0),
    )
    for name, method, kind, every, at, start, floor in cases:
        shape = Shape(
            steps=max(2 * at, 80 * every),
            every=every,
            lr=2e-4,
            warmup=0 if kind == "zero" else at // 15,
            start=start,
            floor=floor,
            noise=0.03 if method not in ("dpo", "kto") else 0.0,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: LoRA with gradient checkpointing whose inputs do not require "
                "gradients; bf16 underflow; norms that double from point to point"
            ),
            about=f"gradient norm: {kind}",
            declared=shape.declared(peft=True) if kind == "zero" else shape.declared(),
        )

        def change(
            record: Record,
            step: int,
            kind: str = kind,
            at: int = at,
            every: int = every,
            book: Book = book,
            method: str = method,
        ) -> Record:
            point = (step - at) / every
            if point < 0:
                return record
            if kind == "zero":
                record["grad_norm"] = 0.0
                if method in ("dpo", "kto"):
                    record |= {"rewards/margins": 0.0, "rewards/accuracies": 0.0}
            elif kind == "vanish":
                record["grad_norm"] *= 10 ** (-0.5 * min(point, 16))
            else:
                record["grad_norm"] *= 2 ** min(point, 14)
                record["loss"] *= 1 + 0.01 * min(point, 20)
            return record

        simulation = Simulation(book, shape, change)
        if kind == "vanish":  # what gets no gradient learns no more
            simulation.level = lambda step, shape=shape, last=at + 5 * every: shape.loss(min(step, last))
        simulation.run(stop=at + every)
        since = len(book.records) - 1
        seen = at + {"zero": 3, "vanish": 6, "explode": 5}[kind] * every
        simulation.run(at + every, seen)
        if kind == "zero":
            after = [index for index, record in enumerate(book.records) if record.get("grad_norm") == 0.0]
            book.label("RUN020", "warn", onset=after[2], since=after[0], also="RUN004")
        else:
            book.label("RUN020", "warn", since=since, also="RUN003" if kind == "explode" else "RUN004")
        simulation.run(seen, min(shape.steps, seen + 50 * every))
        yield book


def replayed() -> Iterator[Book]:
    """After a resume the run sees its first batches again."""
    for name, method, every, stop, noise, keys in (
        ("replayed-token-counts", "sft", 1, 120, 0.12, TIMED),
        ("replayed-losses-only", "sft", 1, 150, 0.15, "loss grad_norm learning_rate epoch"),
        ("replayed-pretrain", "pretrain", 1, 100, 0.08, TIMED),
        ("replayed-five-steps", "sft", 5, 400, 0.06, TIMED),
        ("replayed-epoch-restarts", "sft", 10, 600, 0.05, "loss grad_norm learning_rate epoch"),
        ("replayed-dpo", "dpo", 1, 90, 0.10, "loss grad_norm learning_rate num_tokens"),
    ):
        shape = Shape(
            steps=3 * stop,
            every=every,
            lr=2e-5,
            warmup=every * 4,
            start={"dpo": 0.693, "pretrain": 6.0}.get(method, 1.9),
            floor={"dpo": 0.4, "pretrain": 4.0}.get(method, 1.3),
            noise=noise,
            token_noise=0.15,
            keys=keys,
            epoch_steps=2 * stop,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: ignore_data_skip, streaming data sets and hand-written loops that "
                "begin at the first batch after a resume"
            ),
            about="the batches after the resume are the first batches again",
            declared=shape.declared(resume=True),
        )
        simulation = Simulation(book, shape)
        simulation.run(stop=stop)
        book.clock += 60
        book.event("resume", from_step=stop)
        for step in range(every, stop + 1, every):
            simulation.batches[stop + step] = simulation.batches[step] + book.rng.gauss(0, noise / 12)
            simulation.counts[stop + step] = simulation.counts[step]
        # What was seen once is a little easier.
        simulation.level = lambda step, shape=shape, stop=stop: shape.loss(step) * (0.97 if step > stop else 1.0)
        if name == "replayed-epoch-restarts":

            def change(record: Record, step: int, stop: int = stop, shape: Shape = shape) -> Record:
                if step > stop:
                    record["epoch"] = (step - stop) / shape.epoch_steps
                return record

            simulation.change = change
        simulation.run(stop, stop + every)
        since = len(book.records) - 1
        simulation.run(stop + every, stop + 8 * every)
        book.label("RUN024", "warn", since=since)
        simulation.run(stop + 8 * every, 2 * stop)
        yield book


def ended_early() -> Iterator[Book]:
    """A clean exit, but steps are missing."""
    for name, method, steps, last, every, kind in (
        ("ended-at-812-of-1000", "sft", 1000, 812, 10, "steps"),
        ("ended-second-epoch", "sft", 900, 486, 10, "epochs"),
        ("ended-dpo-third", "dpo", 300, 101, 5, "steps"),
        ("ended-pretrain-stream-dry", "pretrain", 20_000, 13_337, 200, "steps"),
        ("ended-grpo", "grpo", 250, 180, 2, "steps"),
        ("ended-no-summary", "kto", 400, 250, 5, "bare"),
    ):
        shape = Shape(
            steps=steps,
            every=every,
            lr=2e-5,
            schedule="cosine",
            start={"dpo": 0.693, "kto": 0.5, "pretrain": 9.0}.get(method, 1.8),
            floor={"dpo": 0.45, "kto": 0.35, "pretrain": 3.0}.get(method, 1.2),
            epoch_steps=steps / 3,
        )
        declared = (
            shape.declared("lr_scheduler_type", "learning_rate", "logging_steps", num_train_epochs=3)
            if kind == "epochs"
            else shape.declared()
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: iterable data sets that run dry, time limits that end a job cleanly, "
                "a callback that stops"
            ),
            about=f"ends at step {last} of {steps} with exit code 0",
            declared=declared,
        )
        book.event("start")

        def change(record: Record, step: int, method: str = method, book: Book = book) -> Record:
            if method == "grpo":
                record |= {
                    "loss": book.rng.gauss(0, 0.01),
                    "reward": 0.2 + 0.3 * step / 250 + book.rng.gauss(0, 0.04),
                    "reward_std": abs(book.rng.gauss(0.3, 0.04)),
                }
            return record

        simulation = Simulation(book, shape, change)
        simulation.run(stop=last)
        if kind == "bare":
            book.event("end", exit_code=0, step=last)
            book.label("RUN026", "error")
        else:
            simulation.end(step=last)
            book.label("RUN026", "error", since=len(book.records) - 2)
        yield book


def rewards() -> Iterator[Book]:
    """GRPO's reward collapses, or has no spread."""
    cases = (
        # name, kind, level before, level after, every, at, points, spread keys
        ("reward-falls-and-stays", "fall", 0.62, 0.08, 1, 90, 8, True),
        ("reward-falls-negative", "fall", 1.4, -2.6, 2, 120, 10, True),
        ("reward-falls-slowly", "fall", 0.75, 0.2, 5, 250, 30, False),
        ("reward-no-spread", "flat", 0.0, 0.0, 1, 0, 0, True),
        ("reward-no-spread-at-one-value", "flat", 2.0, 2.0, 2, 0, 0, True),
        ("reward-spread-lost-midway", "flat", 0.5, 0.1, 1, 70, 0, True),
        ("reward-no-spread-no-share", "flat", -1.0, -1.0, 5, 0, 0, False),
        ("reward-collapse-with-length", "fall", 0.55, 0.02, 1, 110, 5, True),
    )
    for name, kind, before, after, every, at, points, share in cases:
        shape = Shape(
            steps=max(2 * at, 120 * every),
            every=every,
            lr=1e-6,
            schedule="constant_with_warmup",
            warmup=10,
            seconds=22.0,
            grad=0.25,
            keys="loss grad_norm learning_rate num_tokens epoch",
        )
        book = Book(
            name=name,
            method="grpo",
            source=(
                "reconstructed: GRPO threads with loss 0.0, reward_std 0 and frac_reward_zero_std 1; "
                "policies that fall apart after a stretch of progress"
            ),
            about=f"reward: {kind}, from {before} to {after}",
            declared=shape.declared(beta=0.04),
        )

        def change(
            record: Record,
            step: int,
            kind: str = kind,
            before: float = before,
            after: float = after,
            at: int = at,
            points: int = points,
            every: int = every,
            share: bool = share,
            book: Book = book,
            name: str = name,
        ) -> Record:
            rng = book.rng
            scale = abs(before) or 1.0
            record["loss"] = rng.gauss(0, 0.004)
            bad = step > at
            progress = before - 0.35 * scale * (1 - min(1.0, step / max(1, 0.8 * at))) if at else before
            part = min(1.0, (step - at) / every / max(1, points)) if bad else 0.0
            reward = progress + (after - progress) * part + rng.gauss(0, 0.05 * scale)
            spread, zero = abs(rng.gauss(0.35, 0.04)) * scale, max(0.0, rng.gauss(0.2, 0.06))
            kl = 0.002 + 0.05 * step / 500 + part * 2.5
            length = rng.gauss(320, 15) * (1 + 1.5 * part * ("length" in name))
            if bad and kind == "flat":
                reward, spread, zero = after, 0.0, 1.0
                record |= {"loss": 0.0, "grad_norm": 0.0 if kind == "flat" else record["grad_norm"]}
                kl = 0.0
            record |= {"reward": reward, "reward_std": spread, "kl": kl, "completion_length": length}
            return record | ({"frac_reward_zero_std": zero} if share else {})

        simulation = Simulation(book, shape, change)
        simulation.run(stop=at + every)
        since = len(book.records) - 1
        # A fall is visible halfway down, a missing spread at the third point.
        seen = at + every * (3 if kind == "flat" else max(2, math.ceil(0.5 * points)))
        simulation.run(at + every, seen)
        book.label("RUN027", "warn", since=since, also="RUN018 RUN020 RUN004 RUN003" if kind == "flat" else "RUN003")
        simulation.run(seen, min(shape.steps, seen + 60 * every))
        yield book


def all_books() -> Iterator[Book]:
    for make in (schedule, gradients, replayed, ended_early, rewards):
        yield from make()
