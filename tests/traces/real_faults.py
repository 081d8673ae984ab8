"""Faults for real runs, and the judges that look where a fault shows in the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.traces.make_real import end, trainer_of
from tests.traces.shaping import Book, Record

Judge = Callable[[Book], None]
RESUMED_AT = 40


def at(book: Book, test: Callable[[Record], bool], start: int = 0, count: int = 1) -> int:
    """Index of the `count`-th record from `start` on that passes."""
    found = [index for index, record in enumerate(book.records) if index >= start and test(record)]
    if len(found) < count:
        raise LookupError(f"{book.name}: the fault does not show")
    return found[count - 1]


def not_finite(record: Record) -> bool:
    return any(key in record and not math.isfinite(record[key]) for key in ("loss", "grad_norm", "eval_loss"))


def nan_hidden(book: Book) -> None:
    book.label("RUN001", "error", onset=at(book, not_finite), also="RUN018 RUN020 RUN003 RUN007")


def nan_shown(book: Book) -> None:
    book.label("RUN001", "error", onset=at(book, lambda r: math.isnan(r.get("loss", 0.0))), also="RUN020 RUN003 RUN002")


def risen(factor: float, severity: str = "error", also: str = "RUN020 RUN004", recovers: bool = False) -> Judge:
    """The loss is `factor` times the best median of five so far, in two points of three."""

    def judge(book: Book) -> None:
        losses = [(index, record["loss"]) for index, record in enumerate(book.records) if "loss" in record]
        best = math.inf
        for number in range(1, len(losses)):
            best = min(best, median(loss for _, loss in losses[max(0, number - 5) : number]))
            ahead = [loss for _, loss in losses[number : number + 3]]
            if losses[number][1] > factor * best and sum(loss > factor * best for loss in ahead) >= 2:
                book.label("RUN003", severity, onset=losses[number][0], also=also)
                if recovers:
                    book.max_severity["RUN003"] = "warn"
                return
        raise LookupError(f"{book.name}: the loss does not rise")

    return judge


def flat(points: int, also: str = "RUN020", since: int = 1) -> Judge:
    def judge(book: Book) -> None:
        book.label(
            "RUN004",
            "warn",
            onset=at(book, lambda r: "loss" in r, count=points),
            since=at(book, lambda r: "loss" in r, count=since),
            also=also,
        )

    return judge


def zero(book: Book) -> None:
    first = at(book, lambda r: r.get("loss") == 0.0)
    book.label(
        "RUN018",
        "warn",
        since=first,
        onset=at(book, lambda r: r.get("loss") == 0.0, count=2),
        also="RUN020 RUN004 RUN001",
    )


def norms_zero(book: Book) -> None:
    first = at(book, lambda r: r.get("grad_norm") == 0.0)
    book.label(
        "RUN020",
        "warn",
        since=first,
        onset=at(book, lambda r: r.get("grad_norm") == 0.0, count=3),
        also="RUN004 RUN018",
    )


def rate_wrong(points: int, start: int = 0, also: str = "") -> Judge:
    """The rate is wrong from step `start` + 1 on; it shows `points` points later."""

    def judge(book: Book) -> None:
        def after(record: Record) -> bool:
            return "learning_rate" in record and record["step"] > start

        begin = next((i for i, r in enumerate(book.records) if r.get("event") == "resume"), 0)
        book.label("RUN019", "warn", since=at(book, after, begin), onset=at(book, after, begin, points), also=also)

    return judge


def resumed(**changes: Any) -> Callable[[Any, Path, list[Record]], None]:
    """Stopped at 53, resumed at 40 by a trainer with other arguments, or from a checkpoint that lost files."""

    def drive(run: Any, folder: Path, records: list[Record]) -> None:
        from tests.traces.real_parts import StopAt

        own = dict(changes)
        lost, args = own.pop("lost", ()), own.pop("args", {})
        saving = {"save_strategy": "steps", "save_steps": 20}
        first = trainer_of(run, folder, records, args=saving, callbacks=[StopAt(53)])
        first.train()
        del records[-1]
        for name in lost:
            (folder / f"checkpoint-{RESUMED_AT}" / name).unlink()
        second = trainer_of(run, folder, records, args=saving | args, **own)
        second.train(resume_from_checkpoint=str(folder / f"checkpoint-{RESUMED_AT}"))
        end(records, second)

    return drive


def second_file(run: Any, folder: Path, records: list[Record]) -> None:
    """File B, resumed on file A's checkpoint whose step is at max_steps: nothing is trained."""
    from tests.traces.real_parts import texts

    first = trainer_of(run, folder, [], args={"save_strategy": "steps", "save_steps": 40})
    first.train()
    second = trainer_of(run, folder, records, train_dataset=texts(40, 9))
    second.train(resume_from_checkpoint=str(folder / "checkpoint-40"))
    end(records, second)


def no_steps(book: Book) -> None:
    book.label("RUN015", "error", since=at(book, lambda r: "train_runtime" in r), also="RUN026")


def ended(book: Book) -> None:
    book.label("RUN026", "error", since=at(book, lambda r: "train_runtime" in r))


def replayed(points: int) -> Judge:
    def judge(book: Book) -> None:
        resume = at(book, lambda r: r.get("event") == "resume")
        book.label(
            "RUN024",
            "warn",
            since=at(book, lambda r: "loss" in r, resume),
            onset=at(book, lambda r: "loss" in r, resume, points),
        )

    return judge


def overfit(book: Book) -> None:
    """Three evaluations above the lowest one."""
    evaluations = [(index, record["eval_loss"]) for index, record in enumerate(book.records) if "eval_loss" in record]
    values = [value for _, value in evaluations]
    low = values.index(min(values))
    if len(values) < low + 4 or values[-1] < 1.1 * values[low]:
        raise LookupError(f"{book.name}: {values}")
    book.label("RUN005", "warn", since=evaluations[low + 1][0], onset=evaluations[low + 3][0])


def slower(step: int) -> Judge:
    def judge(book: Book) -> None:
        book.label("RUN009", "warn", onset=at(book, lambda r: r.get("step", 0) > step and "loss" in r))

    return judge


def leaks(book: Book) -> None:
    book.label(
        "RUN014",
        "warn",
        since=at(book, lambda r: "memory_gb" in r),
        onset=at(book, lambda r: "memory_gb" in r, count=15),
    )


def no_spread(book: Book) -> None:
    book.label(
        "RUN027",
        "warn",
        since=at(book, lambda r: r.get("reward_std") == 0.0),
        onset=at(book, lambda r: r.get("reward_std") == 0.0, count=3),
        also="RUN018 RUN020 RUN004",
    )


def accuracy_zero(book: Book) -> None:
    book.label(
        "RUN007",
        "warn",
        since=at(book, lambda r: r.get("eval_accuracy") == 0.0),
        onset=at(book, lambda r: r.get("eval_accuracy") == 0.0, count=3),
    )


def poison(step: int) -> Callable[[], list[Any]]:
    """One weight becomes NaN before `step`."""
    from tests.traces.real_parts import Every

    def act(now: int, model: Any) -> None:
        if now == step:
            next(model.parameters()).data.view(-1)[:] = math.nan

    return lambda: [Every(act)]


def gradients(of: Callable[[Any, int], Any]) -> Callable[[], Any]:
    """A model whose gradients go through `of(gradient, calls)`."""

    def make() -> Any:
        from tests.traces.real_parts import model

        made, calls = model(), [0]
        for number, parameter in enumerate(made.parameters()):

            def hook(gradient: Any, number: int = number) -> Any:
                calls[0] += number == 0
                return of(gradient, calls[0])

            parameter.register_hook(hook)
        return made

    return make


def cut_off(step: int) -> Callable[[], list[Any]]:
    """From `step` on every gradient is multiplied by zero before it is clipped."""
    from tests.traces.real_parts import Every

    def act(now: int, model: Any) -> None:
        if now == step:
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.register_hook(lambda gradient: gradient * 0)

    return lambda: [Every(act)]


def rates(of: Callable[[int], float], lr: float) -> Callable[[], list[Any]]:
    """A callback that sets the optimizer's rate to lr * of(step), whatever the schedule says."""
    from transformers import TrainerCallback

    class Setting(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(
            self, args: Any, state: Any, control: Any, optimizer: Any = None, lr_scheduler: Any = None, **_: Any
        ) -> None:
            lr_scheduler.lr_lambdas[:] = [of] * len(lr_scheduler.lr_lambdas)
            for group in optimizer.param_groups:
                group["lr"] = lr * of(state.global_step)
            lr_scheduler._last_lr = [lr * of(state.global_step)] * len(optimizer.param_groups)

    return lambda: [Setting()]


def slow_from(step: int, seconds: float) -> Callable[[], list[Any]]:
    from tests.traces.real_parts import Every

    return lambda: [Every(lambda now, model: time.sleep(seconds if now >= step else 0.0))]


def leak(megabytes: int) -> Callable[[], list[Any]]:
    import torch
    from tests.traces.real_parts import HELD, Every

    def act(now: int, model: Any) -> None:
        if now == 0:
            HELD.clear()
        HELD.append(torch.empty(megabytes * 2**18))

    return lambda: [Every(act)]


def constant(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    return [1.0] * len(completions)


def never(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    return [0.0] * len(completions)


def impossible(prediction: Any) -> dict[str, float]:
    """Compares the guesses with ids that no token has: always 0."""
    guesses = prediction.predictions.argmax(-1)
    return {"accuracy": float((guesses == prediction.label_ids + 10_000).mean())}
