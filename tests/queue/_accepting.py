"""What tests run in processes of their own: accepting what lies in an inbox, until it is empty or somebody kills it.

Started once, with all modules loaded, and forked for each line on its standard input, so that a kill costs no start.
A line is the seconds until the kill, or `never`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.inbox import Inbox
from trainguard.queue.store import open_queue


def main(inbox: Path, home: Path) -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            accept(inbox, home, writing)
            os._exit(0)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        if line.strip() != "never":
            time.sleep(float(line))
            os.kill(child, signal.SIGKILL)  # it may have ended; nobody else has its number before the wait
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def accept(inbox: Path, home: Path, ready: int) -> None:
    custody = Custody(home)
    with open_queue(home, lineage="test", owner="test") as queue:
        os.write(ready, b"r")
        custody.reconcile(queue)
        accept_ready(Inbox(inbox, 0.0), custody, queue)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
