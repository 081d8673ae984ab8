"""`trainguard daemon run --until-empty` for a life: `python serve.py CONFIG TRAINER HANG_SECONDS`."""

from __future__ import annotations

import faulthandler
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def main() -> int:
    from campaign.guards import switch_off
    from trainguard.daemon.loop import Daemon
    from trainguard.daemon.settings import read_daemon_settings

    faulthandler.register(signal.SIGUSR2)
    switch_off()
    settings = read_daemon_settings(Path(sys.argv[1]))
    command = [sys.executable, str(HERE / "trainer.py"), sys.argv[2]]
    return Daemon(settings, command=command, until_empty=True, hang_seconds=float(sys.argv[3])).run()


if __name__ == "__main__":
    sys.exit(main())
