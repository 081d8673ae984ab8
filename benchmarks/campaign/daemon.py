"""`trainguard daemon run --until-empty` with the stand-in trainer: `python benchmarks/campaign/daemon.py CONFIG`."""

from __future__ import annotations

import faulthandler
import signal
import sys
from pathlib import Path

from trainguard.daemon.loop import Daemon
from trainguard.daemon.settings import read_daemon_settings

TRAINER = Path(__file__).resolve().parents[2] / "tests" / "daemon" / "tiny_trainer.py"

if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR2)
    settings = read_daemon_settings(Path(sys.argv[1]))
    sys.exit(Daemon(settings, command=[sys.executable, str(TRAINER)], until_empty=True).run())
