"""Trains on file systems that are too small: what is saved stays, and the run goes on when there is room again.

    python benchmarks/disk_full_campaign.py [--sizes 20] [--arm guarded]

Each size is a tmpfs in a name space of mounts of its own, from one that holds no checkpoint to one that holds all that
are kept. The run has to end well, or end with RUN025; the newest verified checkpoint never goes back. Then the file
system is made larger, the run is started again, and its weights are compared with those of an undisturbed run, bit for
bit. Three modes: `ends` looks at the room ahead and does not wait; `waits` gets room while it waits, in the same
process; `blind` does not look ahead, so that the save itself fails, as where another process takes the room meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.campaign_run import Plan, in_fork, make_trainer, warm_up, weights_of

from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.train.space import DiskFullError, allocated_bytes

# A checkpoint of about 5 MB: well above the 1 MiB that counts as full.
PLAN = Plan(steps=24, save_steps=4, hidden=128, keep=4)
Mode = Literal["ends", "waits", "blind"]
MODES: tuple[Mode, ...] = get_args(Mode)
_MB = 1_000_000


def mount(folder: Path, size: int) -> None:
    """A tmpfs at `folder`, in a name space of this process alone from the first call on."""
    from trainguard.drills import inside

    inside.own_mounts()
    inside.mount("tmpfs", str(folder), "tmpfs", f"size={size}")


def grow(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def one_size(plan: Plan, folder: Path, size: int, large: int, expected: str, mode: Mode) -> dict[str, Any]:
    """One run on a file system of `size` bytes; what happened. To be called in a process of its own."""
    mount(folder, size)
    waits = mode == "waits"
    output = folder / "out"
    row: dict[str, Any] = {"size_mb": round(size / _MB, 1), "mode": mode, "wrong": []}
    reached: list[int] = [0]

    def look(_: object = None) -> None:
        found = latest_verified_checkpoint(output)
        step = int(found.name.rpartition("-")[2]) if found is not None else 0
        if step < reached[0]:
            row["wrong"].append(f"verified went back from {reached[0]} to {step}")
        reached[0] = step

    def room_comes(_free: int | None, waited: float) -> None:
        look()
        if waits and waited > 0.5:
            grow(folder, large)

    first = replace(plan, space_wait_seconds=60.0 if waits else 0.0)
    outcome, digest, found = _run(first, output, look, room_comes, blind=mode == "blind")
    look()
    row |= {"first": outcome, "verified_step": reached[0], "codes": found}
    if outcome == "RUN025" and any(name.startswith(".trainguard-staging") for name in os.listdir(output)):
        row["wrong"].append("debris of the failed save is left")
    if outcome not in ("done", "RUN025"):
        row["wrong"].append(f"ended with {outcome}")
    if waits and outcome != "done":
        row["wrong"].append("the room came and the run did not go on")
    if outcome != "done":
        grow(folder, large)
        outcome, digest, _ = _run(plan, output, look, room_comes)
        look()
        row["then"] = outcome
    if digest != expected:
        row["wrong"].append("other weights at the end")
    return row


def _run(
    plan: Plan,
    output: Path,
    look: Callable[[object], None],
    on_wait: Callable[[int | None, float], None],
    *,
    blind: bool = False,
) -> tuple[str, str, list[str]]:
    trainer = make_trainer(plan, output, lambda _: None, look, look)
    trainer.on_space_wait = on_wait
    if blind:
        trainer.keeper.make_room = lambda *_, **__: None
    outcome = "done"
    try:
        trainer.train(resume_from_checkpoint=True if latest_verified_checkpoint(output) is not None else None)
    except DiskFullError as error:
        outcome = str(error.finding.code)
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"[:200]
    codes = [f"{each.code} {each.severity}" for each in trainer.keeper.findings()]
    return outcome, weights_of(trainer), codes


def sizes_of(checkpoint: int, count: int, keep: int) -> list[int]:
    """From half a checkpoint to all that are kept, one more and a half: there everything fits."""
    least, most = 0.5 * checkpoint, (keep + 2.5) * checkpoint
    return [int(least + (most - least) * number / max(count - 1, 1)) for number in range(count)]


def campaign(
    plan: Plan, count: int, *, tell: Callable[[str], None] = print, modes: Sequence[Mode] = MODES
) -> list[dict[str, Any]]:
    """All sizes in all modes, each in a process of its own. Raises RuntimeError where a mount or a run breaks."""
    with tempfile.TemporaryDirectory(prefix="trainguard-disk-") as name:
        home = Path(name)
        checkpoint, expected = in_fork(lambda: undisturbed(plan, home / "undisturbed"), home)
        shutil.rmtree(home / "undisturbed")
        tell(f"a checkpoint takes {checkpoint / _MB:.1f} MB, {plan.keep} are kept")
        folder = home / "mounted"
        folder.mkdir()
        rows: list[dict[str, Any]] = []
        for size in sizes_of(checkpoint, count, plan.keep or 2):
            for mode in modes:
                large = size + 12 * checkpoint
                one = partial(one_size, plan, folder, size, large, expected, mode)
                rows.append(in_fork(one, home))
                tell(json.dumps(rows[-1]))
    return rows


def undisturbed(plan: Plan, output: Path) -> tuple[int, str]:
    """Bytes of a checkpoint, and the hash of the weights at the end."""
    trainer = make_trainer(plan, output, lambda _: None, lambda _: None, lambda _: None)
    trainer.train()
    return allocated_bytes(output / f"checkpoint-{plan.steps}"), weights_of(trainer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=20)
    parser.add_argument("--mode", action="append", choices=MODES, help="all by default")
    parser.add_argument("--steps", type=int, default=PLAN.steps, help="steps of a run; it saves every 4")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warm_up()
    begin = time.monotonic()
    plan = replace(PLAN, steps=options.steps)
    rows = campaign(plan, options.sizes, modes=options.mode or MODES)
    wrong = [row for row in rows if row["wrong"]]
    ended = sum(row.get("first") == "RUN025" for row in rows)
    waited = sum(row.get("first") == "done" and row["mode"] == "waits" for row in rows)
    print(
        f"{len(rows)} runs on {options.sizes} sizes in {time.monotonic() - begin:.0f} s: {ended} ended with RUN025 and "
        f"went on when started again with room, {waited} of those that waited went on by themselves; {len(wrong)} wrong"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
