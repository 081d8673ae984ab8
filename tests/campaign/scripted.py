"""Lives of the campaign with faults that are written down, not drawn: `python scripted.py FOLDER NAME` prints as JSON
what came of it. Each of them ends badly where one guard is off (`campaign.guards`)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from campaign.blows import after
from campaign.catalogue import in_trainer, sound
from campaign.world import World

from trainguard.drills.inside import own_mounts

_FILE = sound(1, 12)
_DEADLINE_SECONDS = 120.0


def _until(world: World, met: Callable[[], bool]) -> None:
    until = time.monotonic() + _DEADLINE_SECONDS
    while not met() and not world.violations and time.monotonic() < until:
        world.wait(0.05)


def sync(world: World) -> None:
    """The power goes when checkpoints have been verified, and what was not synced is gone."""
    world.drop(_FILE, None)
    _until(world, lambda: b'"verified"' in (world.disk.bytes_of("out/trainguard/events.jsonl") or b""))
    world.strike("power", cut="lost", share=1.0, number=1)


def verification(world: World) -> None:
    """The newest checkpoint is cut short, and the run killed in the same step."""
    for what in ("corrupt", "kill"):
        world.arm(in_trainer(what, _FILE, 4, 0, "tiny"))
    world.drop(_FILE, None)


def lock(world: World) -> None:
    """Somebody starts a second daemon."""
    world.drop(_FILE, None)
    _until(world, lambda: world.disk.number_of("out/queue/queue.sqlite") is not None)
    world.strike("second-daemon")


def reconcile(world: World) -> None:
    """The power goes when the file has just left the inbox."""
    world.drop(_FILE, None)
    first = world.outside

    def gone(upto: int) -> bool:
        return after(world.disk.log, upto, "kept").number_of(f"inbox/{_FILE.name}") is None

    _until(world, lambda: world.disk.number_of(f"inbox/{_FILE.name}") is None)
    low, high = first, len(world.disk.log)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gone(middle) else (middle, high)
    world.strike("power", cut="kept", share=(high - first) / (len(world.disk.log) - first), number=1)


SCENES: dict[str, Callable[[World], None]] = {each.__name__: each for each in (sync, verification, lock, reconcile)}


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    own_mounts()
    world = World(folder, 0)
    SCENES[name](world)
    print(json.dumps(world.finish()), flush=True)
    os._exit(0)  # threads that serve a disk never end


if __name__ == "__main__":
    main()
