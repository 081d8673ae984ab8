"""How long what may take in a life, seconds. A module of its own, as the daemon's process reads it too."""

from __future__ import annotations

import subprocess
import sys
import time

# Everything that a life takes part in has ended by then, or hangs: faults and files take a tenth of it. To be added are
# the hangs that are to be noticed, each of which takes the longest silence.
_DEADLINE_SECONDS = {"tiny": 300.0, "real": 1200.0}
_MOST_HANGS = 12
# The longest silence of a run is so many times what a Python process that imports the trainer takes on this machine
# when the life begins (0.3 s on an idle one, 10 s on a very busy one), and between these.
_HANG_TIMES = 4.0
_HANG_SECONDS = {"tiny": (4.0, 30.0), "real": (60.0, 120.0)}
_IMPORTS = {"tiny": "trainguard.drills.process._tiny_trainer", "real": "trl.trainer.sft_trainer"}
STOP_SECONDS = 5.0
# A person's command takes a second; on a disk that cannot be written, and a busy machine, some more.
ASKED_SECONDS = 90.0
# So long after its disk could be written again, or a pause ended, a daemon may still end because of it.
EXCUSE_SECONDS = 5.0


def hang_seconds(trainer: str) -> float:
    """The longest silence of a run on this machine, as busy as it is now."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {_IMPORTS[trainer]}"], check=True)
    least, most = _HANG_SECONDS[trainer]
    return min(most, max(least, _HANG_TIMES * (time.monotonic() - began)))


def deadline_seconds(trainer: str, silence: float | None = None) -> float:
    """How long a life may take whose longest `silence` is that; the longest that there is without it."""
    return _DEADLINE_SECONDS[trainer] + _MOST_HANGS * (silence or _HANG_SECONDS[trainer][1])
