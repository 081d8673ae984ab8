"""One life in a process of its own, with its own view of mounts: `python life.py FOLDER SEED TRAINER [STEPS]`.

Prints as JSON what came of it. With CAMPAIGN_SHRINK the life is made smaller for as long as it breaks.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from campaign.catalogue import Trainer
from campaign.machine import STEPS, Life, draw
from campaign.world import World
from trainguard.drills.inside import own_mounts
from trainguard.drills.process._cuts import unmount


class Lived(World):
    """A world whose end is kept."""

    ends: list[dict[str, Any]]

    def finish(self) -> dict[str, Any]:
        found = super().finish()
        self.ends.append(found)
        unmount(self.place)
        return found


def live(
    folder: Path, number: int, trainer: Trainer, *, base: Path | None, shrink: bool, steps: int = STEPS
) -> list[dict[str, Any]]:
    """What came of the life of that seed; with `shrink`, of it and of all smaller ones that were tried."""
    ends: list[dict[str, Any]] = []
    folders = (folder / str(count) for count in itertools.count())

    def make_world() -> World:
        world = Lived(next(folders), number, trainer=trainer, base=base)
        world.ends = ends
        return world

    kind = type("Life", (Life,), {"trainer": trainer, "strict": shrink, "make_world": staticmethod(make_world)})
    try:
        draw(kind, number, shrink=shrink, steps=steps)
    except BaseException as error:  # a life that breaks for once only is flaky to Hypothesis
        if not shrink or not ends:
            raise
        print(f"{type(error).__name__}", file=sys.stderr)
    return ends


def main() -> None:
    folder, number, trainer = Path(sys.argv[1]), int(sys.argv[2]), cast("Trainer", sys.argv[3])
    base = Path(os.environ["CAMPAIGN_BASE"]) if trainer == "real" else None
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else STEPS
    shrink = "CAMPAIGN_SHRINK" in os.environ
    own_mounts()
    ends = live(folder, number, trainer, base=base, shrink=shrink, steps=steps)
    broken = [each for each in ends if each["violations"]]
    told = min(broken, key=lambda each: len(each["steps"])) if broken else ends[-1]
    print(json.dumps(told), flush=True)
    sys.stderr.flush()
    os._exit(0)  # threads that serve a disk never end


if __name__ == "__main__":
    main()
