"""Takes what lies in an inbox into a queue for some seconds, as the daemon does at each of its turns.

`python -m trainguard.drills.machine._taking INBOX HOME SECONDS` prints as JSON what was found and what was accepted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    inbox, home, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    from trainguard.queue.accepting import accept_ready
    from trainguard.queue.custody import Custody
    from trainguard.queue.inbox import Inbox
    from trainguard.queue.store import open_queue

    watched, custody = Inbox(inbox, 0.1, 0.1), Custody(home)
    queue = open_queue(home, lineage="drill", owner="drill")
    findings: list[dict[str, Any]] = []
    accepted: dict[str, float] = {}
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        turn = accept_ready(watched, custody, queue)
        findings += [finding.to_dict() for finding in turn.findings]
        accepted |= {file.name: time.monotonic() - begun for file in turn.files}
        time.sleep(0.1)
    print(json.dumps({"findings": findings, "accepted": accepted}))


if __name__ == "__main__":
    main()
