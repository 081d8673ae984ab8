"""Random faults over many short lives of a daemon, against what must hold: `make campaign`.

Exit code 1 on a violation. Each life has a seed of its own, which is printed and makes the same plan again:
`python benchmarks/campaign/run.py --world SEED --keep FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_A_WORLD = 10  # faults
_DEADLINE_SECONDS = 600.0
_MOST_UNEARNED = 0.05
_MOST_MEDIAN_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--world", type=int, help="only the life with this seed")
    parser.add_argument("--keep", type=Path, help="where the folders of lives that broke something stay")
    parser.add_argument("--json", type=Path, help="where all of it goes as JSON")
    arguments = parser.parse_args()
    seeds = _seeds(arguments.seed) if arguments.world is None else iter([arguments.world])
    lives = list(campaign(seeds, arguments.faults if arguments.world is None else 1, arguments.jobs, arguments.keep))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(lives, indent=1))
    return report(lives, arguments.seed)


def _seeds(seed: int) -> Iterator[int]:
    number = 0
    while True:
        yield seed * 1000 + number
        number += 1


def campaign(seeds: Iterator[int], faults: int, jobs: int, keep: Path | None) -> Iterator[dict[str, Any]]:
    """Lives until so many faults have happened."""
    happened = 0
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(live, seed, keep) for _, seed in zip(range(jobs), seeds, strict=False)}
        while running:
            done = next(as_completed(running))
            running.remove(done)
            life = done.result()
            happened += sum(life["happened"].values())
            print(_line(life, happened), flush=True)
            yield life
            if happened < faults and (seed := next(seeds, None)) is not None:
                running.add(pool.submit(live, seed, keep))


def live(seed: int, keep: Path | None) -> dict[str, Any]:
    """One life, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "world.py"), str(folder), str(seed), str(_A_WORLD)],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_DEADLINE_SECONDS,
        )
        life: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
        if not life:
            raise RuntimeError(done.stderr[-1500:])
    except subprocess.TimeoutExpired:
        life = _broken(seed, f"the life did not end within {_DEADLINE_SECONDS:.0f} s", began)
    except (RuntimeError, ValueError) as error:
        life = _broken(seed, f"the campaign itself failed: {error}", began)
    if keep is not None and (life["violations"] or life["unearned"]):
        shutil.copytree(folder, keep / str(seed), dirs_exist_ok=True, ignore_dangling_symlinks=True, symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)
    return life


def _broken(seed: int, why: str, began: float) -> dict[str, Any]:
    return {
        "seed": seed,
        "seconds": time.monotonic() - began,
        "violations": [why],
        "happened": {},
        "files": 0,
        "unearned": [],
        "recovery_seconds": [],
    }


def _line(life: dict[str, Any], happened: int) -> str:
    faults = sum(life["happened"].values())
    words = f"life {life['seed']}: {faults} faults in {life['seconds']:.0f} s ({happened} so far)"
    for violation in life["violations"]:
        words += f"\n  BROKEN: {violation}"
    for each in life.get("unearned", ()):
        words += f"\n  put aside: {each}"
    return words


def report(lives: list[dict[str, Any]], seed: int) -> int:
    """Prints the table; 1 where something that must hold did not."""
    happened: Counter[str] = Counter()
    for life in lives:
        happened.update(life["happened"])
    files = sum(life.get("files", 0) for life in lives)
    unearned = sum(len(life.get("unearned", ())) for life in lives)
    seconds = [each for life in lives for each in life.get("recovery_seconds", ())]
    broken = [life for life in lives if life["violations"]]
    print(f"\n{'fault':<28}{'times':>6}")
    for name, count in happened.most_common():
        print(f"{name:<28}{count:>6}")
    print(f"{'all':<28}{happened.total():>6}\n")
    share = unearned / files if files else 0.0
    middle = statistics.median(seconds) if seconds else 0.0
    print(f"lives {len(lives)}, files {files}, seed {seed}")
    print(f"lives in which something broke: {len(broken)}{_seeds_of(broken)}")
    print(f"files put aside though nothing was wrong with them: {unearned} ({share:.1%}, at most {_MOST_UNEARNED:.0%})")
    if seconds:
        high = sorted(seconds)[math.ceil(0.95 * (len(seconds) - 1))]
        print(
            f"from a fault to the next start of training: median {middle:.1f} s (below {_MOST_MEDIAN_SECONDS:.0f} s), "
            f"95 % below {high:.1f} s, {len(seconds)} times"
        )
    return int(bool(broken) or share > _MOST_UNEARNED or middle > _MOST_MEDIAN_SECONDS)


def _seeds_of(lives: list[dict[str, Any]]) -> str:
    return f": --world {', '.join(str(life['seed']) for life in lives)}" if lives else ""


if __name__ == "__main__":
    sys.exit(main())
