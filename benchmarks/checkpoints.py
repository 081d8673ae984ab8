"""200 checkpoints, damaged in every way that a crash, a full disk or a power cut leaves: who chooses which.

    python benchmarks/checkpoints.py [--cuts N] [--kind full|lora|sharded] [--seed N]

A real Trainer trains a tiny model and saves `checkpoint-2` and `checkpoint-4`; each case damages the latter. Asked are
the Trainer's own `get_last_checkpoint` and `latest_verified_checkpoint`; then a Trainer resumes from the damaged one,
and its weights at the end are compared, bit for bit, with those of a run that nothing disturbed. A choice is right
where the run ends with the same weights. Needs torch, transformers and peft. Exits with 1 where a wrong one is chosen.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.facts.checkpoint_damage import BAD, GOOD, Damage, Runs, Trainers, damaged, damages

from trainguard.facts.checkpoint.latest import latest_verified_checkpoint


@dataclass(frozen=True)
class Case:
    """One damage: what a Trainer makes of the damaged checkpoint, and what was chosen by whom."""

    family: str
    outcome: str
    stock_is_damaged: bool
    ours: str | None
    seconds: float

    @property
    def stock_right(self) -> bool:
        return not self.stock_is_damaged or self.outcome == "equal"

    @property
    def ours_right(self) -> bool:
        return self.ours == GOOD or (self.ours == BAD and self.outcome == "equal")

    @property
    def cautious(self) -> bool:
        """Whether the older one was taken though the damaged one would have done."""
        return self.ours == GOOD and self.outcome == "equal"


def measure(runs: Runs, trainers: Trainers, tried: Sequence[Damage], folder: Path) -> list[Case]:
    """Every damage, one after the other."""
    cases = []
    for number, damage in enumerate(tried):
        output = damaged(runs, damage, folder / str(number))
        stock = trainers.ask("last", folder=output)
        started = perf_counter()
        ours = latest_verified_checkpoint(output)
        seconds = perf_counter() - started
        outcome = trainers.outcome(runs, output / BAD).partition(":")[0]
        name = ours.name if ours is not None else None
        cases.append(Case(damage.family, outcome, Path(stock).name == BAD, name, seconds))
    return cases


def table(cases: Sequence[Case]) -> str:
    """One row a family of damage, in Markdown."""
    head = ("damage", "cases", "resumes: equal", "differs, silently", "fails", "get_last_checkpoint right",
            "latest_verified_checkpoint right", "older one though not needed")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", f"|---{'|--:' * (len(head) - 1)}|"]
    families = sorted({case.family for case in cases})
    for family in (*families, "all"):
        rows = [case for case in cases if family in ("all", case.family)]
        cells = [
            family,
            len(rows),
            *(sum(case.outcome == outcome for case in rows) for outcome in ("equal", "differs", "fails")),
            sum(case.stock_right for case in rows),
            sum(case.ours_right for case in rows),
            sum(case.cautious for case in rows),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--kind", choices=("full", "lora", "sharded"), default="full")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, Trainers() as trainers:
        runs = trainers.runs(options.kind, Path(scratch))
        every = list(damages(runs, options.seed, rounds=2 + options.cuts // 25))
        tried = random.Random(options.seed).sample(every, min(options.cuts, len(every)))
        cases = measure(runs, trainers, tried, Path(scratch) / "cases")
    wrong = sum(not case.ours_right for case in cases)
    print(f"{len(cases)} damaged checkpoints ({options.kind}), {platform.python_implementation()} "
          f"{platform.python_version()}, seed {options.seed}\n")  # fmt: skip
    print(table(cases))
    print(
        f"\nOne choice takes {median(case.seconds for case in cases) * 1000:.1f} ms (median). Wrong choices: {wrong}."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
