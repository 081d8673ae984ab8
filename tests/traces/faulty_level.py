"""Reconstructed traces whose loss stands where it should not: plateaus, exact zeros, overfitting."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.traces.shaping import Book, Record, Shape, Simulation


def plateau() -> Iterator[Book]:
    """The loss never moves."""
    cases = (
        # name, method, level, noise, every, steps, declared more, margins
        ("plateau-ln-vocab-32000", "pretrain", math.log(32_000), 0.002, 10, 1500, {"vocab_size": 32_000}, False),
        ("plateau-ln-vocab-qwen", "sft", math.log(151_936), 0.004, 10, 800, {"vocab_size": 151_936}, False),
        ("plateau-ln-vocab-gpt2", "pretrain", math.log(50_257), 0.001, 50, 6000, {"vocab_size": 50_257}, False),
        ("plateau-dpo-ln2", "dpo", math.log(2), 0.0002, 10, 700, {"beta": 0.1}, True),
        ("plateau-dpo-ln2-tiny-rate", "dpo", math.log(2), 0.0015, 5, 400, {"beta": 0.1}, True),
        ("plateau-dpo-exact", "dpo", math.log(2), 0.0, 1, 120, {"beta": 0.1, "loss_type": "sigmoid"}, True),
        ("plateau-reward-ln2", "reward", math.log(2), 0.004, 10, 900, {}, False),
        ("plateau-kto-half", "kto", 0.5, 0.0004, 10, 500, {"beta": 0.1}, True),
        ("plateau-classes", "reward", math.log(5), 0.012, 10, 800, {"num_labels": 5}, False),
    )  # fmt: skip
    for name, method, height, noise, every, steps, more, margins in cases:
        digits = 4 if method in ("dpo", "kto") else 0
        shape = Shape(
            steps=steps,
            every=every,
            lr=5e-6 if method in ("dpo", "kto") else 3e-4,
            schedule="cosine",
            warmup=steps // 20,
            start=height,
            floor=height,
            noise=noise,
            grad=0.02 if margins else 0.4,
            digits=digits,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: runs that stay at the loss of a model that knows nothing: "
                "ln(vocabulary), ln(2), ln(classes), KTO's 0.5"
            ),
            about=f"the loss stays at {height:.4f}",
            declared=shape.declared(**more),
        )

        def change(
            record: Record, step: int, book: Book = book, margins: bool = margins, noise: float = noise
        ) -> Record:
            if margins:
                record["rewards/margins"] = book.rng.gauss(0, 1e-4 + noise)
                record["rewards/accuracies"] = min(1.0, max(0.0, book.rng.gauss(0.5, 0.06))) if noise else 0.0
                if not noise:
                    record |= {"rewards/margins": 0.0}
            return record

        simulation = Simulation(book, shape, change)
        # Visible once as many points lie behind the warm-up as a healthy run of the kind needs to move.
        seen = shape.warmup + 15 * every
        simulation.run(stop=seen)
        onset = len(book.records) - 1
        book.label("RUN004", "warn", onset=onset, since=max(1, shape.warmup // every))
        book.also.append("RUN020" if margins else "RUN004")
        simulation.run(seen, steps)
        yield book


def loss_zero() -> Iterator[Book]:
    """The loss is exactly zero, and there is no NaN to explain it."""
    for name, method, every, at, norm, keys in (
        ("zero-all-masked", "sft", 10, 10, 0.0, "loss grad_norm learning_rate epoch"),
        ("zero-all-masked-no-norms", "sft", 5, 5, None, "loss learning_rate epoch"),
        ("zero-pinned-at-clip", "sft", 1, 96, 1.0, "loss grad_norm learning_rate epoch"),
        ("zero-pinned-at-clip-vision", "sft", 10, 430, 1.0, "loss grad_norm learning_rate epoch"),
        ("zero-pinned-half", "sft", 5, 260, 0.5, "loss grad_norm learning_rate epoch"),
        ("zero-pretrain-midway", "pretrain", 100, 7_300, 0.0, "loss grad_norm learning_rate"),
        ("zero-later-no-norms", "sft", 10, 350, None, "loss learning_rate epoch num_tokens"),
    ):
        shape = Shape(steps=at + 60 * every, every=every, lr=1e-4, start=1.5, floor=1.0, keys=keys)
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: a vision-language run whose loss drops to 0 while the gradient norm "
                "stays at max_grad_norm; templates that mask every label"
            ),
            about="the loss is exactly 0.0",
            declared=shape.declared(max_grad_norm=norm or 1.0),
        )

        def change(record: Record, step: int, at: int = at, norm: float | None = norm) -> Record:
            if step >= at:
                record["loss"] = 0.0
                if norm is not None:
                    record["grad_norm"] = norm and norm * (1 - abs(book.rng.gauss(0, 1e-5)))  # noqa: B023
            return record

        simulation = Simulation(book, shape, change)
        simulation.run(stop=at + every)
        book.label("RUN018", "warn", since=len(book.records) - 2, also="RUN020 RUN001 RUN004 RUN003")
        simulation.run(at + every, at + 35 * every)
        yield book


def overfitting() -> Iterator[Book]:
    """The evaluation rises over several evaluations while the training loss falls."""
    cases = (
        # name, method, every, eval_every, evaluations, best, rise a evaluation, strong, start, floor
        ("overfit-sft-third-epoch", "sft", 10, 50, 15, 5, 0.02, 2.0, 0.35),
        ("overfit-sft-fast", "sft", 5, 20, 12, 3, 0.06, 1.9, 0.12),
        ("overfit-dpo", "dpo", 10, 40, 14, 5, 0.045, 0.693, 0.15),
        ("overfit-reward", "reward", 10, 50, 12, 4, 0.07, 0.70, 0.10),
        ("overfit-per-epoch", "sft", 25, 125, 10, 2, 0.09, 1.4, 0.10),
        ("overfit-kto", "kto", 10, 50, 13, 4, 0.03, 0.5, 0.12),
    )
    for name, method, every, eval_every, evaluations, best, rise, start, floor in cases:
        shape = Shape(
            steps=eval_every * evaluations,
            every=every,
            lr=2e-5,
            start=start,
            floor=floor,
            half=0.25,
            noise=0.03,
            eval_every=eval_every,
            epoch_steps=eval_every * evaluations / 5,
        )
        book = Book(
            name=name,
            method=method,
            source=(
                "reconstructed: small instruction sets trained for too many epochs; eval loss turns "
                "in the second or third epoch"
            ),
            about="eval_loss rises from one evaluation to the next while the training loss falls",
            declared=shape.declared(num_train_epochs=5),
        )
        simulation = Simulation(book, shape)

        def evaluation(step: int, shape: Shape = shape, best: int = best, rise: float = rise) -> float:
            number = step / shape.eval_every
            bottom = 0.72 * shape.start
            return bottom * (1 + 0.25 * math.exp(-1.2 * number)) * (1 + rise * max(0.0, number - best))

        simulation.eval_loss = evaluation
        need = 2 if rise >= 0.06 else 3
        simulation.run(stop=eval_every * (best + 1))
        since = len(book.records) - 1
        simulation.run(eval_every * (best + 1), eval_every * (best + need))
        book.label("RUN005", "warn", since=since)
        simulation.run(eval_every * (best + need))
        yield book


def all_books() -> Iterator[Book]:
    for make in (plateau, loss_zero, overfitting):
        yield from make()
