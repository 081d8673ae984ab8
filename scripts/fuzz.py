"""Fuzzes trainguard for as long as is wanted: `python scripts/fuzz.py --minutes 10 [--target source]`.

The targets and what must hold are in tests/fuzz/targets.py. Inputs that fail, and slow ones, are written to
build/fuzz/, one file each; with a failure the exit code is 1. `--shrink` makes a failing input small, which can
take minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402 - the paths come first
from tests.fuzz.targets import TARGETS  # noqa: E402

FOUND = ROOT / "build" / "fuzz"
_BATCH = 200  # examples of one seed
_SLOW_SECONDS = 2.0


@dataclass(slots=True)
class Tally:
    """How a target did."""

    inputs: int = 0
    failures: int = 0
    slowest: float = 0.0
    messages: set[str] = field(default_factory=set)


def main() -> int:
    """0 nothing found; 1 an input failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="in all, shared by the targets (default 10)")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=None, help="of the first batch, to run one again")
    parser.add_argument("--shrink", action="store_true", help="make failing inputs small")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Generating overly large repr")  # it is, and is not shown
    names = options.target or sorted(TARGETS)
    start = random.randrange(2**32) if options.seed is None else options.seed
    phases = [Phase.generate, Phase.shrink] if options.shrink else [Phase.generate]
    failed = False
    for name in names:
        tally = fuzz(name, seconds=options.minutes * 60 / len(names), first_seed=start, phases=phases)
        failed |= tally.failures > 0
        print(f"{name}: {tally.inputs} inputs, {tally.failures} failures, slowest {tally.slowest:.2f} s", flush=True)
    return 1 if failed else 0


def fuzz(name: str, *, seconds: float, first_seed: int, phases: list[Phase]) -> Tally:
    """Runs one target in batches until its time is up."""
    tally = Tally()
    deadline = time.monotonic() + seconds
    batch = first_seed
    while time.monotonic() < deadline:
        _run_batch(name, tally, batch, deadline, phases)
        batch += 1
    return tally


def _run_batch(name: str, tally: Tally, batch: int, deadline: float, phases: list[Phase]) -> None:
    last: list[Any] = [None]

    @seed(batch)
    @settings(
        max_examples=_BATCH,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(TARGETS[name].inputs)
    def run(value: Any) -> None:
        if time.monotonic() > deadline:
            return
        last[0] = value
        tally.inputs += 1
        taken = TARGETS[name].run(value)
        if taken > max(tally.slowest, _SLOW_SECONDS):
            _keep(name, f"slow-{taken:.1f}s", value, "")
        tally.slowest = max(tally.slowest, taken)

    try:
        run()
    except Exception as error:  # whatever it raises is what is looked for
        message = f"{type(error).__name__}: {error}".split("\n")[0]
        tally.failures += 1
        if message not in tally.messages:
            tally.messages.add(message)
            path = _keep(name, f"failed-{batch}", last[0], traceback.format_exc())
            print(f"{name}, seed {batch}: {message[:300]}\n  kept in {path.relative_to(ROOT)}", flush=True)


def _keep(name: str, what: str, value: Any, reason: str) -> Path:
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"{name}-{what}.txt"
    path.write_text(f"{value!r}\n\n{reason}", encoding="utf-8", errors="backslashreplace")
    return path


if __name__ == "__main__":
    sys.exit(main())
