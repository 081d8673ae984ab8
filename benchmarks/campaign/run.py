"""Random faults over many short lives of a daemon, against what must hold: `make campaign`.

Exit code 1 on a violation. Each life has a seed of its own, which is printed and draws the same life again:
`python benchmarks/campaign/run.py --life SEED --keep FOLDER`; with --shrink it is made smaller as long as it breaks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from campaign.catalogue import Trainer
from campaign.guards import GUARDS, VARIABLE
from campaign.limits import deadline_seconds
from campaign.machine import planned
from campaign.processes import Processes
from campaign.summary import line, report

HERE = Path(__file__).resolve().parent
_LEAST_FAULTS = 8
_SHRINK_SECONDS = 3000.0  # Hypothesis (6.170) gives shrinking five minutes, and then lives the smallest once more
_SPARE_SECONDS = 300.0
_MAKE_BASE = "import sys; from trainguard.drills.training._tiny import make_base; make_base(sys.argv[1])"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", type=int, default=0, metavar="N", help="of the lives, N with the real trainer")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--life", type=int, help="only the life with this seed")
    parser.add_argument("--shrink", action="store_true", help="make the life of --life smaller as long as it breaks")
    parser.add_argument("--without", choices=sorted(GUARDS), help="switch a guard off: the campaign must notice")
    parser.add_argument("--keep", type=Path, help="where the folders of lives that broke something stay")
    parser.add_argument("--json", type=Path, help="where all of it goes as JSON")
    arguments = parser.parse_args()
    if arguments.without is not None:
        os.environ[VARIABLE] = arguments.without
    with tempfile.TemporaryDirectory(prefix="campaign-base-") as base:
        make_life = partial(live, keep=arguments.keep, shrink=arguments.shrink, base=Path(base) / "base")
        if arguments.life is not None:
            lives = [make_life(arguments.life, "real" if arguments.real else "tiny")]
            print("\n".join(["", *lives[0]["steps"], "", line(lives[0], 0)]))
        else:
            lives = list(campaign(_seeds(arguments.seed, arguments.real), arguments.faults, arguments.jobs, make_life))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(lives, indent=1))
    return report(lives, f"--seed {arguments.seed}")


def _seeds(seed: int, real: int) -> Iterator[tuple[int, Trainer]]:
    """The lives of a campaign. Hypothesis leaves rules out of each example; those with few faults are passed by."""
    for number in itertools.count(seed * 1000):
        trainer: Trainer = "real" if real > 0 else "tiny"
        if planned(number, trainer) >= _LEAST_FAULTS:
            real -= 1
            yield number, trainer


def campaign(seeds: Iterator[tuple[int, Trainer]], faults: int, jobs: int, make_life: Any) -> Iterator[dict[str, Any]]:
    """Lives until so many faults have happened."""
    happened = 0
    running: set[Future[dict[str, Any]]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            while happened < faults and len(running) < jobs and (seed := next(seeds, None)) is not None:
                running.add(pool.submit(make_life, seed[0], seed[1]))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                life = each.result()
                happened += sum(life["happened"].values())
                print(line(life, happened), flush=True)
                yield life


def live(seed: int, trainer: Trainer, *, keep: Path | None, shrink: bool, base: Path) -> dict[str, Any]:
    """One life, in a process and a folder of its own."""
    if trainer == "real" and not base.is_dir():
        subprocess.run([sys.executable, "-W", "ignore", "-c", _MAKE_BASE, str(base)], check=True, capture_output=True)
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    processes = Processes(folder.name)
    environment = {**os.environ, **processes.environment, "CAMPAIGN_BASE": str(base)}
    environment |= {"CAMPAIGN_SHRINK": "1"} if shrink else {}
    limit = _SHRINK_SECONDS if shrink else deadline_seconds(trainer) + _SPARE_SECONDS
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "life.py"), str(folder), str(seed), trainer],
            capture_output=True,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=limit,
        )
        life: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
        if not life:
            raise RuntimeError(done.stderr[-1500:])
    except subprocess.TimeoutExpired:
        life = _broken(seed, trainer, f"the life did not end within {limit:.0f} s", began)
    except (RuntimeError, ValueError) as error:
        life = _broken(seed, trainer, f"the campaign itself failed: {error}", began)
    while processes.send(signal.SIGKILL):  # where the life's process died before those that it started
        time.sleep(0.02)
    if keep is not None and (life["violations"] or life["unearned"]):
        shutil.copytree(folder, keep / str(seed), dirs_exist_ok=True, ignore_dangling_symlinks=True, symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)
    return life


def _broken(seed: int, trainer: str, why: str, began: float) -> dict[str, Any]:
    life = {"seed": seed, "trainer": trainer, "seconds": time.monotonic() - began, "violations": [why], "happened": {}}
    return {**life, "asked": {}, "prefixes": 0, "files": 0, "unearned": [], "steps": []}


if __name__ == "__main__":
    sys.exit(main())
