"""What verified saves cost a run: the stock Trainer, VerifiedSaves in the background, and in the foreground, in turn.

    python benchmarks/saving.py [--hidden 512] [--rounds 3]

Prints the seconds of one run (saves and all, to the last verified checkpoint), the seconds that one save holds up
training, and the median of the steps right after a save as a ratio to the other steps: hashing in the background shares
cores and disk with them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.campaign_run import Plan, make_trainer

from trainguard.train.space import allocated_bytes

ARMS = ("stock", "background", "foreground")


def run(plan: Plan, folder: Path) -> dict[str, float]:
    steps: list[tuple[int, float]] = []
    saves: list[float] = []
    begun = [0.0]

    def on_save(begins: bool) -> None:
        now = time.perf_counter()
        if begins:
            begun[0] = now
        else:
            saves.append(now - begun[0])

    trainer: Any = make_trainer(plan, folder, lambda _: None, lambda n: steps.append((n, time.perf_counter())), on_save)
    begin = time.perf_counter()
    trainer.train()
    total = time.perf_counter() - begin
    times = {number: now - before for (_, before), (number, now) in itertools.pairwise(steps)}
    # The time of a save falls between two ends of steps, so the step right after one comes less the save.
    after = [times[n] - saves[n // plan.save_steps - 1] for n in times if n % plan.save_steps == 1 and n > 1]
    other = [times[n] for n in times if n % plan.save_steps != 1]
    return {
        "seconds": total,
        "save": statistics.median(saves),
        "after": statistics.median(after) / statistics.median(other),
        "megabytes": allocated_bytes(folder / f"checkpoint-{plan.steps}") / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(options.rounds):
        for arm in ARMS:
            plan = Plan(
                arm="stock" if arm == "stock" else "guarded",
                steps=40,
                save_steps=10,
                keep=2,
                hidden=options.hidden,
                background=arm == "background",
            )
            with tempfile.TemporaryDirectory(prefix="trainguard-saving-") as folder:
                figures[arm].append(run(plan, Path(folder)))
    print(f"a checkpoint of {figures['stock'][0]['megabytes']:.0f} MB, every 10 steps of 40")
    print(f"{'':12} {'run, s':>8} {'a save holds up, ms':>20} {'step after a save':>18}")
    for arm in ARMS:
        mid = {name: statistics.median(row[name] for row in figures[arm]) for name in ("seconds", "save", "after")}
        print(f"{arm:12} {mid['seconds']:8.2f} {mid['save'] * 1000:20.0f} {mid['after']:17.2f}x")


if __name__ == "__main__":
    main()
