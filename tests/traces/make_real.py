"""Runs tiny models through the stock trainers on the CPU, some with a fault put in, and writes their traces.

    OMP_NUM_THREADS=1 python tests/traces/make_real.py --tuning FOLDER --unseen FOLDER [--only NAME ...]

A third of them, drawn by name, goes to the unseen ones. Times are those of the machine; the rest is seeded.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.traces.shaping import Book, Record, tidy

# Drawn once, by name, before any of them was looked at: a third of the healthy and a third of the faulty.
UNSEEN = frozenset(
    """
    real-accuracy-zero real-diverges-dpo real-diverges-sgd real-dpo-small-rate real-dpo-warmup
    real-ended-by-callback real-ended-dpo real-grpo real-leak-every-2 real-nan-dpo real-nan-evaluation
    real-nan-gradient-batch real-nan-shown real-rate-restarts-cosine real-reward real-reward-small-rate
    real-sft-3e-4-logged-every-5 real-sft-evaluated-on-start real-sft-three-epochs real-sft-two-files real-slow
    real-spike real-trainer-5e-4
    """.split()
)
LOGGED = ("max_steps", "learning_rate", "warmup_steps", "logging_steps", "max_grad_norm")
BASE = {"max_steps": 80, "learning_rate": 2e-3, "per_device_train_batch_size": 8, "logging_steps": 1, "seed": 7}


@dataclass(kw_only=True)
class Run:
    """One run: which trainer, with what, and what a fair reader says about its log."""

    name: str
    kind: str  # trainer, sft, dpo, grpo, reward, kto
    about: str
    args: Record = field(default_factory=dict)
    parts: Record = field(default_factory=dict)  # keywords of the trainer, and ours
    declared: Record = field(default_factory=dict)
    drive: Callable[..., Any] | None = None  # what to do instead of one train()
    also: str = ""
    judge: Callable[[Book], None] | None = None  # writes the labels


METHODS = {"trainer": "pretrain", "sft": "sft", "dpo": "dpo", "grpo": "grpo", "reward": "reward", "kto": "kto"}


def trainer_of(run: Run, folder: Path, records: list[Record], **changes: Any) -> Any:
    """The stock trainer of the run's kind, recorded."""
    import transformers
    import trl
    from tests.traces import real_parts as parts

    # What needs the libraries, or must be new for each trainer, stands behind a function.
    own = {
        key: value()
        if key in ("eval_dataset", "train_dataset", "callbacks", "model", "optimizers") and callable(value)
        else value
        for key, value in run.parts.items()
    } | changes
    args = (
        BASE
        | {
            "output_dir": str(folder),
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            "bf16": False,
        }
        | run.args
        | own.pop("args", {})
    )
    recorder = parts.Recorder(records, memory=own.pop("memory", False))
    if records:
        recorder.started = time.monotonic() - records[-1]["t"] - 3.0
    callbacks = [*own.pop("callbacks", []), recorder]
    count, seed = own.pop("count", 400), own.pop("data_seed", 1)
    common: Record = {"callbacks": callbacks}
    model = own.pop("model", None)
    if run.kind == "trainer":
        common |= {
            "model": model or parts.model(),
            "args": transformers.TrainingArguments(**args),
            "train_dataset": parts.rows(count, seed),
        }
    elif run.kind == "sft":
        common |= {
            "model": model or parts.model(),
            "args": trl.SFTConfig(**{"max_length": 64} | args),
            "train_dataset": parts.texts(count, seed),
            "processing_class": parts.tokenizer(),
        }
    elif run.kind == "dpo":
        common |= {
            "model": model or parts.model(),
            "args": trl.DPOConfig(**args),
            "train_dataset": parts.pairs(count, seed),
            "processing_class": parts.tokenizer(),
        }
    elif run.kind == "grpo":
        more = {"num_generations": 4, "max_completion_length": 8}
        common |= {
            "model": model or parts.model(),
            "args": trl.GRPOConfig(**more | args),
            "train_dataset": parts.prompts(count, seed),
            "processing_class": parts.tokenizer(),
            "reward_funcs": own.pop("reward"),
        }
    elif run.kind == "reward":
        common |= {
            "model": model or parts.model(classifier=True),
            "args": trl.RewardConfig(**args),
            "train_dataset": parts.pairs(count, seed, prompt=False),
            "processing_class": parts.tokenizer(),
        }
    else:
        common |= {
            "model": model or parts.model(),
            "ref_model": parts.model(),
            "args": trl.KTOConfig(**args),
            "train_dataset": parts.labelled(count, seed),
            "processing_class": parts.tokenizer(),
        }
    classes = {
        "trainer": transformers.Trainer,
        "sft": trl.SFTTrainer,
        "dpo": trl.DPOTrainer,
        "grpo": trl.GRPOTrainer,
        "reward": trl.RewardTrainer,
        "kto": trl.KTOTrainer,
    }
    trainer = classes[run.kind](**common | own)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def execute(run: Run) -> Book:
    """Runs it; the trace, labelled."""
    book = Book(
        name=run.name,
        method=run.parts.get("method") or METHODS[run.kind],
        source="real run: a tiny Llama on the CPU, stock trainer",
        about=run.about,
    )
    parts = {key: value for key, value in run.parts.items() if key not in ("method", "plain")}
    used = Run(name=run.name, kind=run.kind, about=run.about, args=run.args, parts=parts)
    args = BASE | run.args
    book.declared = {key: args[key] for key in LOGGED if key in args and args[key] != -1} | {
        "lr_scheduler_type": args.get("lr_scheduler_type", "linear")
    }
    book.declared |= {
        key: args[key]
        for key in ("num_train_epochs", "eval_steps", "save_steps", "gradient_accumulation_steps")
        if key in args
    }
    book.declared |= run.declared
    folder = Path(tempfile.mkdtemp(prefix="trace-"))
    try:
        if run.drive:
            run.drive(used, folder, book.records)
        else:
            trainer = trainer_of(used, folder, book.records)
            trainer.train()
            end(book.records, trainer)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    book.records[:] = [tidy(record) for record in book.records]
    book.also.extend(run.also.split())
    if run.judge:
        run.judge(book)
    if disturbed(book.records):
        book.also.append("RUN009")
    return book


def disturbed(records: list[Record]) -> bool:
    """Whether others used the machine meanwhile: four points took twice as long as ten points in a row before them."""
    points = [(record["step"], record["t"]) for record in records if "loss" in record]
    took = [after[1] - before[1] for before, after in pairwise(points) if after[0] > before[0]]
    usual = math.inf
    for start in range(10, len(took) - 3):
        usual = min(usual, median(took[start - 10 : start]))
        if median(took[start : start + 4]) > 1.9 * usual:
            return True
    return False


def end(records: list[Record], trainer: Any, exit_code: int = 0) -> None:
    last = records[-1].get("t", 0.0)
    records.append({"event": "end", "exit_code": exit_code, "step": trainer.state.global_step, "t": last + 0.1})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning", type=Path, required=True)
    parser.add_argument("--unseen", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    from tests.traces import real_faulty, real_healthy
    from tests.traces.real_parts import quiet

    quiet()
    healthy, faulty = real_healthy.runs(), real_faulty.runs()
    for run in [*healthy, *faulty]:
        if options.only is not None and not any(run.name.startswith(prefix) for prefix in options.only):
            continue
        started = time.monotonic()
        try:
            book = execute(run)
        except Exception:  # the others still run
            print(f"{run.name}: failed")
            traceback.print_exc(limit=-4)
            continue
        book.write(options.unseen if run.name in UNSEEN else options.tuning)
        print(
            f"{run.name}: {len(book.records)} records, {time.monotonic() - started:.1f} s, labels {book.labels}",
            flush=True,
        )


if __name__ == "__main__":
    main()
