"""Cuts the power of a daemon at several moments of its life, and lets it go on afterwards.

`python -m trainguard.drills.process._cuts QUESTION` (JSON) runs a command on a recorded disk to its end; then, for each
cut, makes the disk as the power cut would have left it, runs the same command on it again and looks at what stands.
Prints a JSON line a cut. A disk is mounted at the same place each time, since a queue knows its folder by its path.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainguard.drills.inside import own_mounts
from trainguard.drills.process._disk import Disk
from trainguard.drills.process._on_disk import mount_disk
from trainguard.drills.process._power import CUTS, after_power_cut

_MNT_DETACH = 2  # include/linux/fs.h
_DEADLINE_SECONDS = 90.0
_ALL_SECONDS = 900.0


def cut_power(
    start: Path, place: Path, run: Sequence[str], look: Sequence[str], *, cuts: int, seed: int
) -> list[dict[str, Any]]:
    """What stood after each cut and the next run: `code` of that run, `verified` (the step that the run had said to be
    verified before the cut), `after` (the newest that verified after it), `seen` (what `look` printed), `error` in its
    place where that failed."""
    question = {"start": str(start), "place": str(place), "run": list(run), "look": list(look)}
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps({**question, "cuts": cuts, "seed": seed})],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=_ALL_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the power could not be cut: {done.stderr.strip()[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def newest_said(events: bytes) -> int:
    """The newest step that a run has said to be verified, and has not gone back behind on purpose."""
    steps = [0]
    for line in events.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("event") == "attempt":
            steps = [step for step in steps if step <= event.get("step", 0)]
        elif event.get("event") == "verified":
            steps.append(int(event["step"]))
    return max(steps)


def unmount(place: Path) -> None:
    """Takes the disk away from under whoever still has it. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).umount2(bytes(place), _MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), f"umount {place}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    limits = {"stdin": subprocess.DEVNULL, "timeout": _DEADLINE_SECONDS, "cwd": "/"}
    return subprocess.run(command, capture_output=True, check=False, text=True, **limits)  # type: ignore[call-overload, no-any-return]


def main() -> None:
    question = json.loads(sys.argv[1])
    place, chance = Path(question["place"]), random.Random(question["seed"])
    own_mounts()
    disk = Disk(Path(question["start"]))
    begin = len(disk.log)
    mount_disk(disk, str(place))
    first = _run(question["run"])
    if first.returncode != 0:
        raise RuntimeError(first.stderr)
    log = list(disk.log)
    for number in range(question["cuts"]):
        span = (len(log) - begin) / question["cuts"]
        upto = begin + int((number + chance.random()) * span)
        cut = CUTS[(number + question["seed"]) % len(CUTS)]
        known = Disk()
        known.take(after_power_cut(log, upto, "kept"))
        unmount(place)
        disk = Disk()
        disk.take(after_power_cut(log, upto, cut, question["seed"]))
        mount_disk(disk, str(place))
        found: dict[str, Any] = {"upto": upto - begin, "of": len(log) - begin, "cut": cut}
        found["verified"] = newest_said(known.bytes_of("out/trainguard/events.jsonl") or b"")
        asked = _run([sys.executable, "-m", "trainguard.drills.process._daemon", "--newest", str(place / "out")])
        found["after"] = int(asked.stdout or 0)
        found["code"] = _run(question["run"]).returncode
        looked = _run(question["look"])
        found |= {"seen": json.loads(looked.stdout)} if looked.returncode == 0 else {"error": looked.stderr[-300:]}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the threads that serve disks never end
