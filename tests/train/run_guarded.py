"""A guarded run as a script of its own, for tests that signal it: OUTPUT_DIR STEPS SECONDS_A_STEP [gloo | return]."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from tests.train.tiny_runs import trainer
from transformers import TrainerCallback

from trainguard import GuardCallback


class Slow(TrainerCallback):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        time.sleep(self.seconds)


def main() -> None:
    torch.set_num_threads(1)
    output, steps, seconds, *more = sys.argv[1:]
    guard = GuardCallback(exit_on_request="return" not in more)
    distributed = {"ddp_backend": "gloo"} if "gloo" in more else {}
    run = trainer(
        Path(output),
        Slow(float(seconds)),
        guard,
        max_steps=int(steps),
        save_steps=1000,
        logging_steps=1000,
        save_total_limit=2,
        **distributed,
    )
    run.train()
    print(f"returned at step {run.state.global_step} with {guard.exit_code}: {guard.stopped}", flush=True)


if __name__ == "__main__":
    main()
