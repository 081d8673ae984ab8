"""What tests run in processes of their own: accepting what lies in an inbox, until it is empty or somebody kills it.

Started once, with all modules loaded, and forked for each line on its standard input, so that a kill costs no start.
A line is the number of operations on files after which the kill comes, or 0 for never: a time would hit something else
on a busy machine.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from trainguard.queue.accepting import accept_ready
from trainguard.queue.custody import Custody
from trainguard.queue.inbox import Inbox
from trainguard.queue.store import open_queue

# Events of sys.addaudithook (Python's audit events table); they come just before the system call.
_OPERATIONS = frozenset("open os.rename os.link os.remove os.mkdir os.rmdir os.chmod fcntl.flock".split())


def main(inbox: Path, home: Path) -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            tell_after(int(line), writing)
            accept(inbox, home)
            os._exit(0)
        os.close(writing)
        if os.read(reading, 1):
            os.kill(child, signal.SIGKILL)  # it may have ended; nobody else has its number before the wait
        os.close(reading)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def tell_after(operations: int, writing: int) -> None:
    """Writes a byte after so many operations; the kill follows while the process goes on."""
    count = 0

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal count
        if event in _OPERATIONS:
            count += 1
            if count == operations:
                os.write(writing, b"x")

    sys.addaudithook(hook)


def accept(inbox: Path, home: Path) -> None:
    custody = Custody(home)
    with open_queue(home, lineage="test", owner="test") as queue:
        custody.reconcile(queue)
        accept_ready(Inbox(inbox, 0.0), custody, queue)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
