"""Runs that were never run, with clock, schedule, memory and data order: seeded. For the tests of the plan's signals.

`Made` begins as a healthy run of random size and habits; the functions of `FAULTY` put one fault into it. All numbers
come from the `random.Random` that is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

Record = dict[str, Any]
SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "warmup_stable_decay",
)


@dataclass(kw_only=True)
class Plan:
    """What a run is and does. `rate` and the like are functions of the step, so that a fault can replace one."""

    rng: Random
    kind: str
    steps: int
    every: int
    peak: float
    warmup: int
    per_step: float
    per_epoch: int
    level: float
    noise: float
    memory: float
    eval_every: int | None
    eval_seconds: float
    save_every: int | None
    save_seconds: float
    load_seconds: float
    tokens: int
    old_logs: bool
    phases: bool
    ticks: float | None
    keys: frozenset[str]
    declared: dict[str, Any] = field(default_factory=dict)
    rate: Callable[[int], float] = lambda step: 0.0
    seconds: Callable[[int], float] = lambda step: 1.0
    gigabytes: Callable[[int], tuple[float, float]] = lambda step: (1.0, 1.0)
    batch: Callable[[int], int] = lambda step: step
    length: Callable[[int], float] = lambda step: 1.0


def factor(kind: str, step: int, steps: int, warmup: int, options: dict[str, float]) -> float:
    """The share of the peak after `step` updates, written anew from the documentation of the schedules."""
    if kind == "constant":
        return 1.0
    if step < warmup:
        return step / warmup
    if kind == "constant_with_warmup":
        return 1.0
    if kind == "inverse_sqrt":
        scale = warmup or 10_000
        return math.sqrt(scale / (step - warmup + scale))
    x = min(1.0, (step - warmup) / max(1, steps - warmup))
    if kind == "linear":
        return 1 - x
    if kind == "polynomial":
        return (1 - options["end"]) * (1 - x) + options["end"]
    if kind == "cosine_with_restarts":
        return 0.0 if x >= 1 else (1 + math.cos(math.pi * ((options["num_cycles"] * x) % 1))) / 2
    if kind == "cosine_with_min_lr":
        return (1 + math.cos(math.pi * x)) / 2 * (1 - options["end"]) + options["end"]
    if kind == "warmup_stable_decay":
        left = steps - step
        decay = options["num_decay_steps"]
        return 1.0 if left > decay else (1 + math.cos(math.pi * (1 - left / decay))) / 2
    return (1 + math.cos(math.pi * x)) / 2


def plan(rng: Random) -> Plan:
    """A healthy run of random habits."""
    steps = int(math.exp(rng.uniform(math.log(60), math.log(4000))))
    every = rng.choice([1, 1, 5, 10, 25, 50])
    steps = max(steps, every * rng.randint(20, 60))
    if steps > every * 400:
        every = max(1, steps // rng.randint(60, 400))
    kind = rng.choice(SCHEDULES)
    warmup = 0 if kind == "constant" else rng.choice([0, 0, 5, int(0.03 * steps), int(0.1 * steps)])
    peak = rng.choice([1e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 1e-3])
    options: dict[str, float] = {"end": 0.1, "num_cycles": float(rng.randint(2, 5)), "num_decay_steps": steps // 5}
    if kind == "polynomial":
        options["end"] = min(0.5, 1e-7 / peak)
    per_step = math.exp(rng.uniform(math.log(0.2), math.log(30)))
    epochs = rng.choice([1, 2, 3])
    per_epoch = math.ceil(steps / epochs)
    eval_every = every * rng.randint(3, 10) if rng.random() < 0.5 else None
    save_every = every * rng.randint(3, 10) if rng.random() < 0.5 else None
    made = Plan(
        rng=rng,
        kind=kind,
        steps=steps,
        every=every,
        peak=peak,
        warmup=warmup,
        per_step=per_step,
        per_epoch=per_epoch,
        level=math.exp(rng.uniform(math.log(0.05), math.log(11))),
        noise=rng.uniform(0.02, 0.1),
        memory=rng.uniform(4, 60),
        eval_every=eval_every,
        eval_seconds=per_step * every * rng.uniform(0.5, 12),
        save_every=save_every,
        save_seconds=per_step * every * rng.uniform(0.2, 6),
        load_seconds=rng.uniform(5, 900),
        tokens=rng.choice([500, 2000, 16_000]),
        old_logs=rng.random() < 0.25,
        phases=rng.random() < 0.3,
        ticks=rng.choice([None, 10.0, 30.0, 60.0]),
        keys=frozenset(
            key
            for key in ("grad_norm", "epoch", "num_tokens", "tokens_per_second", "memory_gb", "t")
            if rng.random() < 0.75
        ),
    )
    made.declared = {
        "max_steps": steps,
        "logging_steps": every,
        "learning_rate": peak,
        "lr_scheduler_type": kind,
        "warmup_steps": warmup,
        "num_train_epochs": epochs,
        "gpu_memory_gb": made.memory * rng.uniform(1.2, 2),
    }
    if kind == "cosine_with_restarts":
        made.declared["num_cycles"] = int(options["num_cycles"])
    if kind == "cosine_with_min_lr":
        made.declared["lr_end"] = 0.1 * peak
    if kind == "warmup_stable_decay":
        made.declared["num_decay_steps"] = int(options["num_decay_steps"])
    if eval_every:
        made.declared["eval_steps"] = eval_every
    if save_every:
        made.declared["save_steps"] = save_every
    skipped = rng.randint(0, 3) if rng.random() < 0.15 else 0
    if skipped:
        made.declared["fp16"] = True
    logged = 0 if made.old_logs else 1
    made.rate = lambda step: peak * factor(kind, max(0, step - logged - skipped), steps, warmup, options)
    lengths = [math.exp(rng.gauss(0, 0.25)) for _ in range(per_epoch)]
    made.batch = lambda step: (step - 1) % per_epoch + ((step - 1) // per_epoch) * 100_003
    made.length = lambda step: lengths[(step - 1) % per_epoch]
    jitter = rng.uniform(0.01, 0.2)
    first = min(rng.uniform(1, 60), 600 / per_step)
    made.seconds = lambda step: per_step * math.exp(rng.gauss(0, jitter)) * (first if step == 1 else 1)
    made.gigabytes = healthy_memory(rng, made.memory, every)
    for key in ("max_steps", "logging_steps", "learning_rate", "lr_scheduler_type", "warmup_steps", "num_train_epochs"):
        if rng.random() < 0.08:
            made.declared.pop(key)
    if rng.random() < 0.1:
        made.declared = {}
    return made


def healthy_memory(rng: Random, level: float, every: int) -> Callable[[int], tuple[float, float]]:
    """Flat with noise, a high-water mark of random lengths, or a rise that levels off."""
    shape = rng.choice(["flat", "noisy", "high-water", "saturating"])
    mark = [0.0]
    settle = every * rng.uniform(2, 12)

    def at(step: int) -> tuple[float, float]:
        if shape == "noisy":
            used = level * (1 + rng.gauss(0, 0.02))
        elif shape == "high-water":
            mark[0] = max(mark[0], rng.gauss(0, 1))
            used = level * (0.85 + 0.05 * mark[0])
        elif shape == "saturating":
            used = level * (1 - 0.2 * math.exp(-step / settle))
        else:
            used = level + rng.gauss(0, 0.001)
        return used, used * 1.08

    return at


@dataclass(kw_only=True)
class Leg:
    """Steps of one process: from one after `begin` to `end`."""

    begin: int
    end: int


class Recorder:
    """Writes records down, with the time where a run tells it, and ticks while nothing happens."""

    def __init__(self, made: Plan) -> None:
        self.made, self.t = made, 0.0
        self.out: list[Record] = []

    def say(self, record: Record) -> None:
        if "t" in self.made.keys:
            record["t"] = round(self.t, 3)
        self.out.append(record)

    def wait(self, seconds: float) -> None:
        ticks = self.made.ticks if "t" in self.made.keys else None
        until = self.t + seconds
        while ticks is not None and until - self.t > ticks:
            self.t += ticks
            self.say({"tick": True})
        self.t = until

    def pause(self, name: str, seconds: float, then: Record | None = None) -> None:
        """An evaluation, a save or the load: with its phase, where the run tells phases."""
        if self.made.phases:
            self.say({"event": "phase", "name": name})
        self.wait(seconds)
        if then is not None:
            self.say(then)
        if self.made.phases:
            self.say({"event": "phase", "name": "train"})


def records(made: Plan, legs: list[Leg] | None = None, *, code: int = 0, ended: bool = True) -> list[Record]:
    """The records of a run, with the legs of its processes (a resume between them)."""
    to, step = Recorder(made), 0
    losses: dict[int, float] = {}
    for number, leg in enumerate(legs or [Leg(begin=0, end=made.steps)]):
        to.say({"event": "resume", "from_step": leg.begin} if number else {"event": "start"})
        to.pause("load", made.load_seconds)
        total, window, counted = 0.0, [], 0
        for step in range(leg.begin + 1, leg.end + 1):
            batch = made.batch(step)
            if batch not in losses:
                losses[batch] = math.exp(made.rng.gauss(0, made.noise))
            window.append(made.level * (0.55 + 0.45 * (1 + step / 20) ** -0.5) * losses[batch])
            counted += round(made.tokens * made.length(step))
            total += made.seconds(step)
            if step % made.every == 0:
                to.wait(total)
                to.say(metrics(made, step, window, counted, total))
                total, window = 0.0, []
                pauses(made, to, step)
    if ended:
        to.wait(made.per_step)
        to.say({"event": "end", "exit_code": code, "step": step})
    return to.out


def metrics(made: Plan, step: int, window: list[float], counted: int, seconds: float) -> Record:
    """What a trainer logs after a window of steps, as far as this run logs it."""
    used, reserved = made.gigabytes(step)
    record: Record = {
        "step": step,
        "loss": round(sum(window) / len(window), 4),
        "grad_norm": made.level * math.exp(made.rng.gauss(0, 0.2)),
        "learning_rate": made.rate(step),
        "epoch": round(step / made.per_epoch, 4),
        "num_tokens": counted,
        "tokens_per_second": round(made.tokens * made.length(step) * made.every / max(seconds, 1e-6), 1),
        "memory_gb": used,
        "memory_reserved_gb": reserved,
    }
    hidden = {"grad_norm", "epoch", "num_tokens", "tokens_per_second", "memory_gb"} - made.keys
    if "memory_gb" in hidden:
        hidden.add("memory_reserved_gb")
    return {key: value for key, value in record.items() if key not in hidden}


def pauses(made: Plan, to: Recorder, step: int) -> None:
    """The evaluation and the save that are due after a step."""
    if made.eval_every and step % made.eval_every == 0:
        evaluation = {"step": step, "eval_loss": made.level, "epoch": step / made.per_epoch}
        to.pause("evaluate", made.eval_seconds * made.rng.uniform(0.9, 1.2), evaluation)
    if made.save_every and step % made.save_every == 0:
        to.pause("save", made.save_seconds * made.rng.uniform(0.7, 2))


@dataclass(kw_only=True)
class Case:
    """Records, and for a faulty run the record from which on the fault shows."""

    records: list[Record]
    declared: dict[str, Any]
    onset: int = 0
    name: str = ""


def healthy(rng: Random) -> Case:
    """A healthy run: with or without resumes."""
    made = plan(rng)
    legs = None
    if rng.random() < 0.3:
        at = rng.randrange(made.steps // 4, made.steps * 3 // 4) // made.every * made.every
        reached = min(made.steps, at + rng.randint(0, 20) * made.every)
        legs = [Leg(begin=0, end=reached), Leg(begin=at, end=made.steps)]
    return Case(records=records(made, legs), declared=made.declared, name=f"{made.kind} {made.every}")


def slow(rng: Random) -> Case:
    """Every step takes 2.6 to 8 times as long, from some step on."""
    made = plan(rng)
    made.keys |= {"t"}
    at = made.steps // 2 // made.every * made.every
    times, before = rng.uniform(2.6, 8), made.seconds
    made.seconds = lambda step: before(step) * (times if step > at else 1)
    out = records(made)
    return Case(records=out, declared=made.declared, onset=_first(out, at + made.every), name=f"x{times:.1f}")


def stalled(rng: Random) -> Case:
    """Nothing but ticks, for half an hour or twenty intervals."""
    made = plan(rng)
    made.keys |= {"t"}
    made.ticks = made.ticks or 30.0
    at = rng.randrange(made.steps // 3, made.steps - made.every) // made.every * made.every
    for every in (made.eval_every, made.save_every):
        if every and at % every == 0:
            at += made.every
    out = records(made, [Leg(begin=0, end=at)], ended=False)
    t = out[-1]["t"]
    onset = len(out)
    for _ in range(int((2400 + 20 * made.per_step * made.every) / made.ticks)):
        t += made.ticks
        out.append({"tick": True, "t": t})
    return Case(records=out, declared=made.declared, onset=onset, name=f"at {at} {made.per_step * made.every:.0f}")


def leak(rng: Random) -> Case:
    """Memory that would be full before the end, from some step on."""
    made = plan(rng)
    made.keys |= {"memory_gb"}
    made.declared.update({"gpu_memory_gb": made.memory * 1.4, "max_steps": made.steps})
    at = rng.choice([0, made.steps // 3]) // made.every * made.every
    slope = made.memory * 0.4 / (made.steps - at) * rng.uniform(1.5, 5)
    noise = rng.choice([0.0005, 0.002, 0.005])

    def climbing(step: int) -> tuple[float, float]:
        used = made.memory * (1 + rng.gauss(0, noise)) + slope * max(0, step - at)
        return used, used * 1.05

    made.gigabytes = climbing
    out = records(made)
    return Case(records=out, declared=made.declared, onset=_first(out, at + made.every), name=f"{slope:.3g} a step")


def schedule(rng: Random) -> Case:
    """One of: rate 0, no decay, another peak, another plan, a schedule that begins again on a resume."""
    made = plan(rng)
    while made.kind in ("constant", "constant_with_warmup", "inverse_sqrt"):
        made = plan(rng)
    made.declared.update(
        max_steps=made.steps,
        learning_rate=made.peak,
        lr_scheduler_type=made.kind,
        warmup_steps=made.warmup,
        logging_steps=made.every,
    )
    right, peak = made.rate, made.peak
    at = made.steps // 3 // made.every * made.every
    shape = rng.choice(["zero", "no-decay", "ten-times", "plan-short", "plan-long", "restart", "restart"])
    legs, onset_step = None, max(made.warmup, 1) + made.every
    if shape == "zero":
        made.rate = lambda step: 0.0
    elif shape == "no-decay":
        made.rate = lambda step: peak if step > made.warmup + 1 else right(step)
    elif shape == "ten-times":
        made.rate = lambda step: 10 * right(step)
    elif shape == "plan-short":
        made.rate = lambda step: right(min(made.steps, step * 3))
    elif shape == "plan-long":
        made.rate = lambda step: right(max(1, step // 5)) if step > made.warmup * 5 else right(step)
    else:
        if made.kind == "cosine_with_restarts":
            made.kind = "cosine"
            made.declared["lr_scheduler_type"] = "cosine"
            made.declared.pop("num_cycles", None)
            right = lambda step: peak * factor("cosine", step - 1, made.steps, made.warmup, {})  # noqa: E731
        legs = [Leg(begin=0, end=2 * at), Leg(begin=2 * at, end=made.steps)]
        made.rate = lambda step: right(step) if step <= 2 * at else right(step - 2 * at)
        onset_step = 2 * at + made.every
    if made.kind == "warmup_stable_decay" and shape in ("no-decay", "plan-long"):
        onset_step = made.steps - made.steps // 5 + made.every
    out = records(made, legs)
    return Case(records=out, declared=made.declared, onset=_first(out, onset_step), name=f"{shape} {made.kind}")


def replayed(rng: Random) -> Case:
    """After a resume in the middle of an epoch the batches are those of the first steps."""
    made = plan(rng)
    made.per_epoch = made.steps
    made.declared.pop("num_train_epochs", None)
    lengths = [math.exp(rng.gauss(0, 0.25)) for _ in range(made.steps)]
    at = made.steps // 2 // made.every * made.every

    def batch(step: int) -> int:
        return step if step <= at else step - at

    made.batch = batch
    made.length = lambda step: lengths[batch(step) - 1]
    out = records(made, [Leg(begin=0, end=at), Leg(begin=at, end=made.steps)])
    return Case(records=out, declared=made.declared, onset=_after_resume(out), name=f"every {made.every}")


def ended_early(rng: Random) -> Case:
    """The end comes with exit code 0 at some share of the planned steps."""
    made = plan(rng)
    made.declared["max_steps"] = made.steps
    at = int(made.steps * rng.uniform(0.05, 0.95))
    out = records(made, [Leg(begin=0, end=max(1, at))])
    if rng.random() < 0.3:
        out[-1].pop("exit_code")
    return Case(records=out, declared=made.declared, onset=len(out) - 1)


def zero_steps(rng: Random) -> Case:
    """The end comes at the step at which the run, or its resume, began."""
    made = plan(rng)
    made.declared["max_steps"] = made.steps
    if rng.random() < 0.5:
        out = records(made, [Leg(begin=0, end=0)])
    else:
        at = rng.choice([made.steps, made.steps // 2])
        out = records(made, [Leg(begin=0, end=at), Leg(begin=at, end=at)])
        out[-1]["step"] = at
    return Case(records=out, declared=made.declared, onset=len(out) - 1)


def _first(out: list[Record], step: int) -> int:
    return next((i for i, each in enumerate(out) if each.get("step", -1) >= step), len(out) - 1)


def _after_resume(out: list[Record]) -> int:
    return next(i for i, each in enumerate(out) if each.get("event") == "resume") + 1


FAULTY: dict[str, Callable[[Random], Case]] = {
    "RUN008": stalled,
    "RUN009": slow,
    "RUN014": leak,
    "RUN015": zero_steps,
    "RUN019": schedule,
    "RUN024": replayed,
    "RUN026": ended_early,
}
