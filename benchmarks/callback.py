"""What GuardCallback costs a step: paired runs of a tiny model on the CPU, with it and without, logging every step.

    python benchmarks/callback.py [--pairs N] [--steps N]

Each pair is two runs in this process, one after the other, in alternating order; the first steps of each are left out.
The ratios are medians over the pairs of that of their median step times, in time on the wall and in CPU time of this
process. On a busy machine these differ by more than what is looked for, so the time inside the guard's own hooks is
measured as well, in CPU time of their thread: that share decides. The goal is at most 1 % of a step. Needs torch and
transformers.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from trainguard.train.callback import GuardCallback

WARM_UP = 5
GOAL = 0.01
# A few million parameters: small beside every model that is fine-tuned, and a step is some 100 ms on one core.
MODEL: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128,
}
ROWS, TOKENS, BATCH = 64, 96, 8


class Stopwatch(TrainerCallback):
    """The time from the begin of one step to that of the next: forward, backward, optimizer, log, all callbacks."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, state, control, kwargs
        self.marks.append((time.perf_counter(), time.process_time()))

    def medians(self) -> tuple[float, float]:
        """Median step in seconds: on the wall, of the CPU."""
        pairs = list(zip(self.marks[WARM_UP:], self.marks[WARM_UP + 1 :], strict=False))
        return median(after[0] - before[0] for before, after in pairs), median(b[1] - a[1] for a, b in pairs)


class Timed(GuardCallback):
    """A guard whose hooks are timed, those of a step and the one on the model's forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        for name in ("step_begin", "substep_end", "pre_optimizer_step", "optimizer_step", "step_end", "log"):
            setattr(self, f"on_{name}", self._timed(getattr(self, f"on_{name}")))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        super().on_train_begin(args, state, control, **kwargs)
        if self._watch is not None:
            self._watch.nonfinite.note_loss = self._timed(self._watch.nonfinite.note_loss)  # type: ignore[method-assign]
        return control

    def _timed(self, hook: Any) -> Any:
        def timed(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return hook(*given, **named)
            finally:
                self.seconds += time.thread_time() - began

        return timed


def run(steps: int, *, guarded: bool) -> tuple[float, float, float]:
    """Seconds of a step: on the wall, of the CPU, and of the CPU inside the guard."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**MODEL))
    tokens = torch.randint(0, MODEL["vocab_size"], (ROWS, TOKENS))
    rows = [{"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)} for row in tokens]
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            logging_steps=1,
            save_strategy="no",
            per_device_train_batch_size=BATCH,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        guard = Timed()
        callbacks = [watch, *([guard] if guarded else [])]
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)
        trainer.remove_callback(PrinterCallback)  # a terminal is slow, and not the same each time
        trainer.train()
    return (*watch.medians(), guard.seconds / steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("trainguard").setLevel(logging.CRITICAL)
    run(WARM_UP + 2, guarded=True)
    plain, guarded = [], []
    for pair in range(given.pairs):
        for with_guard in (False, True) if pair % 2 else (True, False):
            (guarded if with_guard else plain).append(run(given.steps, guarded=with_guard))
        print(f"pair {pair + 1} of {given.pairs}: {_ratio(plain[-1:], guarded[-1:], 1):.4f}", file=sys.stderr)
    print(f"| GuardCallback, CPU, {given.pairs} pairs of {given.steps} steps | without | with | ratio |")
    print("|---|---|---|---|")
    for index, name in enumerate(("step, time on the wall", "step, CPU time")):
        without, beside = (median(each[index] for each in runs) * 1000 for runs in (plain, guarded))
        print(f"| {name} | {without:.2f} ms | {beside:.2f} ms | {_ratio(plain, guarded, index):.4f} |")
    inside, step = (median(each[index] for each in guarded) * 1000 for index in (2, 1))
    print(f"| inside the guard, CPU time | | {inside:.2f} ms | {inside / step:.2%} of a step |")
    within = inside / step <= GOAL
    print(f"goal: at most {GOAL:.0%} of a step: {'reached' if within else 'missed'}")
    return 0 if within else 1


Times = list[tuple[float, float, float]]


def _ratio(plain: Times, guarded: Times, index: int) -> float:
    return median(beside[index] / without[index] for without, beside in zip(plain, guarded, strict=True))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main())
