"""`trainguard train`, into whose process the demo puts a fault: the product itself knows of none.

DEMO_FAULTS names a JSON file, [{"what": "nan", "file": "monday", "step": 6}, {"what": "full", "file": "wednesday",
"rows": 4}]: the loss of that step is NaN, once; micro-batches of so many rows and more do not fit into the memory of
what stands in for a GPU.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    plan = Path(os.environ["DEMO_FAULTS"])
    words = " ".join(sys.argv)
    for number, fault in enumerate(json.loads(plan.read_bytes())):
        if fault["file"] not in words:
            continue
        if fault["what"] == "full":
            from trainguard.drills.training._faults import install

            install({"what": "full-while-training", "at": 2, "rows": fault["rows"]})
        elif fault["what"] == "nan":
            happened = plan.with_name(f"happened-{number}")
            if not happened.exists():
                _spoil(fault["step"], happened.touch)
    sys.argv = ["trainguard", "train", *sys.argv[1:]]
    runpy.run_module("trainguard", run_name="__main__", alter_sys=True)


def _spoil(step: int, before: Callable[[], None]) -> None:
    """The loss of the `step`-th micro-batch is NaN."""
    from trl.trainer.sft_trainer import SFTTrainer

    compute_loss: Callable[..., Any] = SFTTrainer.compute_loss
    micro_batches = 0

    @functools.wraps(compute_loss)
    def spoilt(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal micro_batches
        micro_batches += 1
        loss = compute_loss(self, *args, **kwargs)
        if micro_batches != step:
            return loss
        before()
        return (loss[0] * float("nan"), *loss[1:]) if isinstance(loss, tuple) else loss * float("nan")

    setattr(SFTTrainer, "compute_loss", spoilt)  # noqa: B010


if __name__ == "__main__":
    main()
