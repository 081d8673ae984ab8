"""What GuardCallback costs a step of a 0.5B model on a GPU, and whether it makes the CPU wait for the GPU.

    python benchmarks/gpu/callback.py [--pairs N] [--steps N]

Paired runs in this process, in alternating order, logging every step. The waits are counted by torch's profiler over
the same steps of both: calls of cudaStreamSynchronize, cudaDeviceSynchronize and cudaEventSynchronize, and `.item()`
(aten::_local_scalar_dense). The goals are at most 1 % of a step, and not one wait more. Without a GPU it says so and
exits with 2.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from trainguard.train.callback import GuardCallback

WARM_UP = 8
PROFILED = 10
GOAL = 1.01
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "aten::_local_scalar_dense")
# About half a billion parameters.
MODEL: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
}
ROWS, TOKENS, BATCH = 32, 512, 8


class Stopwatch(TrainerCallback):
    """The time from step to step, and the waits in some of them."""

    def __init__(self, *, profiled: bool) -> None:
        self.marks: list[float] = []
        self.waits: Counter[str] = Counter()
        self._profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) if profiled else None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, control, kwargs
        self.marks.append(time.perf_counter())
        if self._profiler is not None and state.global_step == WARM_UP:
            self._profiler.start()
        if self._profiler is not None and state.global_step == WARM_UP + PROFILED:
            self._profiler.stop()
            self.waits.update({each.key: each.count for each in self._profiler.key_averages() if each.key in WAITS})
            self._profiler = None

    def step_seconds(self) -> float:
        marks = self.marks[WARM_UP:]
        return median(after - before for before, after in pairwise(marks))


def run(model: LlamaForCausalLM, steps: int, *, guarded: bool, profiled: bool = False) -> Stopwatch:
    torch.manual_seed(0)
    tokens = torch.randint(0, MODEL["vocab_size"], (ROWS, TOKENS))
    rows = [{"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)} for row in tokens]
    watch = Stopwatch(profiled=profiled)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            logging_steps=1,
            save_strategy="no",
            per_device_train_batch_size=BATCH,
            bf16=True,
            learning_rate=1e-6,
            report_to=[],
            disable_tqdm=True,
        )
        # A random model on random tokens is at a plateau, which is none of this measurement's business.
        guard = GuardCallback(on_finding=None)
        callbacks = [watch, *([guard] if guarded else [])]
        trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return watch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU is visible to PyTorch, and this measures one; benchmarks/callback.py measures the CPU")
        return 2
    model = LlamaForCausalLM(LlamaConfig(**MODEL)).cuda()
    run(model, WARM_UP + 2, guarded=True)
    plain: list[float] = []
    guarded: list[float] = []
    for pair in range(given.pairs):
        for with_guard in (False, True) if pair % 2 else (True, False):
            seconds = run(model, given.steps, guarded=with_guard).step_seconds()
            (guarded if with_guard else plain).append(seconds)
    ratio = median(beside / without for without, beside in zip(plain, guarded, strict=True))
    waits = {each: run(model, WARM_UP + PROFILED + 2, guarded=each, profiled=True).waits for each in (False, True)}
    parameters = sum(each.numel() for each in model.parameters()) / 1e6
    title = (
        f"{torch.cuda.get_device_name()}, {parameters:,.0f} M parameters, {given.pairs} pairs of {given.steps} steps"
    )
    print(f"| {title} | without | with | |\n|---|---|---|---|")
    print(f"| step | {median(plain) * 1000:.2f} ms | {median(guarded) * 1000:.2f} ms | ratio {ratio:.4f} |")
    more = 0
    for name in WAITS:
        without, beside = waits[False][name], waits[True][name]
        more += max(0, beside - without)
        print(f"| {name}, {PROFILED} steps | {without} | {beside} | {beside - without:+d} |")
    reached = ratio <= GOAL and more == 0
    print(f"goal: a ratio of at most {GOAL} and no wait more: {'reached' if reached else 'missed'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
