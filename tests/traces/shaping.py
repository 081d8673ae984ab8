"""What simulated runs are made of: schedules, loss curves, a clock, and the book in which the records are written.

Everything is drawn from `random.Random(name)`, so that a trace is the same wherever and whenever it is made.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Change = Callable[[Record, int], Record | None]

# All that the Trainer and TRL log of the speed.
TIMED = "loss grad_norm learning_rate num_tokens tokens_per_second epoch"

RUN_CODES_OF_TRACES = tuple(f"RUN{number:03}" for number in (*range(1, 10), 14, 15, 18, 19, 20, 24, 26, 27))


def tidy(value: Any) -> Any:
    """Floats with 6 significant digits, inside lists and mappings too; anything else as it is."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else value
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    return value


@dataclass(kw_only=True)
class Book:
    """A trace in the making: header and records."""

    name: str
    method: str
    source: str
    about: str
    declared: Record = field(default_factory=dict)
    labels: list[Record] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    max_severity: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.name)

    def add(self, record: Record) -> int:
        """Appends one record; its index."""
        self.records.append(tidy(record))
        return len(self.records) - 1

    def event(self, kind: str, **values: Any) -> int:
        return self.add({"event": kind, **values, "t": self.clock})

    def tick(self) -> int:
        return self.add({"tick": True, "t": self.clock})

    def silence(self, seconds: float, every: float) -> list[int]:
        """Time goes by with nothing but ticks; their indices."""
        end = self.clock + seconds
        indices = []
        while self.clock + every <= end:
            self.clock += every
            indices.append(self.tick())
        self.clock = end
        return indices

    def label(
        self, code: str, severity: str, *, onset: int | None = None, since: int | None = None, also: str = ""
    ) -> None:
        """Says that `code` must be said from record `onset` on (default: the last one); it may be from `since` on."""
        onset = len(self.records) - 1 if onset is None else onset
        label: Record = {"code": code, "onset": onset, "severity": severity}
        if since is not None and since != onset:
            label["since"] = since
        self.labels.append(label)
        self.also.extend(also.split())

    def header(self) -> Record:
        header: Record = {"trace": self.name, "method": self.method, "declared": self.declared}
        header |= {"labels": self.labels, "also": sorted(set(self.also))}
        if self.max_severity:
            header["max_severity"] = self.max_severity
        return header | {"source": self.source, "about": self.about}

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(self.header()), *(json.dumps(record) for record in self.records)]
        (folder / f"{self.name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rate(kind: str, step: float, *, peak: float, warmup: int, total: int, **more: float) -> float:
    """The learning rate after `step` updates, as transformers/optimization.py (release 5) defines the schedules."""
    if kind == "constant" or kind == "reduce_lr_on_plateau":
        return peak
    if step < warmup:
        return peak * step / max(1, warmup)
    if kind == "constant_with_warmup":
        return peak
    if kind == "inverse_sqrt":
        timescale = warmup or 10_000
        return peak / math.sqrt((step + timescale - warmup) / timescale)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    if kind == "linear":
        return peak * (1 - progress)
    if kind == "polynomial":
        end = more.get("lr_end", 1e-7)
        return (peak - end) * (1 - progress) + end
    if kind == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    if kind == "cosine_with_restarts":
        if progress >= 1:
            return 0.0
        return peak * 0.5 * (1 + math.cos(math.pi * ((more.get("num_cycles", 1) * progress) % 1.0)))
    if kind == "cosine_with_min_lr":
        low = more.get("lr_end", 0.1 * peak)
        return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * progress))
    if kind == "warmup_stable_decay":
        decay = more["num_decay_steps"]
        if step < total - decay:
            return peak
        return peak * max(0.0, (total - step) / decay)
    raise ValueError(kind)


@dataclass(kw_only=True)
class Shape:
    """What a simulated run looks like as long as nothing happens to it. Times in seconds."""

    steps: int = 1000
    every: int = 10
    lr: float = 2e-5
    schedule: str = "linear"
    warmup: int = 0
    start: float = 1.9
    floor: float = 1.15
    half: float = 0.08  # share of the run after which half of the fall is done
    drift: float = 0.0  # further fall over the whole run, linear
    noise: float = 0.03
    tail: float = 0.0  # chance of a batch that is twice as far off
    grad: float = 0.9
    grad_noise: float = 0.18
    grad_trend: float = 0.0  # relative growth over the run
    seconds: float = 1.4
    time_noise: float = 0.03
    tokens: int = 8192
    token_noise: float = 0.05
    epoch_steps: float = 500
    staircase: float = 0.0  # fall of the train loss at each epoch boundary
    eval_every: int = 0
    eval_seconds: float = 40.0
    eval_gap: float = 0.03
    save_every: int = 0
    save_seconds: float = 8.0
    memory: float = 0.0
    ticks: float = 0.0
    phases: bool = False
    digits: int = 0
    lag: int = 1  # the Trainer logs the rate that the step was taken with: that of step - 1
    keys: str = "loss grad_norm learning_rate epoch"
    more: dict[str, float] = field(default_factory=dict)

    def loss(self, step: float) -> float:
        done = step / self.steps
        fallen = (self.start - self.floor) / (1 + done / self.half)
        epoch = int(max(0.0, step - 1) // self.epoch_steps)
        return self.floor + fallen - self.drift * done - self.staircase * epoch

    def rate(self, step: int) -> float:
        return rate(self.schedule, step - self.lag, peak=self.lr, warmup=self.warmup, total=self.steps, **self.more)

    def declared(self, *names: str, **values: Any) -> Record:
        """What a run of this shape would have declared; only `names` of it, if given."""
        whole: Record = {
            "lr_scheduler_type": self.schedule,
            "learning_rate": self.lr,
            "warmup_steps": self.warmup,
            "max_steps": self.steps,
            "logging_steps": self.every,
            "max_grad_norm": 1.0,
        }
        whole |= {"eval_steps": self.eval_every} if self.eval_every else {}
        whole |= {"save_steps": self.save_every} if self.save_every else {}
        whole |= self.more
        return {key: whole[key] for key in names or whole} | values


class Simulation:
    """Writes the records of a run of a given shape into a book."""

    def __init__(self, book: Book, shape: Shape, change: Change | None = None) -> None:
        self.book, self.shape, self.change = book, shape, change
        self.rng = book.rng
        self.num_tokens = 0
        self.eval_loss: Callable[[int], float] = lambda step: shape.loss(step) + shape.eval_gap
        self.eval_more: Callable[[int], Record] = lambda step: {}
        self.level: Callable[[int], float] = shape.loss
        self.pace: Callable[[int], float] = lambda step: 1.0
        self.batches: dict[int, float] = {}  # which batch noise belongs to a step, where a test wants it again
        self.counts: dict[int, int] = {}

    def wobble(self, step: int) -> float:
        """Noise of the batches that one point averages."""
        if step not in self.batches:
            value = self.rng.gauss(0, self.shape.noise)
            if self.shape.tail and self.rng.random() < self.shape.tail:
                value += abs(self.rng.gauss(0, 2.5 * self.shape.noise))
            self.batches[step] = value
        return self.batches[step]

    def wait(self, seconds: float) -> None:
        if self.shape.ticks:
            self.book.silence(seconds, self.shape.ticks)
        else:
            self.book.clock += seconds

    def phase(self, name: str) -> None:
        if self.shape.phases:
            self.book.event("phase", name=name)

    def point(self, step: int, steps: int) -> Record:
        """The metrics that are logged at `step` over the last `steps` steps."""
        shape, rng = self.shape, self.rng
        count = self.counts.setdefault(step, int(shape.tokens * steps * (1 + rng.gauss(0, shape.token_noise))))
        self.num_tokens += count
        seconds = steps * shape.seconds * self.pace(step) * max(0.2, 1 + rng.gauss(0, shape.time_noise))
        self.wait(seconds)
        growth = 1 + shape.grad_trend * step / shape.steps
        loss = self.level(step) * (1 + self.wobble(step))
        whole: Record = {
            "loss": round(loss, shape.digits) if shape.digits else loss,
            "grad_norm": shape.grad * growth * math.exp(rng.gauss(0, shape.grad_noise)),
            "learning_rate": shape.rate(step),
            "num_tokens": self.num_tokens,
            "tokens_per_second": count / seconds,
            "memory_gb": shape.memory * (1 + rng.gauss(0, 0.002)),
            "memory_reserved_gb": shape.memory * 1.12,
            "epoch": step / shape.epoch_steps,
        }
        record = {key: whole[key] for key in shape.keys.split() if key in whole}
        record["step"] = step
        if "no_t" not in shape.keys.split():
            record["t"] = self.book.clock
        return record

    def evaluate(self, step: int) -> None:
        shape = self.shape
        self.phase("evaluate")
        self.wait(shape.eval_seconds * (1 + self.rng.gauss(0, 0.03)))
        record: Record = {"eval_loss": self.eval_loss(step) * (1 + self.rng.gauss(0, 0.003))}
        record |= {"eval_runtime": shape.eval_seconds, **self.eval_more(step)}
        record |= {"epoch": step / shape.epoch_steps, "step": step, "t": self.book.clock}
        self.book.add(record)
        self.phase("train")

    def save(self) -> None:
        self.phase("save")
        self.wait(self.shape.save_seconds)
        self.phase("train")

    def run(self, start: int = 0, stop: int | None = None) -> None:
        """Steps start+1 .. stop, logged, evaluated and saved as the shape says."""
        shape, stop = self.shape, self.shape.steps if stop is None else stop
        last = start
        for step in range(start + 1, stop + 1):
            if step % shape.every == 0:
                record = self.point(step, step - last)
                last = step
                changed = self.change(record, step) if self.change else record
                if changed is not None:
                    self.book.add(changed)
            if shape.eval_every and step % shape.eval_every == 0:
                self.evaluate(step)
            if shape.save_every and step % shape.save_every == 0:
                self.save()

    def summary(self, step: int) -> None:
        """The Trainer's last record of a run."""
        losses = [record["loss"] for record in self.book.records if "loss" in record] or [0.0]
        mean = sum(losses) / len(losses)
        record = {"train_runtime": self.book.clock, "train_loss": mean, "epoch": step / self.shape.epoch_steps}
        self.book.add(record | {"step": step, "t": self.book.clock})

    def end(self, step: int | None = None, exit_code: int = 0) -> None:
        step = self.shape.steps if step is None else step
        self.summary(step)
        self.book.event("end", exit_code=exit_code, step=step)
